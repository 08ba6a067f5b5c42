"""The settings of the codebooks' training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from heartlib.errors import UsageError
from heartlib.heartcodec.models.query_transformer import MelEncoderConfig
from heartlib.training.recipe import Options, Recipe


@dataclass(frozen=True, kw_only=True)
class RVQRecipe(Recipe):
    """Nano's settings."""

    n_mels: int = 128
    width: int = 256  # of the encoder
    heads: int = 4
    layers: int = 3
    reach_frames: int = 10  # how far a frame hears, to either side
    dim: int = 128  # of a frame's feature
    minutes: float = 12.0
    batch: int = 96  # crops
    crop_frames: int = 100  # 8 s
    peak_lr: float = 8e-4
    codebook_size: int = 512
    codebook_dim: int = 32
    num_quantizers: int = 8
    decay: float = 0.98  # of the codebooks' running means
    dead_below: float = 0.5  # codes used less than this a step, on average, are drawn anew
    commitment: float = 0.25
    alignment: float = 0.2
    level_dropout: float = 0.5
    stretch: float = 0.08  # crops are up to so much faster or slower
    loudness: float = 6.0  # dB, up or down
    colour: float = 4.0  # dB, up or down at points across the spectrum
    other_band: float = (
        0.5  # share of the crops with another song's band, where the corpus has stems
    )
    noise: float = (
        0.0  # deviation of what is added to the log-mel that is heard, not to the wanted one
    )
    held_out: int = 16  # one song in so many

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(1, "batch", "crop_frames", "layers", "dim", "codebook_dim", "num_quantizers")
        self.at_least(1, "heads", "n_mels")
        self.at_least(2, "codebook_size", "held_out")
        self.at_least(0, "commitment", "alignment", "loudness", "colour", "dead_below", "noise")
        self.shares("decay", "stretch")
        if not 0 <= self.other_band <= 1:
            raise UsageError(f"other_band is {self.other_band}; it must be 0…1")
        if self.width < 1 or self.width % (2 * self.heads):
            raise UsageError(f"width is {self.width}; it must be a multiple of 2·heads")

    @property
    def encoder(self) -> MelEncoderConfig:
        """The encoder's shape."""
        return MelEncoderConfig(
            n_mels=self.n_mels,
            width=self.width,
            num_heads=self.heads,
            num_layers=self.layers,
            reach_frames=self.reach_frames,
            dim=self.dim,
        )


@dataclass(frozen=True, kw_only=True)
class RVQOptions(Options):
    """What the codebooks' recipe reads."""

    data: Path  # corpus folder
    init: Path | None = None  # the folder of an earlier run whose weights to begin with
    follow: float = (
        0.0  # begin while the corpus is being made; take so many hours of it as they come
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.follow < 0:
            raise UsageError(f"follow is {self.follow}; it must be at least 0")
