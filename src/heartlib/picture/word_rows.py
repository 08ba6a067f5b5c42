"""Words side by side under their times: those that would touch go into the next row."""

from collections.abc import Sequence
from dataclasses import dataclass

GAP = 7.0  # pixels between two words of a row
MOST = 10  # rows


@dataclass(frozen=True)
class Place:
    """Where one word is written: the word's number, its row and the left edge of its text, pixels."""

    word: int
    row: int
    left: float


def place(
    starts: Sequence[float], widths: Sequence[float], right: float
) -> tuple[list[Place], int]:
    """Rows for words that start at `starts` and are `widths` wide, pixels from 0 to `right`; and how many rows.

    A word without room in any of MOST rows is left out.
    """
    places: list[Place] = []
    ends: list[float] = []  # of each row's last word
    for word, (start, width) in enumerate(zip(starts, widths, strict=True)):
        left = max(0.0, min(start, right - width))
        row = next((row for row, end in enumerate(ends) if end + GAP <= left), len(ends))
        if row == MOST:
            continue
        ends[row : row + 1] = [left + width]
        places.append(Place(word, row, left))
    return places, len(ends)
