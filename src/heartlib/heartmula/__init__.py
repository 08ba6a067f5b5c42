"""The music language model: lyrics and tags in, frames of audio codes out."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heartlib.heartmula.configuration_heartmula import GenConfig, HeartMuLaConfig, StackConfig
    from heartlib.heartmula.generation import generate, generate_frames
    from heartlib.heartmula.modeling_heartmula import HeartMuLa
    from heartlib.heartmula.prompt import Prompt, build_prompt

__all__ = [
    "GenConfig",
    "HeartMuLa",
    "HeartMuLaConfig",
    "Prompt",
    "StackConfig",
    "build_prompt",
    "generate",
    "generate_frames",
]

_LAZY = {
    "GenConfig": "configuration_heartmula",
    "HeartMuLa": "modeling_heartmula",
    "HeartMuLaConfig": "configuration_heartmula",
    "Prompt": "prompt",
    "StackConfig": "configuration_heartmula",
    "build_prompt": "prompt",
    "generate": "generation",
    "generate_frames": "generation",
}


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
