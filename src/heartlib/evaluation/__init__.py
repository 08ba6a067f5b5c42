"""What a song shows when measured: levels, joins, voice, tempo, timbre, key; and the bars of a model."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heartlib.evaluation.measures import SongMeasures, measure

__all__ = ["SongMeasures", "measure"]


def __getattr__(name: str):
    if name in __all__:
        return getattr(import_module("heartlib.evaluation.measures"), name)
    raise AttributeError(f"module 'heartlib.evaluation' has no attribute {name!r}")
