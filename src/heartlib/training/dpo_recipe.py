"""The settings of learning from preferences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from heartlib.errors import UsageError
from heartlib.training.recipe import Options, Recipe


@dataclass(frozen=True, kw_only=True)
class DPORecipe(Recipe):
    """Nano's settings; the model's shape is that of `init`."""

    minutes: float = 4.0
    batch: int = 8  # pairs
    beta: float = 0.1  # how dear it is to leave the model of before
    peak_lr: float = 2e-5
    warm_up: float = 0.05
    weight_decay: float = 0.0
    ema_decay: float = 0.99
    holdout: int = 32  # pairs, at most a quarter of them

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(1, "batch")
        self.at_least(0, "holdout")
        self.above(0, "beta")


@dataclass(frozen=True, kw_only=True)
class DPOOptions(Options):
    """What the recipe reads."""

    init: Path  # the HeartMuLa folder to begin with; tokenizer.json and gen_config.json beside it
    pairs: Path  # JSON lines of tags, lyrics, chosen, rejected
    data: tuple[Path, ...]  # Codes folders that hold the songs of the pairs
    save_dtype: str = "float32"  # of the model: float32 or bfloat16

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.save_dtype not in ("float32", "bfloat16"):
            raise UsageError(f"save_dtype is {self.save_dtype!r}; allowed are float32, bfloat16")
