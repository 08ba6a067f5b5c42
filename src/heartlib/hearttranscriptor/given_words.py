"""Words that are given, beside those that were heard: which letter of the lyrics is heard when.

Only letters and digits are compared, in small letters, so that neither spaces nor punctuation count.

Legend: N letters given, M letters heard.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from heartlib.errors import UsageError
from heartlib.hearttranscriptor.word_times import FRAME, Word, words

LETTER = 0.25  # seconds that a letter is sung at most, when it is asked about when a word is sung
LEAD = 0.2  # seconds before a word that a stretch begins
MARKER = re.compile(r"\[[^\]]*\]")
RIGHT, WRONG = 10, -3  # a letter beside its like, or beside another
OPEN, EXTEND = -10, -2  # letters that are only given, or only heard: the first of them, and each
NEVER = -(2**40)
GIVEN, MORE_GIVEN, HEARD, MORE_HEARD = 1, 2, 4, 8  # the best path ends with, or goes on with, such


class Cut(NamedTuple):
    """The start of word `word` at second `time`, `rest` seconds after that of the word before."""

    word: int
    time: float
    rest: float


def sung_lines(lyrics: str) -> list[str]:
    """The lines of lyrics that are sung, without section markers; UsageError where there are none."""
    if not lyrics.strip():
        raise UsageError("the lyrics are empty; give the words that are sung")
    lines = [" ".join(MARKER.sub(" ", line).split()) for line in lyrics.splitlines()]
    sung = [line for line in lines if letters(line)]
    if not sung:
        raise UsageError("the lyrics have no words, only section markers or punctuation")
    return sung


def words_of(line: str, *, spaced: bool) -> list[str]:
    """The words of a line: between spaces, or sign by sign."""
    return [word.text for word in words([Word(line, 0.0, 0.0)], spaced=spaced)]


def letters(text: str) -> str:
    """What of a text is compared."""
    plain = unicodedata.normalize("NFKC", text).lower()
    return "".join(sign for sign in plain if sign.isalnum() or unicodedata.combining(sign))


def spoken(text: str) -> str:
    """A text in small letters without punctuation, but for apostrophes."""
    plain = unicodedata.normalize("NFKC", text).lower().replace("’", "'")
    kept = (s if s.isalnum() or s == "'" or unicodedata.combining(s) else " " for s in plain)
    return " ".join("".join(kept).split())


@dataclass(frozen=True)
class Beside:
    """Given words beside heard ones: `pairs` of their letters."""

    given: Sequence[str]
    heard: Sequence[Word]

    @cached_property
    def pairs(self) -> np.ndarray:
        said = (letters(word.text) for word in self.heard)
        return pairs("".join(map(letters, self.given)), "".join(said))

    def expected(self, begin: float, end: float) -> np.ndarray:
        """About when the middle of each given word is sung, in order: float64 [words].

        Letters that were not heard are spread between those that were, and between `begin` and `end`.
        """
        counts = np.array([len(letters(word)) for word in self.given])
        when = [
            word.start + min((word.end - word.start) / len(said), LETTER) * (at + 0.5)
            for word in self.heard
            for said in [letters(word.text)]
            for at in range(len(said))
        ]
        known = np.flatnonzero(self.pairs >= 0)
        times = [begin, *(min(max(when[at], begin), end) for at in self.pairs[known]), end]
        middles = np.cumsum(counts) - counts / 2 - 0.5
        places = np.concatenate(([-1], known, [len(self.pairs)]))
        return np.interp(middles, places, times)

    def cuts(self) -> list[Cut]:
        """The places between two words that were both heard as given, one after the other."""
        sizes = [len(letters(word.text)) for word in self.heard]
        firsts = {first: at for at, first in enumerate(np.cumsum([0, *sizes])[:-1]) if sizes[at]}
        found: list[Cut] = []
        letter, before = 0, None
        for number, word in enumerate(map(letters, self.given)):
            beside = self.pairs[letter : letter + len(word)]
            letter += len(word)
            at = firsts.get(int(beside[0])) if len(beside) else None
            same = at is not None and letters(self.heard[at].text) == word and beside[-1] >= 0
            if same and at and before == at - 1:
                rest = self.heard[at].start - self.heard[at - 1].start
                if rest > FRAME:
                    found.append(Cut(number, self.heard[at].start - min(rest / 2, LEAD), rest))
            before = at if same else None
        return found


def stretches(cuts: Sequence[Cut], last: Cut, longest: float) -> list[tuple[Cut, Cut]]:
    """From where to where words are looked for, from second 0 to `last`; of `longest` seconds at most where
    cuts allow, and cut where there is most rest."""
    found: list[tuple[Cut, Cut]] = []
    begin, left = Cut(0, 0.0, 0.0), [*cuts, last]
    while left:
        near = [cut for cut in left if cut.time - begin.time <= longest] or left[:1]
        late = [cut for cut in near if cut.time - begin.time > longest / 2] or near[-1:]
        end = last if near[-1] is last else max(late, key=lambda cut: cut.rest)
        found.append((begin, end))
        begin, left = end, left[left.index(end) + 1 :]
    return found


def pairs(given: str, heard: str) -> np.ndarray:
    """The heard letter beside each given one, -1 where there is none: int [N], rising.

    The best global path with affine gaps (Gotoh 1982): runs of missing letters stay together.
    """
    signs, column = np.array([ord(sign) for sign in heard], np.int64), np.arange(len(heard) + 1)
    best = np.where(column > 0, OPEN + EXTEND * column, 0)  # of the paths to each place [M + 1]
    down = np.full(len(column), NEVER)  # of those that end with a letter only given
    came = np.zeros((len(given) + 1, len(column)), np.uint8)
    for row, sign in enumerate(given, 1):
        more, down = down + EXTEND, np.maximum(best + OPEN, down) + EXTEND
        open_ = down.copy()  # of those that do not end with a letter only heard
        beside = best[:-1] + np.where(signs == ord(sign), RIGHT, WRONG)
        open_[1:] = np.maximum(down[1:], beside)
        reach = np.maximum.accumulate(open_ + OPEN - EXTEND * column)[:-1]
        back = np.concatenate(([NEVER], reach + EXTEND * column[1:]))
        came[row] = GIVEN * (open_ == down) + MORE_GIVEN * (down == more) + HEARD * (back > open_)
        came[row, 1:] += MORE_HEARD * (back[1:] > open_[:-1] + OPEN + EXTEND).astype(np.uint8)
        best = np.maximum(open_, back)
    found = np.full(len(given), -1)
    row, at = len(given), len(heard)
    while row:
        if came[row, at] & HEARD:
            while came[row, at] & MORE_HEARD:
                at -= 1
            at -= 1
        if came[row, at] & GIVEN:
            while came[row, at] & MORE_GIVEN:
                row -= 1
            row -= 1
        else:
            row, at = row - 1, at - 1
            found[row] = at
    return found


def gather(given: Sequence[str], pieces: Sequence[Word], begin: float) -> list[Word] | None:
    """Given words with the times of the pieces that say them; None where their letters differ in number.

    Words without letters, such as a dash, stand where the word before them ends, the first at `begin`.
    """
    edges: list[tuple[float, float]] = []
    for piece in pieces:
        count = len(letters(piece.text))
        steps = np.linspace(piece.start, piece.end, count + 1).round(4).tolist()
        edges += pairwise(steps)
    counts = [len(letters(word)) for word in given]
    if sum(counts) != len(edges):
        return None
    found: list[Word] = []
    at = 0
    for word, count in zip(given, counts, strict=True):
        last = found[-1].end if found else begin
        start, end = (edges[at][0], edges[at + count - 1][1]) if count else (last, last)
        found.append(Word(word, start, end))
        at += count
    return found


def spread(given: Sequence[str], begin: float, end: float) -> list[Word]:
    """Given words side by side from `begin` to `end`, as long as they have letters."""
    sizes = [max(len(letters(word)), 1) for word in given]
    edges = np.interp(np.cumsum([0, *sizes]), [0, sum(sizes)], [begin, end]).round(4).tolist()
    return [Word(word, *edges[at : at + 2]) for at, word in enumerate(given)]
