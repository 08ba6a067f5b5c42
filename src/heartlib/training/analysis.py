"""Latents of the scalar codec that need no encoder: the waveform of the low sounds, the loudness of the others.

A learned encoder puts phase into every latent, and a flow can only guess phase: what it samples has little in
common with the true latents, and words are lost. Here 48 latents are the lowest coefficients of a modified discrete cosine
transform (below 600 Hz, where melody and bass are), with their phase; 80 are the log power of 40 bands from 500 Hz to 16 kHz
every 20 ms, which follow from what is sung and played. The decoder makes the upper sounds of both, as spectral band
replication does (Dietz et al. 2002). HeartCodecConfig's `scalar_encoder: "analysis"` marks a codec of such latents.

Legend: B rows (one a channel of a song), n samples at 48 kHz, T latents at 25 Hz, k coefficient.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from heartlib.audio.mel import mel_filterbank
from heartlib.heartcodec.models.sq_codec import SQCodec

SAMPLE_RATE = 48_000
HOP = 1920  # samples a latent
COEFFICIENTS = 48
SCALE = 0.6  # of a coefficient, whose deviation is 0.37 in music
PARTS = 2  # of a latent's 40 ms, each with its levels
BANDS = 40
BAND_RANGE = (500.0, 16_000.0)  # Hz
N_FFT = 1024
FLOOR = 1e-3  # power that counts as silence
MEAN = 3.2  # of the lowest band's log power in music
SLOPE = 0.19  # by which it falls from band to band
SPREAD = 6.4  # of log power around it that latents reach


def mdct(hop: int, count: int) -> Tensor:
    """The lowest `count` basis functions of the orthonormal MDCT with a sine window: [count, 2·hop]."""
    p, k = torch.arange(2 * hop) + 0.5, torch.arange(count) + 0.5
    window = torch.sin(math.pi / (2 * hop) * p)
    return window * math.sqrt(2 / hop) * torch.cos(math.pi / hop * torch.outer(k, p + hop / 2))


class Analysis(nn.Module):
    """Audio [B, 1, n] → latents in [−1, 1], not yet rounded [B, 128, T]; n is a multiple of 1920."""

    basis: Tensor
    filters: Tensor
    window: Tensor
    means: Tensor

    def __init__(self) -> None:
        super().__init__()
        filters = mel_filterbank(N_FFT, SAMPLE_RATE, BANDS, *BAND_RANGE)
        means = MEAN - SLOPE * torch.arange(BANDS, dtype=torch.float32)
        for name, value in (
            ("basis", mdct(HOP // 2, COEFFICIENTS)[:, None]),
            ("filters", filters),
            ("window", torch.hann_window(N_FFT)),
            ("means", means[:, None]),
        ):
            self.register_buffer(name, value, persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        return torch.cat((self.coefficients(wave), self.levels(wave)), dim=1)

    def coefficients(self, wave: Tensor) -> Tensor:
        """[B, 48, T] of the 80 ms that end with a latent's first sample: the decoder looks two latents ahead."""
        half = F.avg_pool1d(wave, 2)  # 24 kHz
        found = F.conv1d(F.pad(half, (HOP - 1, 0)), self.basis, stride=HOP // 2)
        return (SCALE * found).clamp(-1, 1)

    def levels(self, wave: Tensor) -> Tensor:
        """[B, 80, T], a latent's own 40 ms, parts of a band side by side."""
        step = HOP // PARTS
        edge = (N_FFT - step) // 2
        spectrum = torch.stft(
            F.pad(wave[:, 0], (edge, edge)),
            N_FFT,
            step,
            window=self.window,
            center=False,
            return_complex=True,
        )
        level = torch.log(self.filters @ spectrum.abs().square() + FLOOR)  # [B, bands, 4T]
        level = ((level - self.means) / SPREAD).clamp(-1, 1)
        return level.unflatten(-1, (-1, PARTS)).permute(0, 1, 3, 2).flatten(1, 2)


@lru_cache
def _analysis(device: torch.device) -> Analysis:
    with torch.inference_mode(False):  # whoever asks first
        return Analysis().to(device)


def latents_of(codec: SQCodec, wave: Tensor) -> Tensor:
    """Audio [B, 1, n] → latents [B, 128, T] of the codec's kind, not yet rounded."""
    if codec.config.scalar_encoder == "analysis":
        return _analysis(wave.device)(wave)
    return codec.encode(wave)
