"""The shape of HeartCLAP's two towers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class HeartCLAPConfig:
    """config.json of a HeartCLAP folder; the defaults are nano's."""

    embed_dim: int = 1024
    sample_rate: int = 24_000
    clip_seconds: float = 10.0
    n_fft: int = 1024
    hop_length: int = 240
    n_mels: int = 96
    f_min: float = 30.0
    f_max: float = 12_000.0
    mel_mean: float = -40.0  # decibels
    mel_std: float = 20.0
    audio_width: int = 192
    audio_layers: int = 4
    audio_heads: int = 4
    vocab_size: int = 2048
    text_width: int = 192
    text_layers: int = 2
    text_heads: int = 4
    max_tokens: int = 64
    pad_id: int = 0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for tower in ("audio", "text"):
            width, heads = getattr(self, f"{tower}_width"), getattr(self, f"{tower}_heads")
            if width % heads:
                raise ValueError(
                    f"{tower}_width {width} must be a multiple of {tower}_heads {heads}"
                )
        if self.clip_frames % 4:
            raise ValueError(
                f"a clip has {self.clip_frames} mel frames; it must be a multiple of 4"
            )

    @property
    def clip_frames(self) -> int:
        """Mel frames of a clip."""
        return round(self.clip_seconds * self.sample_rate) // self.hop_length

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> HeartCLAPConfig:
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in known})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
