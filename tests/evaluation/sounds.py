"""Synthetic music for the tests: waves are float32 [2, n] at 48 kHz."""

import numpy as np

RATE = 48000


def stereo(mono: np.ndarray) -> np.ndarray:
    """The same on both channels."""
    return np.stack([mono, mono]).astype(np.float32)


def time_of(seconds: float) -> np.ndarray:
    """The moment of each sample."""
    return np.arange(round(seconds * RATE)) / RATE


def tone(
    hertz: float | np.ndarray, seconds: float, harmonics: int = 8, fall: float = 0.7
) -> np.ndarray:
    """Harmonics of a fixed or moving pitch, mono [n], peak about 0.3."""
    pitch = np.broadcast_to(hertz, round(seconds * RATE))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    waves = [fall**n * np.sin((n + 1) * phase) for n in range(harmonics)]
    return 0.3 * np.sum(waves, axis=0) / np.sum(fall ** np.arange(harmonics))


def vibrato(hertz: float, seconds: float) -> np.ndarray:
    """A singer's pitch: half a semitone up and down, 5.5 times a second."""
    return hertz * 2 ** (0.5 / 12 * np.sin(2 * np.pi * 5.5 * time_of(seconds)))


def drums(bpm: float, seconds: float, seed: int = 0) -> np.ndarray:
    """Kick on 1 and 3, snare on 2 and 4, a hat on every eighth, mono [n]."""
    rng = np.random.default_rng(seed)
    wave = np.zeros(round(seconds * RATE) + RATE)
    t = time_of(0.15)
    kick = np.sin(2 * np.pi * 55 * t) * np.exp(-t * 25)
    snare = rng.standard_normal(len(t)) * np.exp(-t * 30) * 0.5
    bright = np.diff(rng.standard_normal(len(t) + 1)) * np.exp(-t * 90) * 0.2
    beat = 60 / bpm
    for eighth in range(int(seconds / beat * 2)):
        at = round(eighth * beat / 2 * RATE)
        wave[at : at + len(t)] += bright
        if eighth % 2 == 0:
            wave[at : at + len(t)] += kick if eighth % 4 == 0 else snare
    return 0.4 * wave[: round(seconds * RATE)]


def chords(tonic: int, minor: bool, seconds: float = 16.0) -> np.ndarray:
    """I IV V I with a bass, over and over, mono [n]; `tonic` 0 is C."""
    third = 3 if minor else 4
    triads = {0: (0, third, 7), 5: (5, 5 + third, 12), 7: (7, 11, 14)}
    bars = [0, 5, 7, 0]
    wave = [
        sum(
            tone(440 * 2 ** ((note - 69) / 12), 1.0, 4)
            for note in (36 + tonic + root, *(60 + tonic + step for step in triads[root]))
        )
        / 4
        * np.minimum(1, 40 * np.minimum(time_of(1.0), time_of(1.0)[::-1]))
        for root in (bars * (1 + int(seconds) // 4))[: int(seconds)]
    ]
    return np.concatenate(wave)
