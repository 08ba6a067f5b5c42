"""HeartCLAP: text and audio in one space."""

from heartlib.heartclap.configuration_heartclap import HeartCLAPConfig
from heartlib.heartclap.modeling_heartclap import HeartCLAP

__all__ = ["HeartCLAP", "HeartCLAPConfig"]
