"""Whether a song has the sections that it was given, in their order, and ends where it should."""

from dataclasses import dataclass
from functools import cache

from heartlib.evaluation.alignment import Count, align
from heartlib.evaluation.heard import Heard
from heartlib.evaluation.phonemes import phonemes, words
from heartlib.evaluation.truth import Part, Truth

FOUND = 0.6
"""The most errors a phoneme of a section that was sung."""
LENGTH = 0.15
"""How far a song's length may be from its score's."""
QUIET_SHARE = 0.5
"""The least share of the instrumental seconds in which nobody may sing."""


@dataclass(frozen=True)
class Sung:
    """What a recogniser heard of a song's words: all of them, and those of each section that has some."""

    whole: Count
    parts: tuple[tuple[Part, Count], ...]

    @property
    def all_found(self) -> bool:
        """Whether every section is there; in order, since one alignment found them."""
        return all(count.rate <= FOUND for _, count in self.parts)


@cache
def compare(truth: Truth, text: str) -> Sung:
    """The words that were written down against those of the lyrics. HeartlibError without espeak-ng."""
    language = truth.language
    parts = [part for part in truth.parts if part.words]
    given = [[s for word in part.words for s in phonemes(word, language)] for part in parts]
    heard = [s for word in words(text, language) for s in phonemes(word, language)]
    whole, counts = align(given, heard)
    return Sung(whole, tuple(zip(parts, counts, strict=True)))


def in_order(song: Heard) -> bool:
    """Whether all sections are sung, in order, and nobody sings through what is instrumental.

    The song has a truth and a recogniser's text.
    """
    assert song.truth is not None and song.text is not None
    return compare(song.truth, song.text).all_found and plays_alone(song)


def plays_alone(song: Heard) -> bool:
    """Whether the unsung seconds are at least half of the score's long stretches without words."""
    assert song.truth is not None and song.measures is not None
    unsung = (1 - song.measures.voice_share) * song.measures.duration
    return unsung >= QUIET_SHARE * song.truth.instrumental


def ends_well(song: Heard) -> bool:
    """Whether the model ended by itself, within 15 % of the score's length."""
    assert song.truth is not None and song.measures is not None
    return bool(song.ended) and abs(song.measures.duration / song.truth.duration - 1) <= LENGTH
