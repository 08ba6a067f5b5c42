"""The settings of the flow matching's training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from heartlib.errors import UsageError
from heartlib.training.recipe import Options, Recipe


@dataclass(frozen=True, kw_only=True)
class FlowRecipe(Recipe):
    """Nano's settings."""

    minutes: float = 9.0
    batch: int = 32  # windows
    condition_dropout: float = 0.1
    context_share: float = 0.5  # of the windows, those that go on from another
    ema_decay: float = 0.9995
    num_heads: int = 4
    head_dim: int = 48
    num_layers: int = 6
    num_layers_2: int = 1
    voice_lift: float = 3.0  # dB by which voices shall sound louder than what the codes are of
    num_steps: int = 6  # in which the codec samples, written into its config
    guidance_scale: float = 3.5  # likewise
    guidance_from: float = 0.5  # likewise: the time of the flow before which there is none
    held_out: int = 16  # one song in so many

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(1, "batch", "num_heads", "num_layers", "num_layers_2", "num_steps")
        self.at_least(0, "voice_lift")
        self.at_least(1, "guidance_scale")
        self.at_least(2, "held_out")
        self.shares("condition_dropout", "guidance_from")
        if not 0 <= self.context_share <= 1:
            raise UsageError(f"context_share is {self.context_share}; it must be 0…1")
        if self.head_dim < 2 or self.head_dim % 2:
            raise UsageError(f"head_dim is {self.head_dim}; it must be even")


@dataclass(frozen=True, kw_only=True)
class FlowOptions(Options):
    """What the flow's recipe reads."""

    data: Path  # corpus folder
    rvq: Path  # output of `heartlib train codebooks`
    sq: Path | None = None  # scalar codec folder
    init: Path | None = None  # HeartCodec-oss folder to begin with, not --sq
    follow: float = (
        0.0  # begin while the corpus is being made; take so many hours of it as they come
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.follow < 0:
            raise UsageError(f"follow is {self.follow}; it must be at least 0")
        if bool(self.init) == bool(self.sq):
            raise UsageError(
                "give --sq, a scalar codec, or --init, a whole codec to begin with; one of both"
            )
