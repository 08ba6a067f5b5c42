"""Stems become a stereo song: levels by loudness, room, limiter. Waves are float [2, n] at 48 kHz."""

from functools import cache

import numpy as np
from scipy.signal import butter, oaconvolve, sosfilt

RATE = 48000
TARGET = -16.0
CEILING = 0.95
LEVELS = {"main": 0.0, "bass": -4.0, "drums": -4.5}
VOICE_OVER_BAND = 3.0

# ITU-R BS.1770-4, the two K-weighting stages at 48 kHz
_K_WEIGHTING = np.array(
    [
        [
            1.53512485958697,
            -2.69169618940638,
            1.19839281085285,
            1,
            -1.69065929318241,
            0.73248077421585,
        ],
        [1.0, -2.0, 1.0, 1, -1.99004745483398, 0.99007225036621],
    ]
)


def loudness(wave: np.ndarray) -> float:
    """LUFS of a stereo wave after BS.1770-4, gated; -120 for silence."""
    weighted = _filter(_K_WEIGHTING, wave)
    hop = RATE // 10
    count = weighted.shape[1] // hop
    power = (weighted[:, : count * hop] ** 2).reshape(2, count, hop).mean(axis=2).sum(axis=0)
    blocks = np.convolve(power, np.ones(4) / 4, mode="valid") if count >= 4 else power
    level = -0.691 + 10 * np.log10(blocks + 1e-12)
    kept = blocks[level > -70]
    if not len(kept):
        return -120.0
    gate = -0.691 + 10 * np.log10(kept.mean()) - 10
    return float(-0.691 + 10 * np.log10(blocks[level > max(gate, -70)].mean()))


def mix(voice: np.ndarray | None, stems: dict[str, np.ndarray]) -> np.ndarray:
    """The song, float32 [2, n]: the mono voice [n] in front of the stems, at -16 LUFS, peak 0.95."""
    band = np.zeros_like(next(iter(stems.values())))
    for name, stem in stems.items():
        level = loudness(stem)
        if level > -70:
            band += stem * np.float32(10 ** ((LEVELS[name] - 20 - level) / 20))
    room = _room(band.mean(axis=0)) * np.float32(0.10)
    song = band + room
    if voice is not None:
        sung = np.stack([voice, voice]).astype(np.float32)
        lift = loudness(band) + VOICE_OVER_BAND - loudness(sung)
        sung *= np.float32(10 ** (lift / 20))
        song = song + sung + _room(sung[0]) * np.float32(0.16)
    song = song * np.float32(10 ** ((TARGET - loudness(song)) / 20))
    return limit(_fade(song)).astype(np.float32)


def limit(wave: np.ndarray, knee: float = 0.7) -> np.ndarray:
    """Leaves samples below `knee` alone and bends the rest under 0.95."""
    size = np.abs(wave)
    room = CEILING - knee
    bent = knee + room * np.tanh((size - knee) / room)
    return np.where(size > knee, np.sign(wave) * bent, wave)


def _room(mono: np.ndarray) -> np.ndarray:
    """A short reverberation of a mono wave [n], [2, n]."""
    wet = np.asarray(oaconvolve(mono[None], _impulse(), axes=1))
    return wet[:, : len(mono)]


def _filter(sections: np.ndarray, wave: np.ndarray) -> np.ndarray:
    return np.asarray(sosfilt(sections.astype(wave.dtype), wave, axis=1))


@cache
def _impulse() -> np.ndarray:
    """Decaying noise of 0.7 s, fixed, 20 ms after the direct sound."""
    rng = np.random.default_rng(7)
    count = int(0.7 * RATE)
    decay = np.exp(-6.9 * np.arange(count) / count)
    band = np.asarray(butter(2, [250, 7000], "band", fs=RATE, output="sos"))
    noise = _filter(band, rng.standard_normal((2, count)))
    tail = noise * decay
    tail /= np.sqrt((tail**2).sum(axis=1, keepdims=True))
    late = np.concatenate([np.zeros((2, RATE // 50)), tail], axis=1) * 2.0
    return late.astype(np.float32)


def _fade(wave: np.ndarray, seconds: float = 0.4) -> np.ndarray:
    count = min(int(seconds * RATE), wave.shape[1])
    curve = np.ones(wave.shape[1], np.float32)
    curve[-count:] = np.cos(np.linspace(0, np.pi / 2, count)) ** 2
    return wave * curve
