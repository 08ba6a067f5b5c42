"""HeartMuLa in Python: lyrics and style tags in, a 48 kHz stereo song out."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heartlib.pipelines.lyrics_transcription import HeartTranscriptorPipeline
    from heartlib.pipelines.music_generation import HeartMuLaGenPipeline, Song

__version__ = "0.1.0"
__all__ = ["HeartMuLaGenPipeline", "HeartTranscriptorPipeline", "Song", "__version__"]

_LAZY = {
    "HeartMuLaGenPipeline": "heartlib.pipelines.music_generation",
    "HeartTranscriptorPipeline": "heartlib.pipelines.lyrics_transcription",
    "Song": "heartlib.pipelines.music_generation",
}


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'heartlib' has no attribute {name!r}")
