"""What a model is given to sing: the lyrics and tags of songs that the corpus has never rendered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from heartlib.corpus.compose import compose
from heartlib.errors import UsageError
from heartlib.evaluation.truth import Truth

ROOM = 1.3
"""How much longer than its score a song may become before it is cut."""
FIRST_SEED = 9_000_001
STRIDE = 100_000


@dataclass(frozen=True)
class Kind:
    """One set of songs: their language, how many there are by default, and their words."""

    language: str
    songs: int
    unseen: bool = False


KINDS = {
    "lyrics": Kind("en", 64),
    "unseen": Kind("en", 32, unseen=True),
    "es": Kind("es", 16),
    "zh": Kind("zh", 16),
    "ja": Kind("ja", 16),
    "ko": Kind("ko", 16),
}
"""Words of `lyrics` are those of training, its lines are not; `unseen` has words that were held out."""


@dataclass(frozen=True)
class Piece:
    """One song to sing; `name` is its file's, `length` the seconds that it may have."""

    group: str
    name: str
    tags: str
    lyrics: str
    seed: int
    length: float
    truth: Truth | None = None


def pieces(group: str, songs: int | None = None) -> list[Piece]:
    """The first `songs` pieces of a set, None for as many as it has. UsageError for an unknown set."""
    if group not in KINDS:
        raise UsageError(f"no set {group!r}; there are {', '.join(KINDS)} and trials")
    found = _compose(group)
    return [next(found) for _ in range(songs or KINDS[group].songs)]


def _compose(group: str) -> Iterator[Piece]:
    kind = KINDS[group]
    seed = FIRST_SEED + STRIDE * list(KINDS).index(group)
    while True:
        score = compose(seed, language=kind.language, unseen=kind.unseen)
        if score.words:
            truth = Truth.of_score(score)
            length = round(ROOM * score.duration / 0.08) * 0.08
            yield Piece(group, f"{group}-{seed}", truth.told, score.lyrics, seed, length, truth)
        seed += 1
