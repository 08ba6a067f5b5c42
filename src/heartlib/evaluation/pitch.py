"""The pitch of a voice in a mix: harmonic sums and the smoothest path through them."""

import numpy as np

from heartlib.evaluation.spectra import FPS, RATE, Sound

N_FFT, HOP = 2048, 320
LOW, HIGH = 87.0, 900.0
STEPS = 36
"""Candidates an octave: 33 cents apart."""
HARMONICS = 12
FALL = 0.86
REACH = 6


def candidates() -> np.ndarray:
    """Hertz of every candidate pitch."""
    count = int(np.floor(STEPS * np.log2(HIGH / LOW))) + 1
    return LOW * 2 ** (np.arange(count) / STEPS)


def salience(sound: Sound) -> np.ndarray:
    """How well each candidate's harmonics explain each frame of 20 ms: [frames, candidates].

    Peaks over the spectral envelope, in nepers, summed over harmonics with falling weight, less
    what lies half-way between them (which favours no octave below).
    """
    power = sound.power(N_FFT, HOP)
    level = 0.5 * np.log(power + 1e-6)
    width = 24
    total = np.cumsum(np.pad(level, ((0, 0), (width + 1, width)), mode="edge"), axis=1)
    envelope = (total[:, 2 * width + 1 :] - total[:, : -2 * width - 1]) / (2 * width + 1)
    white = np.clip(level - envelope, 0, 3)
    hertz = candidates()
    result = np.zeros((len(white), len(hertz)))
    for number in range(1, HARMONICS + 1):
        weight = FALL ** (number - 1)
        result += weight * _at(white, hertz * number)
        result -= 0.5 * weight * _at(white, hertz * (number - 0.5))
    return result


def _at(spectra: np.ndarray, hertz: np.ndarray) -> np.ndarray:
    """Spectra [frames, bins] between bins; 0 past the last one."""
    place = hertz * N_FFT / RATE
    left = np.minimum(place.astype(int), spectra.shape[1] - 2)
    share = np.where(place < spectra.shape[1] - 1, place - left, 0.0)
    inside = place < spectra.shape[1] - 1
    return (spectra[:, left] * (1 - share) + spectra[:, left + 1] * share) * inside


def track(scores: np.ndarray, cost: float = 0.6) -> np.ndarray:
    """The path of candidates [frames] of the highest sum, at most 6 steps a frame, `cost` a step.

    Jumps further than that are allowed at a fixed price, for the next note.
    """
    frames, count = scores.shape
    leap = cost * (REACH + 2)
    back = np.zeros((frames, count), dtype=np.int32)
    best = scores[0].copy()
    for frame in range(1, frames):
        before = int(best.argmax())
        value, source = np.full(count, best[before] - leap), np.full(count, before)
        for shift in range(-REACH, REACH + 1):
            moved = np.full(count, -np.inf)
            if shift >= 0:
                moved[shift:] = best[: count - shift]
            else:
                moved[:shift] = best[-shift:]
            moved -= cost * abs(shift)
            better = moved > value
            value = np.where(better, moved, value)
            source = np.where(better, np.arange(count) - shift, source)
        back[frame] = source
        best = value + scores[frame]
    path = np.zeros(frames, dtype=np.int64)
    path[-1] = int(best.argmax())
    for frame in range(frames - 1, 0, -1):
        path[frame - 1] = back[frame, path[frame]]
    return path


def voice_pitch(sound: Sound, sung: np.ndarray) -> np.ndarray:
    """Hertz of the singing, one value for each 20 ms inside the `sung` frames of 10 ms [frames]."""
    scores = salience(sound)
    pitch = candidates()[track(scores)]
    step = HOP * FPS // RATE
    inside = sung[::step][: len(pitch)]
    return pitch[: len(inside)][inside]
