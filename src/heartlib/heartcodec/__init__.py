"""HeartCodec: the 12.5 Hz codec between codes and 48 kHz stereo sound."""

from heartlib.heartcodec.configuration_heartcodec import HeartCodecConfig
from heartlib.heartcodec.modeling_heartcodec import HeartCodec

__all__ = ["HeartCodec", "HeartCodecConfig"]
