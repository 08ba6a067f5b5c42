"""Tempo from the repetition of onsets, among the tempi whose beat is 5 to 10 frames of 80 ms."""

from itertools import pairwise

import numpy as np

from heartlib.evaluation.linear import Choice
from heartlib.evaluation.spectra import FPS, Sound

BEAT_FRAMES = (5, 6, 7, 8, 9, 10)
TEMPI = tuple(60 / (0.08 * frames) for frames in BEAT_FRAMES)
"""150, 125, 107.1, 93.75, 83.3 and 75 beats a minute."""
CLASSES = ("fast", "fast", "medium", "medium", "slow", "slow")
BEATS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 8.0)
EDGES = (0, 8, 28, 64)
"""Mel bands of 50 to 7600 Hz up to about 300, 1700 and 7600 Hz."""


def onsets(mel: np.ndarray) -> np.ndarray:
    """Rise of level in three bands, [3, frames], from mel decibels [frames, 64]."""
    rise = np.maximum(mel[2:] - mel[:-2], 0)
    bands = [rise[:, a:b].mean(axis=1) for a, b in pairwise(EDGES)]
    return np.stack(bands)


def tempo_features(sound: Sound) -> np.ndarray:
    """How much the onsets of each band repeat after parts and multiples of each tempo's beat.

    [6, 27]: autocorrelation, 1 at lag 0, its largest value within 10 ms of the lag.
    """
    strength = onsets(sound.mel)
    strength = strength - strength.mean(axis=1, keepdims=True)
    longest = int(max(BEATS) * max(BEAT_FRAMES) * 0.08 * FPS) + 2
    size = 2 ** int(np.ceil(np.log2(strength.shape[1] + max(strength.shape[1], longest))))
    spectrum = np.fft.rfft(strength, size, axis=1)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)
    correlation = correlation / (correlation[:, :1] + 1e-9)
    rows: list[np.ndarray] = []
    for frames in BEAT_FRAMES:
        beat = frames * 0.08 * FPS
        lags = [round(beat * beats) for beats in BEATS]
        rows.append(np.concatenate([correlation[:, lag - 1 : lag + 2].max(axis=1) for lag in lags]))
    return np.stack(rows)


def tempo(sound: Sound, model: Choice) -> tuple[float, float]:
    """Beats a minute, and the fitted probability of that tempo."""
    log = model.log_probabilities(tempo_features(sound))
    best = int(log.argmax())
    return TEMPI[best], float(np.exp(log[best]))


def tempo_class(bpm: float) -> str:
    """slow, medium or fast, as the corpus names them."""
    nearest = min(range(len(TEMPI)), key=lambda index: abs(TEMPI[index] - bpm))
    return CLASSES[nearest]
