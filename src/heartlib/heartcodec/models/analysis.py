"""Latents of the scalar codec that need no encoder: the waveform of the low sounds, the loudness of the others.

A learned encoder puts phase into every latent, and a flow can only guess phase: what it samples has little in
common with the true latents, and words are lost. Here 48 latents are the lowest coefficients of a modified discrete cosine
transform (below 600 Hz, where melody and bass are), with their phase; 80 are the log power of 40 bands from 500 Hz to 16 kHz
every 20 ms, which follow from what is sung and played. The decoder makes the upper sounds of both, as spectral band
replication does (Dietz et al. 2002), and as there the bands are then made as loud as the latents say, which no
decoder of this size hits by itself. HeartCodecConfig's `scalar_encoder: "analysis"` marks a codec of such latents.

Legend: B rows (one a channel of a song), n samples at 48 kHz, T latents at 25 Hz, b bands, p = 2 parts of a latent.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from heartlib.audio.mel import mel_filterbank

SAMPLE_RATE = 48_000
HOP = 1920  # samples a latent
COEFFICIENTS = 48
SCALE = 0.6  # of a coefficient, whose deviation is 0.37 in music
PARTS = 2  # of a latent's 40 ms, each with its levels
PART = HOP // PARTS
BANDS = 40
BAND_RANGE = (500.0, 16_000.0)  # Hz
N_FFT = 1024
OVERHANG = (N_FFT - PART) // 2  # of the first and last part's window
FLOOR = 1e-3  # power that counts as silence
MEAN = 3.2  # of the lowest band's log power in music
SLOPE = 0.19  # by which it falls from band to band
SPREAD = 6.4  # of log power around it that latents reach
GRID = 480  # samples between the moments at which bands are made louder or quieter
MOST = 2.0  # by which their amplitude is multiplied or divided at most: sampled levels are wrong at times


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
    spread: Tensor  # [bins, bands]: of a band's gain, at each bin; nothing outside the bands

    def __init__(self) -> None:
        super().__init__()
        filters = mel_filterbank(N_FFT, SAMPLE_RATE, BANDS, *BAND_RANGE)
        means = MEAN - SLOPE * torch.arange(BANDS, dtype=torch.float32)
        for name, value in (
            ("basis", mdct(HOP // 2, COEFFICIENTS)[:, None]),
            ("filters", filters),
            ("window", torch.hann_window(N_FFT)),
            ("means", means[:, None]),
            ("spread", (filters / filters.sum(0).clamp_min(1e-6)).T),
        ):
            self.register_buffer(name, value, persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        levels = self.levels(F.pad(wave, (OVERHANG, OVERHANG)))
        return torch.cat((self.coefficients(wave), levels), dim=1)

    def coefficients(self, wave: Tensor) -> Tensor:
        """[B, 48, T] of the 80 ms that end with a latent's first sample: the decoder looks two latents ahead."""
        half = F.avg_pool1d(wave, 2)  # 24 kHz
        found = F.conv1d(F.pad(half, (HOP - 1, 0)), self.basis, stride=HOP // 2)
        return (SCALE * found).clamp(-1, 1)

    def levels(self, wave: Tensor) -> Tensor:
        """Audio that overhangs, [B, 1, 32 + n + 32] → [B, 80, T], a latent's own 40 ms, parts of a band side by side."""
        spectrum = torch.stft(
            wave[:, 0], N_FFT, PART, window=self.window, center=False, return_complex=True
        )
        level = torch.log(self.filters @ spectrum.abs().square() + FLOOR)  # [B, b, p·T]
        level = ((level - self.means) / SPREAD).clamp(-1, 1)
        return level.unflatten(-1, (-1, PARTS)).permute(0, 1, 3, 2).flatten(1, 2)

    def match(self, wave: Tensor, latents: Tensor) -> Tensor:
        """A decoder's audio [B, 1, n] with its bands as loud as latents [B, 128, T] say, by 6 dB more or less at most."""
        found = self.levels(F.pad(wave, (OVERHANG, OVERHANG), mode="reflect"))
        gain = (latents[:, COEFFICIENTS:] - found) * SPREAD / 2  # of log amplitude
        gain = gain.unflatten(1, (-1, PARTS)).permute(0, 1, 3, 2).flatten(2)  # [B, b, p·T]
        gain = gain.clamp(-math.log(MOST), math.log(MOST))
        gain = F.interpolate(gain, scale_factor=PART // GRID, mode="linear")
        gain = F.pad(gain, (1, 1), mode="replicate")  # from between the moments to the moments
        gain = self.spread @ ((gain[..., :-1] + gain[..., 1:]) / 2)  # [B, bins, n / 480 + 1]
        transform = {"n_fft": N_FFT, "hop_length": GRID, "window": self.window}
        spectrum = torch.stft(wave[:, 0], **transform, return_complex=True)
        return torch.istft(spectrum * gain.exp(), **transform, length=wave.shape[-1])[:, None]


@lru_cache
def _analysis(device: torch.device) -> Analysis:
    with torch.inference_mode(False):  # whoever asks first
        return Analysis().to(device)


def analyse(wave: Tensor) -> Tensor:
    """Audio [B, 1, n] → latents [B, 128, T], not yet rounded; n is a multiple of 1920."""
    return _analysis(wave.device)(wave)


def match_levels(wave: Tensor, latents: Tensor) -> Tensor:
    """Audio [B, 1, n] with its bands as loud as latents [B, 128, T] say, the rest as it is."""
    return _analysis(wave.device).match(wave, latents)
