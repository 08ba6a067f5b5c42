"""When given words are sung: each goes to the window that it is heard in, whose times the model tells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from heartlib.hearttranscriptor import HeartTranscriptor
from heartlib.hearttranscriptor.given_words import expected, gather, spoken, spread
from heartlib.hearttranscriptor.windows import RATE
from heartlib.hearttranscriptor.word_times import Word


@dataclass(frozen=True)
class Part:
    """Sound of at most 30 s from sample `first`, and the words sung in it: about when, and as read."""

    first: int
    wave: np.ndarray
    words: list[str]
    middles: np.ndarray  # seconds of the song
    text: str

    @property
    def span(self) -> tuple[float, float]:
        """Its first and last second."""
        return self.first / RATE, (self.first + len(self.wave)) / RATE


@dataclass(frozen=True)
class Follower:
    """What a model must know to follow lyrics. plain: whether it writes small letters only."""

    model: HeartTranscriptor
    language: str
    spaced: bool
    plain: bool

    def times(
        self,
        given: Sequence[str],
        heard: Sequence[Word],
        windows: Sequence[tuple[int, np.ndarray]],
        batch: int,
    ) -> list[Word]:
        """The given words with their times, in order. windows: first sample and samples of each that sounds."""
        edges = [(first / RATE, (first + len(wave)) / RATE) for first, wave in windows]
        middles = expected(given, heard, edges[0][0], edges[-1][1])
        homes = np.searchsorted([end for _, end in edges[:-1]], middles, side="right")
        parts: list[Part] = []
        for number, (first, wave) in enumerate(windows):
            here = np.flatnonzero(homes == number)
            if len(here):
                words = list(given[here[0] : here[-1] + 1])
                parts += self._parts(first, wave, words, middles[here])
        found: list[Word] = []
        for begin in range(0, len(parts), batch):
            found += self._follow(parts[begin : begin + batch])
        return found

    def _parts(
        self, first: int, wave: np.ndarray, words: list[str], middles: np.ndarray
    ) -> Iterator[Part]:
        """A window, halved until the decoder has room for its words."""
        text = (" " if self.spaced else "").join(words)
        text = spoken(text) if self.plain else text
        if self.model.fits(text) or len(words) == 1:
            yield Part(first, wave, words, middles, text)
            return
        half = len(words) // 2
        place = round(float(middles[half - 1 : half + 1].mean()) * RATE) - first
        place = min(max(place, 1), len(wave) - 1)
        yield from self._parts(first, wave[:place], words[:half], middles[:half])
        yield from self._parts(first + place, wave[place:], words[half:], middles[half:])

    def _follow(self, parts: list[Part]) -> Iterator[Word]:
        clear = [part for part in parts if part.text and self.model.fits(part.text)]
        texts = [part.text for part in clear]
        pieces = self.model.follow([part.wave for part in clear], texts, self.language)
        said = {part.first: row for part, row in zip(clear, pieces, strict=True)}
        for part in parts:
            begin, end = part.span
            later = [
                Word(piece.text, piece.start + begin, piece.end + begin)
                for piece in said.get(part.first, [])
            ]
            yield from gather(part.words, later, begin) or spread(part.words, begin, end)
