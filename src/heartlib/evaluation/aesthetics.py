"""AudioBox aesthetics (Tjandra et al. 2025): what a listener may think of a sound, by Meta's own package.

`audiobox_aesthetics` is no dependency: where it is not installed, there are no such figures.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from heartlib.errors import HeartlibError

PACKAGE = "audiobox_aesthetics"
AXES = ("CE", "CU", "PC", "PQ")
"""Content enjoyment, content usefulness, production complexity, production quality; 1 to 10."""


def installed() -> bool:
    """Whether the package is there."""
    return find_spec(PACKAGE) is not None


class Aesthetics:
    """The package's predictor, on the device that it chooses. HeartlibError where it cannot be loaded.

    The first time the package downloads its weights.
    """

    def __init__(self) -> None:
        try:
            from audiobox_aesthetics.infer import (  # pyright: ignore[reportMissingImports]
                initialize_predictor,
            )

            self.predictor: Any = initialize_predictor()
        except Exception as error:
            raise HeartlibError(f"{PACKAGE} cannot be loaded: {error}") from error

    def __call__(self, wave: np.ndarray, rate: int) -> dict[str, float]:
        """The four scores of a song, float32 [channels, n]."""
        given = {"path": torch.from_numpy(np.ascontiguousarray(wave)), "sample_rate": rate}
        (found,) = self.predictor.forward([given])
        scores = json.loads(found) if isinstance(found, str) else found
        return {axis: float(scores[axis]) for axis in AXES}
