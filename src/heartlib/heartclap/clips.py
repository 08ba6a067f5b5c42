"""A song as clips of one length."""

from collections.abc import Iterable, Iterator

import numpy as np


def clips_of(pieces: Iterable[np.ndarray], length: int) -> Iterator[np.ndarray]:
    """Mono audio float32 [n], piece after piece -> clips [length], one after another.

    Less than half a clip at the end is left out, more is filled with silence; what is shorter than
    a clip is one. No samples, no clip.
    """
    rest = np.zeros(0, np.float32)
    for piece in pieces:
        rest = np.concatenate((rest, piece)) if len(rest) else piece
        while 2 * len(rest) >= 3 * length:
            yield rest[:length]
            rest = rest[length:]
    if len(rest):
        clip = rest[:length]
        yield np.pad(clip, (0, length - len(clip)))
