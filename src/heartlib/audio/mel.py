"""Mel spectra: triangular HTK filters over the power spectrum."""

import math

import torch
from torch import Tensor


def hertz_to_mel(frequency: float) -> float:
    """HTK's mel scale: 2595 * log10(1 + f / 700)."""
    return 2595.0 * math.log10(1.0 + frequency / 700.0)


def mel_filterbank(n_fft: int, sample_rate: int, n_mels: int, f_min: float, f_max: float) -> Tensor:
    """Triangles of height 1, not normalised by area: float32 [n_mels, n_fft // 2 + 1].

    Frequencies in hertz. ValueError when a band is so narrow that no bin of the FFT falls into it.
    """
    if not 0 <= f_min < f_max <= sample_rate / 2:
        raise ValueError(
            f"mel bands from {f_min} to {f_max} Hz do not fit between 0 and {sample_rate / 2} Hz"
        )
    mels = torch.linspace(hertz_to_mel(f_min), hertz_to_mel(f_max), n_mels + 2, dtype=torch.float64)
    edges = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)  # [n_mels + 2], hertz
    bins = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    filters = torch.minimum(rising, falling).clamp_min(0).float()
    empty = (filters.amax(dim=1) == 0).sum().item()
    if empty:
        raise ValueError(
            f"{empty} of {n_mels} mel bands hold no bin of an FFT of {n_fft}: "
            "fewer bands or a longer FFT"
        )
    return filters


def power_spectrum(wave: Tensor, n_fft: int, hop: int, window: Tensor) -> Tensor:
    """Hann power spectrum [..., n_fft // 2 + 1, frames] of [..., n]; a full-scale sine's peak is near 1."""
    flat = wave.reshape(-1, wave.shape[-1])
    spectrum = torch.stft(flat, n_fft, hop, window=window, return_complex=True)
    power = torch.view_as_real(spectrum).square().sum(-1) * (2.0 / window.sum()) ** 2
    return power.reshape(*wave.shape[:-1], *power.shape[1:])


def log_mel(
    wave: Tensor,
    *,
    sample_rate: int = 48000,
    n_fft: int = 2048,
    hop: int = 512,
    n_mels: int = 128,
    f_min: float = 0.0,
    f_max: float = 20000.0,
    floor_db: float = -80.0,
) -> Tensor:
    """Mel spectrum in decibels of audio [..., n]: [..., n_mels, 1 + n // hop], never below `floor_db`."""
    window = torch.hann_window(n_fft, device=wave.device, dtype=wave.dtype)
    filters = mel_filterbank(n_fft, sample_rate, n_mels, f_min, f_max).to(wave)
    power = filters @ power_spectrum(wave, n_fft, hop, window)
    return 10.0 * torch.log10(power.clamp_min(10.0 ** (floor_db / 10.0)))
