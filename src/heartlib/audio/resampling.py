"""Change a wave's sample rate."""

from collections.abc import Iterable, Iterator

import numpy as np

from heartlib.errors import UsageError


def resample(wave: np.ndarray, rate_in: int, rate_out: int) -> np.ndarray:
    """float32 [channels, n] at `rate_in` Hz -> [channels, about n * rate_out / rate_in] (soxr, "HQ")."""
    _check(rate_in, rate_out)
    wave = np.asarray(wave, dtype=np.float32)
    if rate_in == rate_out:
        return wave
    import soxr

    return np.ascontiguousarray(soxr.resample(wave.T, rate_in, rate_out).T, dtype=np.float32)


def resample_pieces(
    pieces: Iterable[np.ndarray], rate_in: int, rate_out: int
) -> Iterator[np.ndarray]:
    """Mono float32 [n] piece after piece -> the pieces of what `resample` makes of the whole."""
    _check(rate_in, rate_out)
    if rate_in == rate_out:
        yield from pieces
        return
    import soxr

    stream = soxr.ResampleStream(rate_in, rate_out, 1, dtype="float32", quality="HQ")
    for piece in pieces:
        yield stream.resample_chunk(np.ascontiguousarray(piece, dtype=np.float32))
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def _check(rate_in: int, rate_out: int) -> None:
    if rate_in <= 0 or rate_out <= 0:
        raise UsageError(f"sample rates are above 0 Hz, not {rate_in} and {rate_out}")
