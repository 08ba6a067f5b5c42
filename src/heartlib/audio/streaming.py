"""Read a sound of any length in little memory.

n: samples. A block is float32 numpy [n] in -1...1.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from heartlib.audio.files import opened
from heartlib.errors import HeartlibError

BLOCK = 10  # seconds


def duration(path: str | Path) -> float:
    """Seconds of a sound file, by its header. Raises as `mono_blocks` does."""
    with opened(path) as file:
        return file.frames / file.samplerate


def mono_blocks(path: str | Path, rate: int) -> Iterator[np.ndarray]:
    """Blocks of a sound file at `rate` Hz, the mean of its channels, whatever it has of both.

    UsageError where there is no such file, HeartlibError where it is not sound or holds values that
    are not finite.
    """
    import soxr

    with opened(path) as file:
        stream = soxr.ResampleStream(file.samplerate, rate, 1, dtype="float32")
        for block in file.blocks(BLOCK * file.samplerate, dtype="float32", always_2d=True):
            if not np.isfinite(block).all():
                raise HeartlibError(f"{path} holds values that are not finite")
            yield stream.resample_chunk(block.mean(axis=1))
        yield stream.resample_chunk(np.zeros(0, np.float32), last=True)
