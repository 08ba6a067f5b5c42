"""When given words are sung: each goes to the window that it is heard in, whose times the model tells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from heartlib.hearttranscriptor import HeartTranscriptor
from heartlib.hearttranscriptor.given_words import Beside, Cut, gather, spoken, spread, stretches
from heartlib.hearttranscriptor.windows import RATE, WINDOW, cut
from heartlib.hearttranscriptor.word_times import Word, words

SILENT = 1e-3  # the peak of a window in which nobody sings: -60 dB


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
        """Its first and last second, rounded as all times are, so that they stay in order."""
        return round(self.first / RATE, 4), round((self.first + len(self.wave)) / RATE, 4)


@dataclass(frozen=True)
class Follower:
    """What a model must know to follow lyrics. plain: whether it writes small letters only."""

    model: HeartTranscriptor
    language: str
    spaced: bool
    plain: bool

    def times(
        self, given: Sequence[str], heard: Sequence[Word], wave: np.ndarray, batch: int
    ) -> list[Word]:
        """The given words with their times, in order. wave: the whole song, not silent; heard: what is in it."""
        if not self.spaced:
            heard = [sign for word in heard for sign in words([word], spaced=False)]
        beside = Beside(given, heard)
        loud = np.flatnonzero(np.abs(wave) >= SILENT) / RATE
        middles = beside.expected(float(loud[0]), float(loud[-1]))
        parts: list[Part] = []
        last = Cut(len(given), len(wave) / RATE, 0.0)
        for begin, end in stretches(beside.cuts(), last, WINDOW):
            own = slice(begin.word, end.word)
            edges = round(begin.time * RATE), round(end.time * RATE)
            parts += self._windows(edges[0], wave[slice(*edges)], given[own], middles[own])
        found: list[Word] = []
        for at in range(0, len(parts), batch):
            found += self._follow(parts[at : at + batch])
        return found

    def _windows(
        self, first: int, wave: np.ndarray, words: Sequence[str], middles: np.ndarray
    ) -> Iterator[Part]:
        """A stretch in windows that sound, each with its words."""
        windows = list(cut([wave]))
        windows = [window for window in windows if np.abs(window[1]).max() >= SILENT] or windows
        ends = [(first + at + len(part)) / RATE for at, part in windows[:-1]]
        homes = np.searchsorted(ends, middles, side="right")
        for number, (at, part) in enumerate(windows):
            here = np.flatnonzero(homes == number)
            if len(here):
                own = list(words[here[0] : here[-1] + 1])
                yield from self._parts(first + at, part, own, middles[here])

    def _parts(
        self, first: int, wave: np.ndarray, words: list[str], middles: np.ndarray
    ) -> Iterator[Part]:
        """A window, halved until the decoder has room for its words."""
        text = (" " if self.spaced or self.plain else "").join(words)
        text = spoken(text) if self.plain else text
        text = text if np.abs(wave).max() >= SILENT else ""
        if self.model.fits(text) or len(words) == 1 or len(wave) < 2:
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
                Word(piece.text, round(piece.start + begin, 4), round(piece.end + begin, 4))
                for piece in said.get(part.first, [])
            ]
            yield from gather(part.words, later, begin) or spread(part.words, begin, end)
