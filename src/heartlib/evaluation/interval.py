"""How sure a figure over songs is: bootstrap intervals (Efron 1979)."""

from collections.abc import Sequence

import numpy as np

DRAWS = 4000
LEVEL = 0.95


def ratio_interval(
    parts: Sequence[float], wholes: Sequence[float], *, seed: int = 0
) -> tuple[float, float]:
    """The 95 % interval of sum(parts) / sum(wholes) over songs, by drawing songs with replacement.

    parts and wholes: one each a song, such as its errors and its phonemes. ValueError without songs.
    """
    if not parts or len(parts) != len(wholes):
        raise ValueError(f"an interval of {len(parts)} parts and {len(wholes)} wholes")
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(parts), size=(DRAWS, len(parts)))
    top, bottom = np.array(parts, float)[chosen], np.array(wholes, float)[chosen]
    rates = top.sum(axis=1) / np.maximum(bottom.sum(axis=1), 1e-9)
    low, high = np.quantile(rates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
