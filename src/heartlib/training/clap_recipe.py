"""The settings of HeartCLAP's training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from heartlib.errors import UsageError
from heartlib.heartclap import HeartCLAPConfig
from heartlib.training.recipe import Options, Recipe


@dataclass(frozen=True, kw_only=True)
class CLAPRecipe(Recipe):
    """Nano's settings."""

    embed_dim: int = 1024  # of the space that both towers share
    audio_width: int = 192
    audio_layers: int = 4
    audio_heads: int = 4
    text_width: int = 192
    text_layers: int = 2
    text_heads: int = 4
    minutes: float = 4.0  # of the whole schedule
    batch: int = 256
    peak_lr: float = 1e-3
    warm_up: float = 0.05
    weight_decay: float = 0.05
    ema_decay: float = 0.998
    dropout: float = 0.1
    left_out: float = 0.3  # of a song's facts in its text
    masks: int = 2  # stretches of time and of bands silenced
    held_out: int = 16  # one song in so many
    retrieved: int = 256  # held-out songs among which one is looked for, at most

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(1, "embed_dim", "audio_layers", "audio_heads", "text_layers", "text_heads")
        self.at_least(2, "batch", "held_out", "retrieved")
        self.at_least(0, "masks")
        self.shares("dropout", "left_out")
        for tower in ("audio", "text"):
            width, heads = getattr(self, f"{tower}_width"), getattr(self, f"{tower}_heads")
            if width < 1 or width % heads:
                raise UsageError(
                    f"{tower}_width is {width}; it must be a multiple of {tower}_heads {heads}"
                )

    def model_config(self, vocab_size: int) -> HeartCLAPConfig:
        """The towers for a tokenizer of this size."""
        return HeartCLAPConfig(
            embed_dim=self.embed_dim,
            audio_width=self.audio_width,
            audio_layers=self.audio_layers,
            audio_heads=self.audio_heads,
            vocab_size=vocab_size,
            text_width=self.text_width,
            text_layers=self.text_layers,
            text_heads=self.text_heads,
            dropout=self.dropout,
        )


@dataclass(frozen=True, kw_only=True)
class CLAPOptions(Options):
    """What HeartCLAP's recipe reads."""

    data: tuple[Path, ...]  # corpus folders
    tokenizer: Path  # tokenizer.json
    init: Path | None = None  # a HeartCLAP folder whose weights to begin with
