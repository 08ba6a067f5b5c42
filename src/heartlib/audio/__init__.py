"""Audio files: read, write, resample, and the tags inside them. Waves are float32 numpy [2, n]."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heartlib.audio.files import (
        FORMATS,
        check_output,
        limit_peak,
        read,
        read_pieces,
        write,
    )
    from heartlib.audio.resampling import resample, resample_pieces
    from heartlib.audio.streaming import duration, mono_blocks
    from heartlib.audio.tags import read_tags, write_tags

__all__ = [
    "FORMATS",
    "check_output",
    "duration",
    "limit_peak",
    "mono_blocks",
    "read",
    "read_pieces",
    "read_tags",
    "resample",
    "resample_pieces",
    "write",
    "write_tags",
]

_LAZY = {
    "FORMATS": "files",
    "check_output": "files",
    "limit_peak": "files",
    "read": "files",
    "read_pieces": "files",
    "write": "files",
    "resample": "resampling",
    "resample_pieces": "resampling",
    "duration": "streaming",
    "mono_blocks": "streaming",
    "read_tags": "tags",
    "write_tags": "tags",
}


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(import_module(f"heartlib.audio.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'heartlib.audio' has no attribute {name!r}")
