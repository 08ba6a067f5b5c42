"""A sound through the codec and back: what any model behind it can reach at best.

n: samples at 48 kHz.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from heartlib.audio.mel import log_mel
from heartlib.heartcodec import HeartCodec
from heartlib.heartcodec.encoding import load_encoder
from heartlib.heartcodec.models.query_transformer import MelEncoder

ENCODER = "HeartCodec-oss-encoder"


class RoundTrip:
    """The encoder and the codec of a checkpoint folder."""

    def __init__(self, encoder: MelEncoder, codec: HeartCodec) -> None:
        self.encoder, self.codec = encoder, codec

    @classmethod
    def from_pretrained(cls, encoder: Path, codec: HeartCodec) -> RoundTrip:
        """The encoder's folder beside a loaded codec. CheckpointError where it is none."""
        return cls(load_encoder(encoder, codec.device), codec)

    @torch.inference_mode()
    def __call__(self, wave: np.ndarray, *, seed: int = 0) -> np.ndarray:
        """float32 [2, n] -> the same through codes, float32 [2, n]; `seed` is the decoder's noise."""
        sound = torch.from_numpy(wave).to(self.codec.device)
        codes = self.codec.flow_matching.vq_embed.encode(self.encoder(sound[None]))[0]  # [K, T]
        made = self.codec.detokenize(codes, seed=seed).numpy()
        made = made / max(1.0, float(np.abs(made).max(initial=0.0)) / 0.999)
        kept = made[:, : wave.shape[1]]
        return np.pad(kept, ((0, 0), (0, wave.shape[1] - kept.shape[1])))


def mel_distance(made: np.ndarray, real: np.ndarray) -> float:
    """Mean absolute difference, in decibels, of 128 mel bands up to 20 kHz of two waves [2, n] at 48 kHz."""
    spectra = [log_mel(torch.from_numpy(np.ascontiguousarray(wave))) for wave in (made, real)]
    return float((spectra[0] - spectra[1]).abs().mean())
