"""What the main instrument plays in a bar: patterns for chords, and for one voice.

Every pattern is a function of the `Ground` it stands on and gives (pitch, beat, length, accent).
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

Event = tuple[int, float, float, float]
"""MIDI pitch, beat in the bar, length in beats, accent."""


@dataclass(frozen=True)
class Ground:
    """What a pattern stands on: the chord in close position, its bass note, the beats of the bar,
    the scale within the instrument's range, the pitch before, and a number that chooses among a
    pattern's variants and stays the same for a section."""

    chord: list[int]
    low: int
    meter: int
    ladder: list[int]
    before: int
    variant: int
    rng: random.Random


def chordal(pattern: str, ground: Ground) -> list[Event]:
    """A bar of one of CHORDAL."""
    return CHORDAL[pattern](ground)


def voiced(pattern: str, ground: Ground) -> list[Event]:
    """A bar of one of VOICED."""
    return VOICED[pattern](ground)


def _strike(g: Ground, at: float, length: float, accent: float = 1.0) -> list[Event]:
    return [(midi, at, length, accent) for midi in g.chord]


def _rows(g: Ground, rows: list[tuple[float, float]]) -> list[Event]:
    return [e for at, length in rows if at < g.meter for e in _strike(g, at, length)]


def _pad(g: Ground) -> list[Event]:
    return [(g.low, 0, g.meter * 0.98, 0.8), *_strike(g, 0, g.meter * 0.98)]


def _halves(g: Ground) -> list[Event]:
    if g.meter == 3:
        return [(g.low, 0, 2.9, 0.9), *_strike(g, 0, 2.9)]
    return [(g.low, 0, 1.9, 0.9), *_strike(g, 0, 1.9), *_strike(g, 2, 1.9, 0.9)]


def _swell(g: Ground) -> list[Event]:
    return [
        event for at in range(g.meter) for event in _strike(g, at, 0.98, 0.75 + 0.4 * at / g.meter)
    ]


def _block(g: Ground) -> list[Event]:
    return [e for at in range(g.meter) for e in _strike(g, at, 0.9, 0.85 if at % 2 else 1.0)]


def _pulse(g: Ground) -> list[Event]:
    steps = range(g.meter * 2)
    return [e for at in steps for e in _strike(g, at / 2, 0.42, 0.8 if at % 2 else 1.0)]


def _skank(g: Ground) -> list[Event]:
    return [e for at in range(g.meter) for e in _strike(g, at + 0.5, 0.35)]


def _comp(g: Ground) -> list[Event]:
    rows = (
        [(0, 1.4), (1.5, 1.0), (3, 0.8)],
        [(0, 1.0), (2.5, 1.3)],
        [(0.5, 0.4), (2, 0.9), (3.5, 0.4)],
        [(0, 0.4), (1.5, 1.3)],
        [(1, 0.4), (1.5, 0.4), (3, 0.4), (3.5, 0.4)],
    )
    return _rows(g, rows[g.variant % len(rows)])


def _tresillo(g: Ground) -> list[Event]:
    return _rows(g, [(0, 1.4), (1.5, 1.4), (3, 0.9)])


def _montuno(g: Ground) -> list[Event]:
    top = g.chord[-1]
    rows = ((0, 0), (0.5, 1), (1, 2), (1.5, 0), (2.5, 1), (3, 2), (3.5, 0))
    tones = (top, g.chord[0], g.chord[1])
    return [
        (pitch, at, 0.45, 1.0)
        for at, tone in rows
        if at < g.meter
        for pitch in (tones[tone], tones[tone] - 12)
    ]


def _chop(g: Ground) -> list[Event]:
    rows = ("x..xx.x...xx.x..", "..x...xx..x.x.x.", "x.x...x.x.x...xx", "....x..x....x.xx")
    row = rows[g.variant % len(rows)][: g.meter * 4]
    return [e for step, m in enumerate(row) if m == "x" for e in _strike(g, step / 4, 0.2)]


def _power(g: Ground) -> list[Event]:
    """Palm-muted eighths on root and fifth, longer on the accents."""
    rows = ((0, 3, 6), (0, 4), (0, 3), (0, 1, 4, 5))
    accents = rows[g.variant % len(rows)]
    tones = (g.low, g.low + 7, g.low + 12)
    return [
        (midi, step / 2, 0.48, 1.1 if step in accents else 0.8)
        for step in range(g.meter * 2)
        for midi in (tones if step in accents else tones[:2])
    ]


def _strum(g: Ground) -> list[Event]:
    rows = ((0, 1, 1.5, 2, 3, 3.5), (0, 1, 2, 2.5, 3, 3.5), (0, 1, 1.5, 2.5, 3), (0, 1.5, 2, 3))
    events: list[Event] = []
    for at in rows[g.variant % len(rows)]:
        if at < g.meter:
            down = at == int(at)
            strings = [g.low, *g.chord] if down else g.chord[::-1]
            events += [
                (m, at + 0.03 * i, 0.85, 1.0 if down else 0.8) for i, m in enumerate(strings)
            ]
    return events


def _broken(g: Ground) -> list[Event]:
    upper = [*g.chord, g.chord[0] + 12]
    order = (0, 1, 2, 3, 2, 1, 2)[: g.meter * 2 - 1]
    rest = [(upper[tone], (i + 1) / 2, 0.9, 0.85) for i, tone in enumerate(order)]
    return [(g.low, 0, g.meter * 0.9, 1.1), *rest]


def _travis(g: Ground) -> list[Event]:
    bass = (g.low, g.chord[0], g.low + 7, g.chord[0])
    events: list[Event] = [(bass[at], at, 0.9, 1.0) for at in range(g.meter)]
    tops = (g.chord[-1], g.chord[1], g.chord[-1], g.chord[1])
    return events + [(tops[at], at + 0.5, 0.5, 0.9) for at in range(g.meter)]


def _eighths(g: Ground, order: tuple[int, ...]) -> list[Event]:
    upper = [*g.chord[:3], g.chord[0] + 12]
    steps = order[: g.meter * 2]
    return [
        (upper[tone], step / 2, 0.9, 1.1 if step % 4 == 0 else 0.95)
        for step, tone in enumerate(steps)
    ]


def _arpeggio(g: Ground) -> list[Event]:
    orders = ((0, 1, 2, 3, 2, 1, 2, 1), (3, 2, 1, 0, 1, 2, 3, 2), (0, 2, 1, 3, 0, 2, 1, 3))
    return _eighths(g, orders[g.variant % len(orders)])


def _alberti(g: Ground) -> list[Event]:
    return _eighths(g, (0, 2, 1, 2, 0, 2, 1, 2))


def _rolled(g: Ground) -> list[Event]:
    tones = [g.low, *g.chord, g.chord[0] + 12]
    return [(m, 0.08 * i, g.meter * 0.95, 0.9 + 0.03 * i) for i, m in enumerate(tones)]


def _sweep(g: Ground) -> list[Event]:
    tones = [*g.chord, *(m + 12 for m in g.chord)]
    shape = [*tones, *tones[-2:0:-1]]
    count = g.meter * 4
    return [(shape[i % len(shape)], i / 4, 0.8, 1.05 if i % 4 == 0 else 0.85) for i in range(count)]


def _oompah(g: Ground) -> list[Event]:
    events: list[Event] = []
    for at in range(g.meter):
        if at == 0 or (g.meter == 4 and at == 2):
            events.append((g.low if at == 0 else g.low + 7, at, 0.8, 1.1))
        else:
            events += _strike(g, at, 0.5, 0.85)
    return events


def _bell(g: Ground) -> list[Event]:
    rows = (((0, 2), (1.5, 1), (3, 2)), ((0, 0), (2, 2)), ((0, 2), (1, 1), (2, 0)))
    rest = [(g.chord[t], at, 1.5, 1.0) for at, t in rows[g.variant % 3] if at < g.meter]
    return [(g.chord[0], 0, 1.5, 0.9), *rest]


def _tremolo(g: Ground) -> list[Event]:
    pair = (g.chord[0], g.chord[-1])
    return [(pair[i % 2], i / 4, 0.3, 1.0 if i % 4 == 0 else 0.8) for i in range(g.meter * 4)]


def _nearest(g: Ground, pitch: int) -> int:
    """The chord's tone, in any octave of the range, that lies nearest to a pitch."""
    classes = {tone % 12 for tone in g.chord}
    tones = range(g.ladder[0], g.ladder[-1] + 1)
    return min((t for t in tones if t % 12 in classes), key=lambda t: (abs(t - pitch), t))


def _tones(g: Ground) -> list[int]:
    """Four rising tones of the chord from near the pitch before."""
    tones = [_nearest(g, g.before - 4)]
    while len(tones) < 4:
        tones.append(_nearest(g, tones[-1] + 4))
    return tones


def _long(g: Ground) -> list[Event]:
    first = _nearest(g, g.before + g.rng.choice((-2, 0, 2)))
    if g.variant % 2:
        return [(first, 0, g.meter * 0.98, 1.0)]
    second = _nearest(g, first + g.rng.choice((-4, 4)))
    half = 2 if g.meter == 4 else 1
    return [(first, 0, half * 0.98, 1.0), (second, half, (g.meter - half) * 0.98, 0.95)]


def _walk_line(g: Ground, rows: tuple[tuple[float, float], ...]) -> list[Event]:
    """Chord tones on the beats 1 and 3, steps of the scale between."""
    pitch, events = g.before, []
    for at, length in rows:
        if at >= g.meter:
            continue
        if at in (0, 2):
            pitch = _nearest(g, pitch + g.rng.choice((-3, 0, 3)))
        else:
            near = [p for p in g.ladder if 0 < abs(p - pitch) <= 4] or [pitch]
            pitch = g.rng.choice(near)
        events.append((pitch, at, min(length, g.meter - at) * 0.96, 1.05 if at == 0 else 0.95))
    return events


def _line(g: Ground) -> list[Event]:
    rows = (
        ((0, 2), (2, 1), (3, 1)),
        ((0, 1.5), (1.5, 0.5), (2, 2)),
        ((0, 1), (1, 1), (2, 2)),
        ((0, 3), (3, 0.5), (3.5, 0.5)),
    )
    return _walk_line(g, rows[g.variant % len(rows)])


def _answer(g: Ground) -> list[Event]:
    rows = (
        ((0, 0.9), (1.5, 0.5), (2, 0.5), (2.5, 0.5), (3, 1)),
        ((0.5, 0.5), (1, 1), (2, 0.5), (2.5, 0.5), (3, 0.5), (3.5, 0.5)),
        ((1, 0.5), (1.5, 0.5), (2, 1.9)),
    )
    return _walk_line(g, rows[g.variant % len(rows)])


def _riff(g: Ground) -> list[Event]:
    rows = (
        ((0, 0), (0.5, 1), (1.5, 2), (2, 0), (3, 1), (3.5, 2)),
        ((0, 2), (0.75, 2), (1.5, 1), (2.5, 0), (3, 1)),
        ((0, 0), (0.5, 0), (1, 2), (2.5, 1), (3, 3)),
        ((0.5, 3), (1, 2), (1.5, 1), (2.5, 2), (3, 0)),
    )
    tones = _tones(g)
    return [(tones[t], at, 0.48, 1.05) for at, t in rows[g.variant % len(rows)] if at < g.meter]


def _figure(g: Ground) -> list[Event]:
    tones = _tones(g)
    orders = ((0, 1, 2, 3, 2, 1, 2, 1), (3, 2, 1, 2, 3, 2, 1, 0), (0, 2, 1, 2, 3, 2, 1, 2))
    order = orders[g.variant % len(orders)][: g.meter * 2]
    return [(tones[t], i / 2, 0.48, 1.1 if i % 4 == 0 else 0.95) for i, t in enumerate(order)]


CHORDAL: dict[str, Callable[[Ground], list[Event]]] = {
    "pad": _pad, "halves": _halves, "swell": _swell, "block": _block, "pulse": _pulse,
    "skank": _skank, "comp": _comp, "tresillo": _tresillo, "montuno": _montuno, "chop": _chop,
    "power": _power, "strum": _strum, "broken": _broken, "travis": _travis, "arpeggio": _arpeggio,
    "alberti": _alberti, "rolled": _rolled, "sweep": _sweep, "oompah": _oompah, "bell": _bell,
    "tremolo": _tremolo,
}  # fmt: skip
VOICED: dict[str, Callable[[Ground], list[Event]]] = {
    "long": _long, "line": _line, "answer": _answer, "riff": _riff, "figure": _figure,
}  # fmt: skip
