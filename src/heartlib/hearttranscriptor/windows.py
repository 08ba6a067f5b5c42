"""Where a long song is cut for Whisper, which hears 30 s at a time.

Legend: n samples at 16 kHz.
"""

from collections.abc import Iterable, Iterator

import numpy as np

RATE = 16000
WINDOW = 30.0  # seconds
SEARCH = 6.0  # seconds before a window's end in which the quietest moment ends it
QUIET = 0.2  # seconds of a moment


def cut(blocks: Iterable[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """First sample and samples of each window of a wave that comes in blocks, float32 [n] of any length.

    Windows have at most 30 s and end where it is quietest.
    """
    longest = int(WINDOW * RATE)
    first, rest = 0, np.zeros(0, np.float32)
    for block in blocks:
        rest = np.concatenate((rest, block))
        while len(rest) > longest:
            end = _quietest(rest[:longest])
            yield first, rest[:end]
            first, rest = first + end, rest[end:]
    if len(rest):
        yield first, rest


def windows(wave: np.ndarray) -> list[tuple[int, int]]:
    """First and last sample of each window of a whole wave, float32 [n]."""
    return [(first, first + len(part)) for first, part in cut([wave])]


def _quietest(window: np.ndarray) -> int:
    begin, moment = len(window) - int(SEARCH * RATE), int(QUIET * RATE)
    power = np.convolve(np.square(window[begin:]), np.ones(moment), mode="valid")
    return begin + int(power.argmin()) + moment // 2
