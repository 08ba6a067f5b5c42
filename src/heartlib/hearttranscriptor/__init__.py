"""HeartTranscriptor: a Whisper tuned to sung lyrics."""

from heartlib.hearttranscriptor.modeling_hearttranscriptor import HeartTranscriptor

__all__ = ["HeartTranscriptor"]
