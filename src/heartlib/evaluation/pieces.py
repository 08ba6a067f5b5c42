"""What a model is given to sing: the lyrics and tags of songs that the corpus has never rendered."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice

from heartlib.corpus.compose import compose
from heartlib.corpus.score import Score
from heartlib.errors import UsageError
from heartlib.evaluation.truth import Truth

ROOM = 1.3
"""How much longer than its score a song may become before it is cut."""
FIRST_SEED = 9_000_001
STRIDE = 100_000
LOOKED = 100  # songs that are looked at for one whose tags are known


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


def pieces(group: str, songs: int | None = None, known: Collection[str] = ()) -> list[Piece]:
    """The first `songs` pieces of a set, None for as many as it has. UsageError for an unknown set.

    `known`: the tags that the model takes, so that only songs told in these are asked for; none for any.
    """
    if group not in KINDS:
        raise UsageError(f"no set {group!r}; there are {', '.join(KINDS)} and trials")
    wanted = songs or KINDS[group].songs
    every = islice(_compose(group), LOOKED * wanted)
    fitting = (piece for piece in every if not known or set(piece.tags.split(",")) <= set(known))
    found = list(islice(fitting, wanted))
    if not found:
        raise UsageError(
            f"the model knows too few of the corpus's tags for the set {group!r}; measure it with trials"
        )
    return found


def _compose(group: str) -> Iterator[Piece]:
    kind = KINDS[group]
    seed = FIRST_SEED + STRIDE * list(KINDS).index(group)
    while True:
        score = compose(seed, language=kind.language, unseen=kind.unseen)
        if score.words:
            yield piece_of(score, group)
        seed += 1


def piece_of(score: Score, group: str) -> Piece:
    """What a model is given so that it sings a composed song."""
    truth = Truth.of_score(score)
    length = round(ROOM * score.duration / 0.08) * 0.08
    return Piece(
        group, f"{group}-{score.seed}", truth.told, score.lyrics, score.seed, length, truth
    )
