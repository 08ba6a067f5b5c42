"""The songs a transcriptor learns from and those held out: all there at the start, or coming as they are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tokenizers import Tokenizer
from torch import Tensor

from heartlib.training.alignment import inventory, read_truth
from heartlib.training.corpus_audio import FIRST_SONGS, Arriving, hash_of, song_ids, split
from heartlib.training.transcriptor_data import Recordings, hearing


@dataclass
class Corpus:
    """Songs that are all there."""

    learned: Recordings
    held: Recordings
    symbols: list[str]

    @classmethod
    def load(
        cls,
        data: Sequence[Path],
        symbols: list[str] | None,
        tokenizer: Tokenizer,
        filters: Tensor,
        held_out: int,
    ) -> Corpus:
        """Several corpora; the phonemes are those of the songs, unless given."""
        ids = [(folder, split(song_ids(folder), held_out)) for folder in data]
        known = symbols or inventory(
            [read_truth(folder, song) for folder, (learn, _) in ids for song in learn]
        )
        parts = [
            Recordings.join(
                [Recordings.load(f, sides[side], known, tokenizer, filters) for f, sides in ids]
            )
            for side in (0, 1)
        ]
        return cls(parts[0], parts[1], known)

    def grow(self) -> None:
        """Nothing comes."""

    def close(self) -> None:
        """Nothing is open."""


class Following:
    """Corpora in the making: up to so many hours of them, taken as they come; there are songs of the first already."""

    def __init__(
        self,
        data: Sequence[Path],
        symbols: list[str] | None,
        tokenizer: Tokenizer,
        filters: Tensor,
        held_out: int,
        hours: float,
    ) -> None:
        self.tokenizer, self.filters, self.held_out, self.hours = (
            tokenizer,
            filters,
            held_out,
            hours,
        )
        self.arriving = [Arriving(folder, partial(hearing, folder)) for folder in data]
        found = self.arriving[0].first(FIRST_SONGS, held_out)
        self.symbols = symbols or inventory([truth for _, (_, truth) in found])
        self.learned, self.held = (
            Recordings.join([self.heard(item) for song, item in found if self.kept(song) == side])
            for side in (True, False)
        )

    def kept(self, song: str) -> bool:
        return bool(hash_of(song, self.held_out))

    def heard(self, item: tuple) -> Recordings:
        return Recordings.of(item, self.symbols, self.tokenizer, self.filters)

    def grow(self) -> None:
        """Takes the songs that have come, as long as there is room."""
        if self.learned.hours < self.hours:
            found = [item for corpus in self.arriving for item in corpus.take()]
            fresh = [self.heard(item) for song, item in found if self.kept(song)]
            if fresh:
                self.learned = Recordings.join([self.learned, *fresh])

    def close(self) -> None:
        """Stops reading."""
        for corpus in self.arriving:
            corpus.close()
