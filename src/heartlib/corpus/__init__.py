"""Procedural songs with truth: composed from a seed, sung and played, nothing recorded."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heartlib.corpus.compose import compose
    from heartlib.corpus.make import make
    from heartlib.corpus.render import render

__all__ = ["compose", "make", "render"]


def __getattr__(name: str):
    if name in __all__:
        return getattr(import_module(f"heartlib.corpus.{name}"), name)
    raise AttributeError(f"module 'heartlib.corpus' has no attribute {name!r}")
