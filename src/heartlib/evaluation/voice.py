"""Is somebody singing, when, how high, and is it a woman or a man."""

from dataclasses import dataclass

import numpy as np

from heartlib.evaluation.linear import Classifier
from heartlib.evaluation.pitch import voice_pitch
from heartlib.evaluation.spectra import STEP, WINDOW, Sound, window_starts

VOICE = ("played", "sung")
SINGERS = ("female", "male")
CLEAR = 1.0
"""A window is sung where the logarithm of the odds for it is above this."""
SUNG_SHARE = 0.35
"""A song is sung where at least this share of its windows is."""


@dataclass(frozen=True)
class Voice:
    """share: of the 1 s windows that are sung. pitch: median hertz, None where nobody sings.

    female: probability of a female singer, None where nobody sings.
    """

    share: float
    pitch: float | None
    female: float | None

    @property
    def present(self) -> bool:
        return self.share >= SUNG_SHARE

    @property
    def singer(self) -> str:
        """female, male or none."""
        if self.female is None or not self.present:
            return "none"
        return SINGERS[0] if self.female >= 0.5 else SINGERS[1]


def find_voice(sound: Sound, detector: Classifier, singers: Classifier) -> Voice:
    """Listens for a voice with the fitted `detector`, then to how high it sings."""
    log = detector.log_probabilities(sound.windows)
    sung = log[:, VOICE.index("sung")] - log[:, VOICE.index("played")] > CLEAR
    if not sung.any():
        return Voice(0.0, None, None)
    pitch = voice_pitch(sound, _frames(sung, len(sound.mel)))
    if not len(pitch):
        return Voice(float(sung.mean()), None, None)
    features = singer_features(sound.windows[sung], pitch)
    female = float(np.exp(singers.log_probabilities(features[None])[0, 0]))
    return Voice(float(sung.mean()), float(np.median(pitch)), female)


def sung_probability(sound: Sound, detector: Classifier) -> np.ndarray:
    """How likely somebody sings in each window, [windows]."""
    return np.exp(detector.log_probabilities(sound.windows)[:, VOICE.index("sung")])


def singer_features(windows: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    """[5]: octaves of the pitch's quartiles over 220 Hz, and two of the sung windows' tilt."""
    quartiles = np.log2(np.percentile(pitch, [25, 50, 75]) / 220)
    return np.concatenate([quartiles, windows[:, 1:3].mean(axis=0)])


def _frames(sung: np.ndarray, frames: int) -> np.ndarray:
    """Window decisions -> frames of 10 ms [frames]: the middle half of each sung window."""
    flags = np.zeros(frames, dtype=bool)
    for start in window_starts(frames)[sung[: len(window_starts(frames))]]:
        middle = start + (WINDOW - STEP) // 2
        flags[middle : middle + STEP] = True
    return flags
