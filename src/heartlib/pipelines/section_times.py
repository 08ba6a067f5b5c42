"""When the sections of lyrics begin, by the words that were heard."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from heartlib.evaluation.adherence import Section
from heartlib.hearttranscriptor.given_words import Beside
from heartlib.hearttranscriptor.word_times import Word

LEAD = 0.3
"""Seconds before its first word that a section begins, where the word before it has ended."""


def section_starts(
    sections: Sequence[Section], heard: Sequence[Word], duration: float
) -> list[float]:
    """The second at which each section begins, rising, for a song of `duration` seconds.

    The letters of the lyrics are put beside those that were heard, so that misheard words cost
    little. Between the last word of one section and the first of the next, the longest rest is
    their border: a section begins LEAD before the word after it, or where the word before has
    ended. The first begins so before the first word heard, and what plays before is no section's.
    All begin at 0 where nothing was heard.
    """
    if not heard:
        return [0.0] * len(sections)
    given = [word for section in sections for word in section.words]
    middles = Beside(given, heard).expected(0.0, duration)
    found = [max(0.0, heard[0].start - LEAD)]
    first = 0
    for section in sections[:-1]:
        first += len(section.words)
        found.append(_border(heard, float(middles[first - 1]), float(middles[first])))
    return np.maximum.accumulate(found).tolist()


def _border(heard: Sequence[Word], before: float, after: float) -> float:
    """Where the longest rest between two moments ends, less LEAD; half way where no word ends there."""
    rests = [
        (right.start - left.end, max(left.end, right.start - LEAD))
        for left, right in pairwise(heard)
        if before <= (left.end + right.start) / 2 <= after
    ]
    return max(rests)[1] if rests else (before + after) / 2
