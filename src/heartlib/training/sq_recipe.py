"""The settings of the scalar codec's training, and of the decoder's on sampled latents."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from heartlib.errors import UsageError
from heartlib.training.recipe import Options, Recipe


@dataclass(frozen=True, kw_only=True)
class SQRecipe(Recipe):
    """Nano's settings. Shares are of the whole schedule."""

    minutes: float = 7.0
    init_channel: int = 12  # width of the codec
    scalar_encoder: str = "analysis"  # what its latents are; or "learned"
    batch: int = 48  # crops
    crop_latents: int = 24
    half: bool = False  # bfloat16 on a GPU, but for rounding and the last layers
    peak_lr: float = 6e-4
    clip: float = 5.0
    adversarial_from: float = 0.3  # share of the schedule without a discriminator
    adversarial_rows: int = 16
    mel_weight: float = 10.0
    magnitude_weight: float = 2.0
    spectrum_weight: float = 6.0
    wave_weight: float = 8.0
    adversarial_weight: float = 1.0
    feature_weight: float = 2.0
    noise_share: float = 0.5  # of the rows, once there is a discriminator: latents with noise
    gain_db: tuple[float, float] = (-6.0, 3.0)
    discriminator_channels: int = 32
    discriminator_sizes: tuple[int, ...] = (2048, 1024, 512)
    report_minutes: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(1, "batch", "adversarial_rows", "init_channel", "discriminator_channels")
        self.at_least(2, "crop_latents")
        self.at_least(0, "adversarial_from", "mel_weight", "magnitude_weight", "spectrum_weight")
        self.at_least(0, "wave_weight", "adversarial_weight", "feature_weight")
        if self.scalar_encoder not in ("analysis", "learned"):
            raise UsageError(
                f"scalar_encoder is {self.scalar_encoder!r}; it must be analysis or learned"
            )
        if not 0 <= self.noise_share <= 1:
            raise UsageError(f"noise_share is {self.noise_share}; it must be 0…1")
        if self.gain_db[0] > self.gain_db[1]:
            raise UsageError(f"gain_db is {self.gain_db}; the lower one comes first")


@dataclass(frozen=True, kw_only=True)
class SQOptions(Options):
    """What the scalar codec's recipe reads."""

    data: Path  # corpus folder
    init: Path | None = None  # a scalar codec folder to begin with, not a lapped transform


@dataclass(frozen=True, kw_only=True)
class DecoderRecipe(SQRecipe):
    """Nano's settings for the decoder on sampled latents: spectra without phase, crops from `crop_latents`.

    `init_channel` and `scalar_encoder` are the codec's own, whatever is said here.
    """

    minutes: float = 8.0
    crop_latents: int = 28
    peak_lr: float = 3e-4
    adversarial_from: float = 0.05
    spectrum_weight: float = 0.0
    wave_weight: float = 0.0
    voice_lift: float = 3.0  # dB, as the flow's recipe
    hearing_weight: float = 15.0  # what the codebooks' encoder hears in the sound
    held_out: int = 16  # one song in so many

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(2, "held_out")
        self.at_least(0, "hearing_weight", "voice_lift")
        self.at_least(8, "crop_latents")


@dataclass(frozen=True, kw_only=True)
class DecoderOptions(Options):
    """What the decoder's recipe reads."""

    data: Path  # corpus folder
    rvq: Path  # output of `heartlib train codebooks`
    codec: Path  # HeartCodec-oss folder
    sq: Path | None = None  # scalar codec whose decoder to begin with, not the codec's own
