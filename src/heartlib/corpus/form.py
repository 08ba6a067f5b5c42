"""Forms: rows of sections, each a letter and, where it is sung, its number of lines."""

import random

from heartlib.corpus.groove import Groove

MARKERS = {
    "I": "Intro",
    "V": "Verse",
    "P": "Prechorus",
    "C": "Chorus",
    "B": "Bridge",
    "O": "Outro",
    "N": "Instrumental",
}
SUNG = "VPCB"
SUNG_FORMS = (
    "I V4 C4 O",
    "I V2 C2 V2 C2 O",
    "I V4 C4 B2 C2 O",
    "V4 C4 O",
    "I V4 C2 N C2 O",
    "I V4 C4 V4 C4 O",
    "C4 V4 C4",
    "I V2 C4 O",
    "I V4 N C4 O",
    "V2 C2 N V2 C2",
    "I V4 V4 C4 O",
    "I C2 V4 C2 O",
    "I V2 P2 C4 O",
    "V4 P2 C4 O",
    "I V4 P2 C4 N C4",
    "V2 P2 C2 V2 P2 C2",
    "I V2 P2 C2 B2 C2 O",
    "C2 V4 C2 B2 C2",
    "I V2 C2 B2 C4 O",
    "V4 N V4 C4",
    "N V4 C4 O",
    "V2 V2 C4 N C4 O",
    "I V4 C4 N O",
    "C4 N V4 C4 O",
    "I V2 C4 V2 C4",
    "V4 B2 C4 O",
)
PLAYED_FORMS = ("N N", "I N N O", "I N O", "I N N N O", "I N N", "N B N", "I N B N O", "N N B O")
LENGTHS = (20.0, 62.0)
"""Shortest and longest song before its last chord, in seconds."""
USUAL = 26.0


def draw_form(rng: random.Random, sung: bool, line_bars: int, groove: Groove) -> list[str]:
    """A form that fits LENGTHS, the shorter of the usual lengths more often."""
    forms = [list[str](form.split()) for form in (SUNG_FORMS if sung else PLAYED_FORMS)]
    bar = groove.meter * groove.beat
    lengths = [(count_bars(form, line_bars) + 1) * bar for form in forms]
    pairs = zip(forms, lengths, strict=True)
    fits = [(f, seconds) for f, seconds in pairs if LENGTHS[0] <= seconds <= LENGTHS[1]]
    weights = [1.0 / (1.0 + ((seconds - USUAL) / 6.0) ** 2) for _, seconds in fits]
    return rng.choices([form for form, _ in fits], weights)[0]


def lines_of(item: str) -> int:
    """How many lines a section of the form sings."""
    return int(item[1]) if len(item) > 1 else 0


def bars_of(item: str, line_bars: int) -> int:
    """How many bars a section of the form has."""
    if len(item) > 1:
        return int(item[1]) * line_bars
    if item in "NB":
        return 4 * line_bars
    return 2


def count_bars(form: list[str], line_bars: int) -> int:
    """How many bars a form has."""
    return sum(bars_of(item, line_bars) for item in form)
