"""Stems become a stereo song: levels by loudness, room, limiter. Waves are float [2, n] at 48 kHz."""

import random
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.fft import rfft
from scipy.signal import butter, oaconvolve, sosfilt, sosfreqz

from heartlib.corpus.moods import MOODS
from heartlib.corpus.orchestra import INSTRUMENTS
from heartlib.corpus.score import Score

RATE = 48000
TARGET = -16.0
CEILING = 0.95
LEVELS = {"main": 0.0, "backing": -9.0, "bass": -4.0, "drums": -4.5}
"""LU of the stems against each other: the main instrument stands in front."""
SECOND = {"unison": -7.0, "third": -5.0}
"""dB of the chorus's second take against the voice."""
RIDE = {"Verse": -1.5, "Prechorus": -0.5, "Chorus": 1.0, "Bridge": -1.0}
"""dB of the voice by section, so that it stays as far above the band."""

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
    """LUFS of a stereo wave after BS.1770-4, gated; -120 for silence.

    Each tenth of a second is weighted by its spectrum, which is several times faster than filtering and within
    0.1 LU of it for music (0.3 for rumble alone).
    """
    hop = RATE // 10
    count = wave.shape[1] // hop
    blocks = np.asarray(wave[:, : count * hop], np.float32).reshape(2 * count, hop)
    spectrum = np.asarray(rfft(blocks))
    power = (np.real(spectrum) ** 2 + np.imag(spectrum) ** 2) @ _weights(hop)
    power = power.reshape(2, count).sum(axis=0)
    blocks = np.convolve(power, np.ones(4) / 4, mode="valid") if count >= 4 else power
    level = -0.691 + 10 * np.log10(blocks + 1e-12)
    kept = blocks[level > -70]
    if not len(kept):
        return -120.0
    gate = -0.691 + 10 * np.log10(kept.mean()) - 10
    return float(-0.691 + 10 * np.log10(blocks[level > max(gate, -70)].mean()))


@cache
def _weights(hop: int) -> np.ndarray:
    """What each line of the power spectrum of `hop` samples adds to their weighted mean square [hop/2 + 1]."""
    _, response = sosfreqz(_K_WEIGHTING, np.fft.rfftfreq(hop, 1 / RATE), fs=RATE)
    weights = np.abs(response) ** 2 * 2 / hop**2
    weights[[0, -1]] /= 2
    return weights.astype(np.float32)


@dataclass(frozen=True)
class Desk:
    """How a song is mixed: LU by stem, pan by stem (-1 left to 1 right), LU of the voice over the
    band, (second, dB) points that its fader moves through, share of the room."""

    levels: dict[str, float]
    pans: dict[str, float]
    voice: float
    ride: tuple[tuple[float, float], ...]
    room: float


@dataclass(frozen=True)
class Mix:
    """The song, float32 [2, n], and what it was made of: dry parts [2, n] at their levels, the
    room's share of each, and the gain that all had in the end."""

    song: np.ndarray
    parts: dict[str, np.ndarray]
    room: dict[str, float]
    gain: float

    def stems(self, wanted: Collection[str] | None = None) -> dict[str, np.ndarray]:
        """The wanted parts, or all, with their room; all sum to the song as it was before the limiter."""
        wet = {
            name: part + _room(part.mean(axis=0)) * np.float32(self.room[name])
            for name, part in self.parts.items()
            if wanted is None or name in wanted
        }
        return {name: _fade(part * np.float32(self.gain)) for name, part in wet.items()}


def desk(score: Score) -> Desk:
    """A song's own balance: what its mood asks for, and small differences from song to song."""
    rng = random.Random(f"heartlib desk {score.seed}")
    mood = MOODS[score.style.mood]
    side = rng.choice((-1, 1))
    pans = {"main": side * rng.uniform(0.0, 0.2), "backing": -side * rng.uniform(0.2, 0.5)}
    pans["second"] = side * rng.uniform(0.4, 0.7)
    levels = {**LEVELS, "drums": LEVELS["drums"] + mood.drums}
    levels["main"] += INSTRUMENTS[score.style.instrument].lift
    levels["second"] = SECOND.get(score.style.doubling, 0.0)
    ride = tuple(
        (at, RIDE.get(part.name, 0.0) * mood.contrast)
        for part in score.sections
        for at in (part.start + 0.1, part.end - 0.1)
    )
    return Desk(levels, pans, rng.uniform(1.5, 3.5), ride, mood.room * rng.uniform(0.8, 1.25))


def mix(
    voice: np.ndarray | None, second: np.ndarray | None, stems: dict[str, np.ndarray], how: Desk
) -> Mix:
    """The mono voice [n] and its second take in front of the stems [2, n], at -16 LUFS, peak 0.95."""
    parts: dict[str, np.ndarray] = {}
    for name, stem in stems.items():
        level = loudness(stem)
        if level > -70:
            gain = np.float32(10 ** ((how.levels[name] - 20 - level) / 20))
            parts[name] = stem * (gain * _sides(how.pans.get(name, 0.0)))
    band = sum(parts.values(), np.zeros_like(next(iter(stems.values()))))
    song = band + _room(band.mean(axis=0)) * np.float32(how.room)
    room = dict.fromkeys(parts, how.room)
    if voice is not None:
        fader = _fader(how.ride, len(voice))
        sung = np.stack([voice * fader] * 2).astype(np.float32)
        lift = np.float32(10 ** ((loudness(band) + how.voice - loudness(sung)) / 20))
        sung *= lift
        vocals = {"voice": sung}
        if second is not None:
            lift *= np.float32(10 ** (how.levels["second"] / 20))
            mono = (second * fader).astype(np.float32)
            vocals["second"] = mono * (lift * _sides(how.pans["second"]))
        for name, part in vocals.items():
            parts[name], room[name] = part, how.room + 0.06
            song = song + part
        together = sum(part.mean(axis=0) for part in vocals.values())
        song = song + _room(np.asarray(together)) * np.float32(how.room + 0.06)
    gain = 10 ** ((TARGET - loudness(song)) / 20)
    return Mix(limit(_fade(song * np.float32(gain))).astype(np.float32), parts, room, gain)


def limit(wave: np.ndarray, knee: float = 0.7) -> np.ndarray:
    """Leaves samples below `knee` alone and bends the rest under 0.95."""
    size = np.abs(wave)
    room = CEILING - knee
    bent = knee + room * np.tanh((size - knee) / room)
    return np.where(size > knee, np.sign(wave) * bent, wave)


def _fader(ride: tuple[tuple[float, float], ...], count: int) -> np.ndarray:
    """Gains [n] of a row of (second, dB) points."""
    times, levels = zip(*ride, strict=True)
    return 10 ** (np.interp(np.arange(count) / RATE, times, levels) / 20)


def _sides(pan: float) -> np.ndarray:
    """Gains of left and right [2, 1] for a pan, of the same power together."""
    angle = (pan + 1) * np.pi / 4
    return np.array([[np.cos(angle)], [np.sin(angle)]], np.float32) * np.float32(np.sqrt(2))


def _room(mono: np.ndarray) -> np.ndarray:
    """A short reverberation of a mono wave [n], [2, n]."""
    wet = np.asarray(oaconvolve(mono[None].astype(np.float32), _impulse(), axes=1))
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
