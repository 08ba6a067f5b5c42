"""The kit: one bar of a pattern at a time, fills, and rolls towards a chorus."""

import random

PIECES = {
    "K": 36, "T": 37, "S": 38, "P": 39, "H": 42, "C": 44, "O": 46, "R": 51, "A": 70, "M": 54,
    "B": 56, "c": 63, "L": 75, "G": 69, "D": 47, "E": 81, "Y": 59,
}  # fmt: skip
"""Letters of the patterns: kick, stick, snare, clap, closed hat, pedal hat, open hat, ride, shaker,
tambourine, cowbell, conga, claves, cabasa, timpani, triangle, cymbal."""
KICK, SNARE, CRASH = 36, 38, 49
STROKES = {"X": 1.12, "x": 0.95, "o": 0.5}
_TIMEKEEPERS = {42: 0.68, 44: 0.6, 46: 0.72, 51: 0.75, 70: 0.6, 54: 0.65, 69: 0.6, 81: 0.7, 63: 0.8}

FILLS = (
    ((38, 3.0), (38, 3.25), (45, 3.5), (43, 3.75)),
    ((48, 3.0), (45, 3.25), (43, 3.5), (41, 3.75)),
    ((38, 2.5), (38, 3.0), (38, 3.25), (38, 3.5), (38, 3.75)),
    ((48, 2.0), (48, 2.25), (45, 2.5), (45, 2.75), (43, 3.0), (43, 3.25), (41, 3.5), (41, 3.75)),
    ((38, 3.0), (48, 3.33), (43, 3.67)),
    ((38, 3.5), (38, 3.75)),
    ((38, 2.0), (38, 2.75), (38, 3.0), (45, 3.5)),
    ((36, 3.0), (38, 3.25), (36, 3.5), (38, 3.75)),
)
"""Pieces and beats in a bar of four; a bar of three has the last beats of them."""
ORCHESTRAL = (((47, 3.0), (47, 3.25), (47, 3.5), (47, 3.75)), ((47, 2.0), (47, 3.0), (47, 3.5)))

Stroke = tuple[int, float, float]
"""A piece, its beat in the bar, its accent."""


def rows_of(pattern: str) -> dict[int, str]:
    """The written pattern by piece. KeyError names a piece that the kit lacks."""
    words = pattern.split()
    return {PIECES[name]: row for name, row in zip(words[::2], words[1::2], strict=True)}


def strokes_of(rows: dict[int, str], texture: str, stop: float) -> list[Stroke]:
    """The bar before beat `stop`: `full`, `light` (without snare, clap and cowbell) or `half` (only
    what falls on a beat, the kick on the first)."""
    found: list[Stroke] = []
    for piece, row in rows.items():
        if texture == "light" and piece in (38, 39, 56):
            continue
        for step, mark in enumerate(row):
            if mark == "." or step / 4 >= stop:
                continue
            if texture == "half" and (step % 4 or (piece == KICK and step)):
                continue
            soft = 1.0 if step % 4 == 0 else 0.85
            found.append((piece, step / 4, STROKES[mark] * soft * _TIMEKEEPERS.get(piece, 1.0)))
    return found


def fill(rng: random.Random, meter: int, orchestral: bool) -> list[Stroke]:
    """A fill in the last beats of a bar, growing louder; it begins at its first stroke's beat."""
    chosen = rng.choice(ORCHESTRAL if orchestral else FILLS)
    strokes = [(piece, at - 4 + meter) for piece, at in chosen]
    return [(p, at, 0.75 + 0.4 * i / len(strokes)) for i, (p, at) in enumerate(strokes) if at >= 0]


def roll(meter: int, orchestral: bool) -> list[Stroke]:
    """A bar that builds: strokes twice as fast in its second half, from soft to loud."""
    piece = 47 if orchestral else SNARE
    half = meter / 2
    times = [step / 2 for step in range(int(half * 2))]
    times += [half + step / 4 for step in range(int(half * 4))]
    return [(piece, at, 0.45 + 0.6 * at / meter) for at in times]
