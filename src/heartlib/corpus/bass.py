"""Bass lines: which tone of the chord sounds at which beats of a bar."""

import random

LOWEST = 31
"""The lowest root; roots lie within an octave above it."""

Stroke = tuple[int, float, float]
"""MIDI pitch, beat in the bar, length in beats."""

PATTERNS: dict[str, str] = {
    "root": "r:0:1.9 r:2:1.9",
    "long": "r:0:3.9",
    "fifths": "r:0:1.4 f:2:1.4",
    "two": "r:0:0.9 f:2:0.9 a:3.5:0.4",
    "train": "r:0:0.9 r:1:0.4 f:2:0.9 f:3:0.4",
    "eighths": "r:0:.45 r:.5:.45 r:1:.45 r:1.5:.45 r:2:.45 r:2.5:.45 r:3:.45 r:3.5:.45",
    "driving": "r:0:.45 r:.5:.45 r:1:.45 r:1.5:.45 r:2:.45 r:2.5:.45 f:3:.45 a:3.5:.45",
    "octaves": "r:0:.45 o:.5:.4 r:1:.45 o:1.5:.4 r:2:.45 o:2.5:.4 r:3:.45 o:3.5:.4",
    "offbeat": "r:.5:.45 r:1.5:.45 r:2.5:.45 r:3.5:.45",
    "bossa": "r:0:1.4 f:1.5:.5 f:2:1.4 r:3.5:.5",
    "tresillo": "r:0:1.4 f:1.5:1.4 o:3:.9",
    "walk": "r:0:.9 t:1:.9 f:2:.9 a:3:.9",
    "walkup": "r:0:.9 f:1:.9 o:2:.9 a:3:.9",
    "boogie": "r:0:.6 r:.5:.3 t:1:.6 t:1.5:.3 f:2:.6 f:2.5:.3 s:3:.6 f:3.5:.3",
    "shuffle": "r:0:.6 r:.5:.3 r:1:.6 r:1.5:.3 f:2:.6 f:2.5:.3 r:3:.6 a:3.5:.3",
    "onedrop": "r:.5:.45 r:1:.9 t:2.5:.45 f:3:.9",
    "steppers": "r:0:.8 r:1:.4 r:1.5:.4 f:2:.8 r:3:.4 f:3.5:.4",
    "dub": "r:0:1.4 f:1.5:.45 r:2.5:1.2",
    "sub": "r:0:1.4 r:1.75:.7 r:2.5:1.2",
    "lazy": "r:0:.7 r:.75:1.2 f:2.5:.45 a:3.5:.4",
    "funk": "r:0:.4 r:.5:.2 o:1.75:.2 r:2.25:.2 s:2.5:.4 f:3:.3 a:3.75:.2",
    "syncopated": "r:0:.7 r:.75:.2 f:1.5:.4 r:2.5:.4 o:3.25:.2 s:3.5:.4",
    "pizzicato": "r:0:.4 f:1:.4 o:2:.4 f:3:.4",
    "waltz": "r:0:.9",
    "waltzfifth": "r:0:1.8 f:2:.8",
    "waltzwalk": "r:0:.9 t:1:.9 f:2:.9",
}
"""Degree:beat:length. r, t, f, s, o: root, third, fifth, seventh or sixth, octave; a: a tone beside
the next root."""


def line(
    rng: random.Random, pattern: str, classes: tuple[int, ...], following: tuple[int, ...]
) -> list[Stroke]:
    """One bar of a pattern on a chord that leads to the chord `following`."""
    root = low(classes[0])
    tones = {"r": root, "t": low(classes[1]), "f": low(classes[2]), "o": root + 12}
    tones["s"] = root + ((classes[3] - classes[0]) % 12 if len(classes) > 3 else 9)
    tones["a"] = low(following[0]) + rng.choice((-1, 1, 2))
    strokes = [item.split(":") for item in PATTERNS[pattern].split()]
    return [(tones[degree], float(at), float(length)) for degree, at, length in strokes]


def low(pitch_class: int) -> int:
    """The bass's pitch of a class."""
    return LOWEST + (pitch_class - LOWEST) % 12
