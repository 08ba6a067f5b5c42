"""Which instrument leads the accompaniment."""

import numpy as np

from heartlib.evaluation.perceptron import Perceptron
from heartlib.evaluation.spectra import Sound

BESIDE_VOICE = 0.1
"""How much a window counts in which somebody certainly sings, which hides the instrument."""


def instruments(sound: Sound, model: Perceptron, sung: np.ndarray) -> dict[str, float]:
    """How likely each instrument is the main one: weighted mean log-probability of the windows.

    sung: how likely it is that somebody sings in each window, 0 to 1. The values are comparable
    between songs; the largest is the decision.
    """
    weights = 1 - (1 - BESIDE_VOICE) * sung
    mean = np.average(model.log_probabilities(sound.windows), axis=0, weights=weights)
    return {name: round(float(value), 4) for name, value in zip(model.classes, mean, strict=True)}


def contrast(scores: dict[str, float], first: str, second: str) -> float:
    """How much more a song sounds like `first` than like `second`, nepers."""
    return scores[first] - scores[second]


def main_instrument(scores: dict[str, float]) -> str:
    """The one with the largest score."""
    names = list(scores)
    return names[int(np.argmax([scores[name] for name in names]))]
