"""Where one sound becomes another: levels and cross-fades. Waves are float32 numpy [2, n]."""

import numpy as np

from heartlib.audio.files import PEAK

MOST_GAIN = 4.0
SILENT = 1e-4


def likeness(before: np.ndarray, after: np.ndarray) -> float:
    """How far two waves of one shape are the same sound: their correlation, 0 where it is negative."""
    one, two = before.astype(np.float64).ravel(), after.astype(np.float64).ravel()
    size = np.sqrt(one @ one) * np.sqrt(two @ two)
    return float(np.clip(one @ two / size, 0, 1)) if size > 0 else 1.0


def cross_fade(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Go from `before` to `after` [..., n] at the same level all the way.

    Straight lines, divided by the level that the sum of two waves of that `likeness` has: the same
    sound is faded linearly, unrelated ones at equal power. The first sample is all `before`, the last all `after`.
    """
    rise = np.linspace(0, 1, before.shape[-1])
    fall = 1 - rise
    level = np.sqrt(fall**2 + rise**2 + 2 * likeness(before, after) * fall * rise)
    return (before * (fall / level) + after * (rise / level)).astype(np.float32)


def level_gain(wanted: np.ndarray, found: np.ndarray) -> float:
    """What to multiply `found` with to be as loud as `wanted`, a quarter to 4; 1 where either is silent."""
    if not wanted.size:
        return 1.0
    loud = [float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))) for wave in (wanted, found)]
    if min(loud) < SILENT:
        return 1.0
    return float(np.clip(loud[0] / loud[1], 1 / MOST_GAIN, MOST_GAIN))


def join(kept: np.ndarray, made: np.ndarray, *, fade: int, listen: int) -> np.ndarray:
    """`kept` [2, n] as it is, and what `made` [2, m], m > n, has after it.

    made: the same sound in other words, which goes on. It is brought to the level of `kept` over the last
    `listen` samples of it, but not above -1 dB or the peak of `kept`, and faded in over the last `fade`.
    """
    cut = kept.shape[1]
    start = cut - min(fade, cut)
    near = slice(max(0, cut - listen), cut)
    gain = level_gain(kept[:, near], made[:, near])
    room = max(PEAK, float(np.abs(kept).max(initial=0.0)))
    peak = float(np.abs(made[:, start:]).max(initial=0.0))
    tail = made[:, start:] * np.float32(min(gain, room / peak) if peak > 0 else gain)
    faded = cross_fade(kept[:, start:], tail[:, : cut - start])
    limited = np.clip(faded, -room, room)
    return np.concatenate((kept[:, :start], limited, tail[:, cut - start :]), axis=1)
