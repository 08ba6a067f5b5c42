"""What the measurements of voice, timbre, tempo and key look at: one song at 16 kHz, mono.

frames: steps of 10 ms. Windows: 1 s long, one every 0.5 s.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.fft import dct

from heartlib.audio import resample
from heartlib.audio.mel import log_mel

RATE = 16000
HOP = 160
FPS = RATE // HOP
BANDS = 64
CEPSTRA = 20
WINDOW, STEP = FPS, FPS // 2
MODULATION_HZ = ((1, 3), (3, 6), (6, 10), (10, 17))


@dataclass(frozen=True)
class Sound:
    """A song brought to 16 kHz mono and an RMS of 0.1."""

    samples: np.ndarray  # float32 [n]

    @classmethod
    def of(cls, wave: np.ndarray, rate: int) -> "Sound":
        """From float [2, n]; silence stays silence."""
        mono = resample(np.ascontiguousarray(wave, dtype=np.float32), rate, RATE).mean(axis=0)
        level = float(np.sqrt(np.mean(np.square(mono, dtype=np.float64)))) if len(mono) else 0.0
        return cls((mono * (0.1 / level) if level > 1e-7 else mono).astype(np.float32))

    @cached_property
    def mel(self) -> np.ndarray:
        """Decibels [frames, 64] from 50 to 7600 Hz, never below -75."""
        spectrum = log_mel(
            torch.from_numpy(self.samples),
            sample_rate=RATE,
            n_fft=1024,
            hop=HOP,
            n_mels=BANDS,
            f_min=50,
            f_max=7600,
            floor_db=-75,
        )
        return spectrum.T.numpy()

    @cached_property
    def windows(self) -> np.ndarray:
        """Features of each 1 s window: [windows, 112], see `window_features`."""
        return window_features(self.mel)

    def power(self, n_fft: int, hop: int) -> np.ndarray:
        """Hann power spectrum, [frames, n_fft // 2 + 1]."""
        padded = torch.nn.functional.pad(torch.from_numpy(self.samples), (0, n_fft))
        spectrum = torch.stft(
            padded, n_fft, hop, window=torch.hann_window(n_fft), return_complex=True
        )
        return spectrum.abs().square().T.numpy()[: 1 + len(self.samples) // hop]


def window_starts(frames: int) -> np.ndarray:
    """First frame of each whole 1 s window; one window at 0 where the song is shorter."""
    return np.arange(0, max(frames - WINDOW, 0) + 1, STEP)


def window_features(mel: np.ndarray) -> np.ndarray:
    """Mel decibels [frames, 64] -> [windows, 112].

    20 cepstra: their mean, deviation and deviation of differences over 20 and 80 ms; then the
    energy of 8 groups of bands modulated at 1-3, 3-6, 6-10 and 10-17 Hz.
    """
    if len(mel) < WINDOW:
        mel = np.pad(mel, ((0, WINDOW - len(mel)), (0, 0)), mode="edge")
    starts = window_starts(len(mel))
    pieces = np.stack([mel[start : start + WINDOW] for start in starts])  # [windows, 100, 64]
    cepstra = np.asarray(dct(pieces, type=2, norm="ortho", axis=2))[:, :, :CEPSTRA] / 10
    groups = pieces.reshape(len(starts), WINDOW, 8, BANDS // 8).mean(axis=3)
    groups = groups - groups.mean(axis=1, keepdims=True)
    taper = np.hanning(WINDOW)[None, :, None]
    modulation = np.abs(np.fft.rfft(groups * taper, axis=1)) ** 2  # [windows, 51, 8], 1 Hz a bin
    energy = [np.log(modulation[:, low:high].mean(axis=1) + 1.0) for low, high in MODULATION_HZ]
    parts = [
        cepstra.mean(axis=1),
        cepstra.std(axis=1),
        np.abs(cepstra[:, 2:] - cepstra[:, :-2]).mean(axis=1),
        np.abs(cepstra[:, 8:] - cepstra[:, :-8]).mean(axis=1),
        *energy,
    ]
    return np.concatenate(parts, axis=1).astype(np.float64)
