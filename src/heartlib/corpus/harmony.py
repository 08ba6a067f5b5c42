"""Chords and progressions.

A progression is a row of tokens, one a bar: a degree of the scale (`4`), perhaps with its quality
(`4m`, `5M`, `17`), lowered from the major scale (`b7`), or the dominant of another degree (`5/6`).
"""

import random
from dataclasses import dataclass

NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
QUALITIES = {
    "": (0, 4, 7),
    "m": (0, 3, 7),
    "dim": (0, 3, 6),
    "sus4": (0, 5, 7),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "m7": (0, 3, 7, 10),
    "m7b5": (0, 3, 6, 10),
}

COMMON = {
    "major": (
        "1 5 6 4", "1 6 4 5", "1 4 6 5", "1 3 4 5", "1 4 1 5", "1 6 2 5", "1 2 6 4", "1 4 5 4",
        "6 4 1 5", "4 1 5 6", "1 5/6 6 4", "1 1 4 4m", "1 b7 4 1", "1 5/2 2 5", "1 3M 6 4m",
        "1 b6 b7 1", "1 5 6 3 4 1 4 5", "1 6 3 4 1 6 2 5", "1 5/4 4 4m 1 6 2 5",
        "4 5 3 6 4 5 1 1", "1 3 6 4 1 5 4 5", "1 5/5 5 4 1 5/5 4 5",
    ),
    "minor": (
        "1 6 3 7", "1 4 6 5", "1 7 6 7", "1 6 4 5M", "1 4 7 5M", "1 3 6 4", "1 6 5 7", "1 7 4 6",
        "1 1 6 5M", "6 7 1 1", "1 5/4 4 5M", "1 4M 6 7", "1 7 6 5M", "1 6 3 7 4 1 6 5M",
        "1 5 6 3 4 1 4 5M", "1 4 7 3 6 4 5M 1", "1 3 7 4 1 6 4 5M", "1 b2 5M 1",
    ),
}  # fmt: skip
BLUES = {
    "major": ("17 47 17 57", "17 17 47 17 57 47 17 57", "17 47 17 17 47 47 17 17 57 47 17 57"),
    "minor": ("1 4 1 5M", "1 1 4 1 6 5M 1 5M", "1 4 1 1 4 4 1 1 6 5M 1 5M"),
}
JAZZ = {
    "major": (
        "2 5 1 6",
        "1 6 2 5",
        "1 5/2 2 5",
        "3 5/2 2 5",
        "1 4 3 5/2 2 5 1 5",
        "2 5 1 1 4m b7 1 5",
    ),
    "minor": ("1 2 5M 1", "1 6 2 5M", "4 7 3 6 2 5M 1 1", "1 4 2 5M", "1 b2 1 5M"),
}
VAMP = {
    "major": ("17 47 17 47", "17 17 47 57", "2 5 2 5", "1 b7 4 1", "17 17 b77 47"),
    "minor": ("1 4M 1 4M", "1 1 4 1", "1 7 1 7", "1 6 7 1", "1 1 6 7"),
}
CADENCES = {
    "major": ("1 4 5 1", "1 5 1 5", "1 2 5 1", "1 5/5 5 1", "1 6 4 2 5 1 5 1", "1 4 1 5 6 2 5 1"),
    "minor": ("1 4 5M 1", "1 5M 1 5M", "1 2 5M 1", "1 6 4 5M 1 4 5M 1", "1 7 3 6 4 2 5M 1"),
}
TWO_CHORDS = {
    "major": ("1 4 1 4", "1 1 4 4", "1 5 1 5", "1 4 5 4", "1 2 1 2", "1 6 4 5"),
    "minor": ("1 4 1 4", "1 7 1 7", "1 7 6 7", "1 1 7 7", "1 4 7 1"),
}


@dataclass(frozen=True)
class Chord:
    """A chord's name and its pitch classes: root, third (or fourth), fifth, perhaps a seventh."""

    name: str
    classes: tuple[int, ...]


def chord_of(token: str, tonic: int, mode: str, sevenths: bool) -> Chord:
    """The chord that a token means in a key. With `sevenths` plain triads get theirs."""
    scale = SCALES[mode]
    degree, _, target = token.partition("/")
    if target:
        return _chord((tonic + scale[int(target) - 1] + 7) % 12, "7")
    if degree[0] == "b":
        root = tonic + SCALES["major"][int(degree[1]) - 1] - 1
        return _chord(root % 12, degree[2:] or ("maj7" if sevenths else ""))
    number, quality = int(degree[0]) - 1, degree[1:]
    root = (tonic + scale[number]) % 12
    if quality == "M":
        return _chord(root, "7" if sevenths else "")
    if quality:
        return _chord(root, quality)
    steps = [(scale[(number + step) % 7] - scale[number]) % 12 for step in (0, 2, 4, 6)]
    third = {value: name for name, value in QUALITIES.items()}
    return _chord(root, third[tuple(steps if sevenths else steps[:3])])


def draw_progression(rng: random.Random, pool: tuple[str, ...], longest: int) -> tuple[str, ...]:
    """One progression of the pool that a section of `longest` bars has room for."""
    rows = [tuple(row.split()) for row in pool]
    return rng.choice([row for row in rows if len(row) <= max(longest, 4)])


def _chord(root: int, quality: str) -> Chord:
    classes = tuple((root + step) % 12 for step in QUALITIES[quality])
    return Chord(NAMES[root] + quality, classes)
