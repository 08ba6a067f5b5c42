"""Which instrument leads the accompaniment."""

import numpy as np

from heartlib.evaluation.linear import Classifier
from heartlib.evaluation.spectra import Sound

INSTRUMENTS = ("piano", "guitar", "strings", "organ", "synth")


def instruments(sound: Sound, model: Classifier) -> dict[str, float]:
    """How likely each instrument is the main one: mean log-probability of the song's windows.

    The values are comparable between songs; the largest is the decision.
    """
    mean = model.log_probabilities(sound.windows).mean(axis=0)
    return {name: round(float(value), 4) for name, value in zip(model.classes, mean, strict=True)}


def contrast(scores: dict[str, float], first: str, second: str) -> float:
    """How much more a song sounds like `first` than like `second`, nepers."""
    return scores[first] - scores[second]


def main_instrument(scores: dict[str, float]) -> str:
    """The one with the largest score."""
    names = list(scores)
    return names[int(np.argmax([scores[name] for name in names]))]
