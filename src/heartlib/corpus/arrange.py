"""Accompaniment, bass and drums for a row of bars."""

import random
from dataclasses import dataclass

from heartlib.corpus.score import Hit, Style
from heartlib.corpus.styles import CLOSED, CRASH, GENRES, KICK, PATTERNS, RIDE, SNARE

LOUDNESS = {"I": 1.05, "V": 0.9, "C": 1.1, "B": 1.0, "N": 1.15, "O": 0.95, "end": 0.95}
FORCE = {"happy": 84, "energetic": 96, "sad": 74, "calm": 68}


@dataclass(frozen=True)
class Bar:
    """Four beats of one chord; `kind` is the section's letter, `last` the section's last bar."""

    kind: str
    name: str
    pitch_classes: tuple[int, ...]
    last: bool


def arrange(
    rng: random.Random, style: Style, bars: list[Bar], beat: float, scale: list[int]
) -> tuple[list[Hit], float]:
    """All hits in order of time, and when the last chord is released (seconds)."""
    genre = GENRES[style.genre]
    calm = {kind: rng.choice(PATTERNS[style.instrument]) for kind in "VCBINO"}
    drums = rng.choice(genre.drums) if rng.random() < genre.drum_chance else {}
    bass = rng.choice(genre.bass)
    quiet_intro = rng.random() < 0.5
    lead = {kind: rng.random() < (0.8 if kind == "N" else 0.4) for kind in "NIO"}
    player = Player(rng, beat, FORCE[style.mood])
    for index, bar in enumerate(bars[:-1]):
        player.enter(index, LOUDNESS[bar.kind])
        voicing = player.voicing(bar.pitch_classes)
        player.accompany(calm[bar.kind], voicing)
        if lead.get(bar.kind):
            player.lead(bar.pitch_classes, scale)
        if quiet_intro and bar.kind == "I":
            continue
        player.bass(bass, bar.pitch_classes, bars[index + 1].pitch_classes)
        player.drums(drums, fill=bar.last and bar.kind != "O", crash=_is_first(bars, index))
    release = player.finish(len(bars) - 1, bars[-1].pitch_classes, bool(drums))
    return sorted(player.hits, key=lambda hit: (hit.start, hit.part, hit.midi)), release


def _is_first(bars: list[Bar], index: int) -> bool:
    return index > 0 and bars[index - 1].last and bars[index].kind in "CN"


class Player:
    """Collects hits bar by bar. Times inside a bar are in beats."""

    def __init__(self, rng: random.Random, beat: float, force: int) -> None:
        self.rng = rng
        self.beat = beat
        self.force = force
        self.hits: list[Hit] = []
        self.previous: list[int] = [60, 64, 67]
        self.low = 40
        self.tune = 76
        self.origin = 0.0
        self.level = 1.0

    def enter(self, bar: int, level: float) -> None:
        """Moves on to a bar (counted from 0)."""
        self.origin = bar * 4 * self.beat
        self.level = level

    def add(self, part: str, midi: int, at: float, length: float, accent: float = 1.0) -> None:
        """One hit at `at` beats of the bar, with a touch of human velocity."""
        velocity = self.force * self.level * accent * self.rng.uniform(0.92, 1.05)
        start = self.origin + at * self.beat
        end = start + length * self.beat
        self.hits.append(Hit(part, midi, max(1, min(127, round(velocity))), start, end))

    def voicing(self, classes: tuple[int, ...]) -> list[int]:
        """Close position near the chord before, between MIDI 52 and 76."""
        middle = sum(self.previous) / len(self.previous)
        best: list[int] = []
        for turn in range(len(classes)):
            row: list[int] = []
            low = 52
            for pitch_class in classes[turn:] + classes[:turn]:
                low = low + (pitch_class - low) % 12
                row.append(low)
                low += 1
            for octave in (0, 12):
                shifted = [pitch + octave for pitch in row]
                if not best or _distance(shifted, middle) < _distance(best, middle):
                    best = shifted
        self.previous = best
        return best

    def accompany(self, pattern: str, chord: list[int]) -> None:
        """The main instrument's bar."""
        if pattern == "pad":
            self._chord(chord, 0, 3.95)
        elif pattern == "block":
            for at in range(4):
                self._chord(chord, at, 0.9, 1.0 if at % 2 == 0 else 0.85)
        elif pattern == "pulse":
            for at in range(8):
                self._chord(chord, at / 2, 0.42, 1.0 if at % 2 == 0 else 0.8)
        elif pattern == "offbeat":
            for at in range(4):
                self._chord(chord, at + 0.5, 0.4)
        elif pattern == "comp":
            for at, length in self.rng.choice(
                (((0, 1.4), (1.5, 1), (3, 0.8)), ((0, 1), (2.5, 1.3)))
            ):
                self._chord(chord, at, length)
        elif pattern == "strum":
            strokes = self.rng.choice(((0, 1, 1.5, 2, 3, 3.5), (0, 1, 2, 2.5, 3, 3.5)))
            for at in strokes:
                self._strum([chord[0] - 12, *chord], at, down=at == int(at))
        else:
            upper = [*chord, chord[0] + 12]
            order = (0, 1, 2, 3, 2, 1, 2, 1) if pattern == "arpeggio" else (0, 2, 1, 2, 0, 2, 1, 2)
            for step, note in enumerate(order):
                self.add("main", upper[note], step / 2, 0.9, 1.1 if step % 4 == 0 else 0.95)

    def lead(self, classes: tuple[int, ...], scale: list[int]) -> None:
        """A simple tune above the chords, where nobody sings."""
        ladder = [pitch for pitch in range(72, 88) if pitch % 12 in scale]
        at = 0.0
        while at < 4:
            length = min(self.rng.choice((0.5, 1, 1, 1, 2)), 4 - at)
            near = [p for p in ladder if abs(p - self.tune) <= 4]
            if at in (0.0, 2.0):
                near = [p for p in ladder if p % 12 in classes and abs(p - self.tune) <= 7] or near
            self.tune = self.rng.choice(near)
            self.add("main", self.tune, at, length * 0.95, 1.12)
            at += length

    def bass(self, pattern: str, classes: tuple[int, ...], following: tuple[int, ...]) -> None:
        """The bass's bar."""
        root, fifth, third = self._low(classes[0]), self._low(classes[2]), self._low(classes[1])
        rows: dict[str, list[tuple[int, float, float]]] = {
            "root": [(root, 0, 1.9), (root, 2, 1.9)],
            "fifths": [(root, 0, 1.4), (fifth, 2, 1.4)],
            "eighths": [(root, step / 2, 0.45) for step in range(8)],
            "offbeat": [(root, step + 0.5, 0.45) for step in range(4)],
            "bossa": [(root, 0, 1.4), (fifth, 1.5, 0.5), (fifth, 2, 1.4), (root, 3.5, 0.5)],
        }
        target = self._low(following[0])
        approach = target + self.rng.choice((-1, 1, 2))
        rows["walk"] = [(root, 0, 0.9), (third, 1, 0.9), (fifth, 2, 0.9), (approach, 3, 0.9)]
        for midi, at, length in rows[pattern]:
            self.add("bass", midi, at, length, 1.05)

    def drums(self, rows: dict[int, str], fill: bool, crash: bool) -> None:
        """The kit's bar; a fill replaces its last beat."""
        accents = {CLOSED: 0.7, RIDE: 0.8, SNARE: 1.0, KICK: 1.05}
        stop = 12 if fill else 16
        for midi, row in rows.items():
            for step, mark in enumerate(row):
                if mark == "x" and (step < stop or midi == KICK):
                    soft = 0.8 if step % 4 else 1.0
                    self.add("drums", midi, step / 4, 0.2, accents.get(midi, 0.8) * soft)
        if rows and fill:
            for step, midi in enumerate(self.rng.choice(((38, 38, 45, 43), (48, 45, 43, 41)))):
                self.add("drums", midi, 3 + step / 4, 0.2, 0.8 + 0.08 * step)
        if rows and crash:
            self.add("drums", CRASH, 0, 1.0, 0.8)

    def finish(self, bar: int, classes: tuple[int, ...], kit: bool) -> float:
        """The last chord; returns when it is released."""
        self.enter(bar, LOUDNESS["end"])
        length = max(2.0, round(1.6 / self.beat))
        self._chord(self.voicing(classes), 0, length)
        self.add("main", self.previous[0] - 12, 0, length)
        self.add("bass", self._low(classes[0]), 0, length)
        if kit:
            self.add("drums", KICK, 0, 0.2)
            self.add("drums", CRASH, 0, 1.0, 0.7)
        return self.origin + length * self.beat

    def _low(self, pitch_class: int) -> int:
        """The bass's pitch of a class, MIDI 31 to 42."""
        return 31 + (pitch_class - 31) % 12

    def _chord(self, chord: list[int], at: float, length: float, accent: float = 1.0) -> None:
        for midi in chord:
            self.add("main", midi, at, length, accent)

    def _strum(self, chord: list[int], at: float, down: bool) -> None:
        order = chord if down else chord[:0:-1]
        for step, midi in enumerate(order):
            delay = step * 0.018 / self.beat
            self.add("main", midi, at + delay, 0.85, 1.0 if down else 0.8)


def _distance(chord: list[int], middle: float) -> float:
    return abs(sum(chord) / len(chord) - middle)
