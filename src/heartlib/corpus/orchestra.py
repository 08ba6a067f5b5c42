"""The main instruments: General MIDI programs, ranges, and the patterns that suit each.

Patterns go from the sparsest to the busiest; `accompany.py` plays them.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Instrument:
    """`low` to `high` (MIDI) is what it plays, `centre` where its chords lie; one that is not
    `chordal` plays one note at a time, and another one backs it.
    `lift` LU bring out one whose sound is too pure or too short to stand out by itself."""

    programs: tuple[int, ...]
    low: int
    high: int
    centre: int
    patterns: tuple[str, ...]
    chordal: bool = True
    lift: float = 0.0


_KEYS = ("halves", "alberti", "block", "oompah", "arpeggio", "comp", "tresillo", "montuno")
_PLUCKED = ("rolled", "broken", "arpeggio", "strum", "strum", "travis")
_SUSTAINED = ("pad", "pad", "halves", "swell", "tresillo", "pulse")
_STRUCK = ("bell", "rolled", "broken", "arpeggio", "montuno", "tremolo")
_LINE = ("long", "line", "answer", "riff", "figure")

INSTRUMENTS: dict[str, Instrument] = {
    "piano": Instrument((0, 1), 33, 96, 64, _KEYS),
    "electric piano": Instrument((4, 5), 36, 88, 62, ("pad", *_KEYS)),
    "guitar": Instrument((24, 25), 40, 81, 60, _PLUCKED),
    "electric guitar": Instrument(
        (27, 29, 30), 40, 84, 58, ("pad", "halves", "skank", "power", "chop", "power")
    ),
    "banjo": Instrument((105,), 48, 86, 65, ("broken", "strum", "arpeggio", "travis", "travis")),
    "strings": Instrument((48, 49), 40, 91, 64, _SUSTAINED),
    "organ": Instrument((16, 17, 19), 36, 91, 64, ("pad", "halves", "comp", "skank", "block")),
    "accordion": Instrument((21,), 45, 88, 66, ("pad", "halves", "oompah", "comp", "tresillo")),
    "synth": Instrument(
        (81, 87, 90), 36, 91, 64, ("pad", "tresillo", "skank", "pulse", "arpeggio")
    ),
    "choir": Instrument((52,), 45, 81, 64, ("pad", "pad", "halves", "swell", "block")),
    "harp": Instrument((46,), 33, 96, 64, ("rolled", "broken", "arpeggio", "sweep"), lift=3.0),
    "marimba": Instrument((12,), 45, 91, 66, _STRUCK, lift=3.0),
    "vibraphone": Instrument(
        (11,), 53, 89, 67, ("rolled", "halves", "broken", "comp", "arpeggio"), lift=4.0
    ),
    "bells": Instrument((9, 14), 60, 98, 76, ("bell", "bell", "broken", "arpeggio")),
    "violin": Instrument((40,), 55, 93, 74, _LINE, chordal=False, lift=1.0),
    "cello": Instrument((42,), 36, 72, 53, _LINE, chordal=False),
    "flute": Instrument((73,), 60, 93, 77, _LINE, chordal=False, lift=3.0),
    "clarinet": Instrument((71,), 50, 86, 68, _LINE, chordal=False, lift=1.0),
    "saxophone": Instrument((65, 66), 49, 79, 64, _LINE, chordal=False, lift=1.5),
    "trumpet": Instrument((56,), 54, 82, 68, _LINE, chordal=False, lift=1.5),
}

BACKINGS: dict[str, tuple[int, str]] = {
    "soft piano": (0, "halves"),
    "soft guitar": (24, "broken"),
    "soft pad": (89, "pad"),
}
"""What stays behind a one-voiced instrument: program and pattern."""
BACKING = (43, 76, 58)
"""Range and centre of the backing."""
