"""Change a wave's sample rate."""

import numpy as np

from heartlib.errors import UsageError


def resample(wave: np.ndarray, rate_in: int, rate_out: int) -> np.ndarray:
    """float32 [channels, n] at `rate_in` Hz -> [channels, about n * rate_out / rate_in] (soxr, "HQ")."""
    if rate_in <= 0 or rate_out <= 0:
        raise UsageError(f"sample rates are above 0 Hz, not {rate_in} and {rate_out}")
    wave = np.asarray(wave, dtype=np.float32)
    if rate_in == rate_out:
        return wave
    import soxr

    return np.ascontiguousarray(soxr.resample(wave.T, rate_in, rate_out).T, dtype=np.float32)
