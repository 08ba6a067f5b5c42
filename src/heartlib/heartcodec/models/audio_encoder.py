"""The published encoder of HeartCodec: stereo audio → features for the residual codebooks.

Shapes: n samples at 24 kHz, T code frames (12.5 Hz), D feature width.
Source: HeartMuLa (arXiv 2601.10547).
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from heartlib.heartcodec.models.feature_extractors import (
    TAIL,
    ExtractorSizes,
    FeatureExtractors,
)
from heartlib.heartcodec.models.feature_fusion import HEAD_WIDTH, FeatureFusion
from heartlib.heartcodec.models.muencoder import SAMPLE_RATE

SAMPLES_PER_FRAME = 1920
CHUNK_FRAMES = 372  # 29.76 s, coded by themselves


@dataclass(frozen=True)
class AudioEncoderConfig:
    """encoder_config.json: the published one is the codec's, of which `dim` counts.

    An object `extractors` overrides the published widths of the three extractors.
    """

    dim: int = 512
    extractors: ExtractorSizes = field(default_factory=ExtractorSizes)

    def __post_init__(self) -> None:
        if self.dim < 1 or self.dim % HEAD_WIDTH:
            raise ValueError(f"dim {self.dim} must be a multiple of {HEAD_WIDTH}")

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "AudioEncoderConfig":
        known = {f.name for f in fields(ExtractorSizes)}
        sizes = {k: v for k, v in data.get("extractors", {}).items() if k in known}
        return cls(dim=data.get("dim", 512), extractors=ExtractorSizes(**sizes))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class AudioEncoder(nn.Module):
    """One chunk of stereo audio at 24 kHz with its tail of zeros [2, n + 240] → features [n // 1920, D]."""

    sample_rate = SAMPLE_RATE

    def __init__(self, config: AudioEncoderConfig):
        super().__init__()
        sizes = config.extractors
        self.config = config
        self.feature_extractors = FeatureExtractors(sizes)
        self.query = FeatureFusion(config.dim, sizes.mu_width, sizes.speech_width)

    def forward(self, wave: Tensor) -> Tensor:
        return self.query(*self.feature_extractors(wave))

    def count_frames(self, samples: int) -> int:
        """T = ⌊seconds · 12.5⌋ + 1."""
        return samples // SAMPLES_PER_FRAME + 1

    def pieces(self, wave: Tensor) -> Iterator[Tensor]:
        """Audio of any length [2, n] → features [t, D] chunk by chunk, T frames in all."""
        frames, chunk = self.count_frames(wave.shape[1]), CHUNK_FRAMES * SAMPLES_PER_FRAME
        for first in range(0, frames, CHUNK_FRAMES):
            start = first * SAMPLES_PER_FRAME
            part = wave[:, start : start + chunk]
            part = F.pad(part, (0, chunk - part.shape[1] + TAIL))
            yield self(part)[: frames - first]
