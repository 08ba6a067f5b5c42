"""The settings of the transcriptor's training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from heartlib.errors import UsageError
from heartlib.training.recipe import Options, Recipe


@dataclass(frozen=True, kw_only=True)
class TranscriptorRecipe(Recipe):
    """Nano's settings."""

    width: int = 192
    heads: int = 3
    encoder_layers: int = 6
    decoder_layers: int = 2
    dropout: float = 0.1
    minutes: float = 8.0  # of the whole schedule
    batch: int = 64
    peak_lr: float = 1.5e-3
    warm_up: float = 0.05
    weight_decay: float = 0.05
    ema_decay: float = 0.998
    phoneme_weight: float = 1.0
    most_tokens: int = 192
    stretch: float = 0.12  # crops are played up to so much faster or slower
    shift: float = 0.1  # and their spectrum moved up or down
    tilt: float = 0.6  # log10 of power, at most, from the lowest band to the highest
    masks: int = 2  # of time and of frequency each
    spliced: float = 0.5  # share of the crops that are words of several songs
    alone: float = 0.2  # share of the crops without a band, where the corpus has stems
    other_band: float = 0.5  # share of the others with the band of another song
    loudest_band: float = 0.5  # log10 of power that raises it at most; twice as much lowers it
    wear: float = 0.1  # deviation of the noise in the scaled log-mel at most; 0: no blur either
    noisy: float = 0.4  # share of the crops whose upper bands are noise of the same loudness
    token_noise: float = 0.25  # share of the written tokens that are replaced, so that it listens
    held_out: int = 16  # one song in so many

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(1, "heads", "encoder_layers", "decoder_layers", "batch")
        self.at_least(8, "most_tokens")
        self.at_least(2, "held_out")
        self.at_least(0, "masks", "phoneme_weight", "tilt", "loudest_band", "wear")
        self.shares("dropout", "stretch", "shift", "token_noise")
        for name in ("spliced", "alone", "other_band", "noisy"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be 0…1")
        if self.width < 1 or self.width % self.heads:
            raise UsageError(f"width is {self.width}; it must be a multiple of heads {self.heads}")


@dataclass(frozen=True, kw_only=True)
class TranscriptorOptions(Options):
    """What the transcriptor's recipe reads."""

    data: tuple[Path, ...]  # corpus folders
    tokenizer: Path  # tokenizer.json
    init: Path | None = None  # a HeartTranscriptor folder whose weights to begin with
    follow: float = (
        0.0  # begin while the corpus is being made; take so many hours of it as they come
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.follow < 0:
            raise UsageError(f"follow is {self.follow}; it must be at least 0")
