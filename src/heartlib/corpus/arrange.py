"""Who plays what in each bar: accompaniment, backing, bass and drums, louder and fuller by section."""

import random
from dataclasses import dataclass

from heartlib.corpus import accompany, bass, drums
from heartlib.corpus.genres import GENRES
from heartlib.corpus.groove import Groove
from heartlib.corpus.harmony import Chord
from heartlib.corpus.moods import MOODS
from heartlib.corpus.orchestra import BACKING, BACKINGS, INSTRUMENTS
from heartlib.corpus.player import Hands, Player
from heartlib.corpus.score import Hit, Style

LEVELS = {"I": 0.98, "V": 0.94, "P": 0.97, "C": 1.07, "B": 0.95, "N": 1.05, "O": 0.96, "end": 0.96}
BUSIER = {"C": 0.15, "N": 0.1, "P": 0.05, "V": -0.1, "I": -0.2, "O": -0.2, "B": 0.0}
LEAD_CHANCE = {"N": 0.85, "I": 0.4, "O": 0.35}
TEXTURES = {
    "I": ("none", "none", "light", "full"),
    "V": ("light", "full", "full"),
    "P": ("full", "light"),
    "C": ("full",),
    "B": ("half", "none", "light", "full"),
    "N": ("full",),
    "O": ("light", "full", "none"),
}
UNMUTED = 1.5
"""Beats from which a note is a held one, that the mood's articulation leaves alone."""


@dataclass(frozen=True)
class Bar:
    """A bar of one chord; `kind` is the section's letter, `place` the bar's number among the
    section's `count`, `following` the letter of the section after."""

    kind: str
    chord: Chord
    place: int
    count: int
    following: str

    @property
    def last(self) -> bool:
        """Whether the section ends with this bar."""
        return self.place == self.count - 1


@dataclass(frozen=True)
class Plan:
    """How a kind of section is played."""

    pattern: str
    variant: int
    bass: str
    texture: str
    rows: dict[int, str]
    lead: bool
    tune: tuple[tuple[tuple[float, float], ...], ...]


def arrange(
    rng: random.Random, style: Style, bars: list[Bar], groove: Groove, scale: list[int]
) -> tuple[list[Hit], float]:
    """All hits in order of time, and when the last chord is released (seconds)."""
    band = Arranger(rng, style, groove, scale)
    for index, bar in enumerate(bars[:-1]):
        band.bar(index, bar, bars[index + 1], index > 0 and bar.place == 0)
    release = band.finish(len(bars) - 1, bars[-1].chord)
    return band.player.played(), release


class Arranger:
    """The band of one song: its plans by section and what each instrument played before."""

    def __init__(self, rng: random.Random, style: Style, groove: Groove, scale: list[int]) -> None:
        self.rng = rng
        self.genre = GENRES[style.genre]
        self.mood = MOODS[style.mood]
        self.instrument = INSTRUMENTS[style.instrument]
        self.groove = groove
        self.player = Player(rng, groove, self.mood.force)
        centre = self.instrument.centre + self.mood.register
        spread = self.mood.density < 0.5 and rng.random() < 0.6
        self.hands = Hands(self.instrument.low, self.instrument.high, centre, spread)
        self.backing = BACKINGS[style.backing][1] if style.backing != "none" else ""
        self.soft = Hands(*BACKING, spread=False)
        in_range = range(max(self.hands.low, self.hands.centre - 9), self.hands.centre + 10)
        self.ladder = [p for p in in_range if p % 12 in scale and p <= self.hands.high]
        above = range(self.hands.centre + 5, min(self.hands.high, self.hands.centre + 22) + 1)
        self.upper = [p for p in above if p % 12 in scale]
        self.before = self.hands.centre
        self.tune = self.upper[len(self.upper) // 3]
        self.kit = rng.random() < self.genre.drum_chance
        self.orchestral = self.genre.kit == 48
        self.plans = self._plans()

    def _plans(self) -> dict[str, Plan]:
        """Verse and chorus differ in pattern, bass and drums where the genre gives a choice."""
        rng = self.rng
        drums_of = rng.sample(self.genre.drums, 2)
        bass_of = rng.sample(self.genre.bass, 2)
        same_bass = rng.random() < 0.4
        plans = {}
        for kind, busier in BUSIER.items():
            loud = kind in "CN"
            patterns = self.instrument.patterns
            place = self.mood.density + busier + rng.uniform(-0.15, 0.15)
            step = max(0, min(len(patterns) - 1, round(place * (len(patterns) - 1))))
            texture = rng.choice(TEXTURES[kind])
            if kind == "V" and self.mood.density > 0.8:
                texture = "full"
            plans[kind] = Plan(
                patterns[step],
                rng.randrange(60),
                bass_of[0 if loud or same_bass else 1],
                texture,
                drums.rows_of(drums_of[0 if loud else 1]),
                rng.random() < LEAD_CHANCE.get(kind, 0.0),
                tuple(self._tune_rhythm() for _ in range(2)),
            )
        return plans

    def _tune_rhythm(self) -> tuple[tuple[float, float], ...]:
        rows, at = [], self.rng.choice((0.0, 0.0, 0.0, 0.5))
        while at < self.groove.meter:
            length = min(self.rng.choice((0.5, 0.5, 1, 1, 1, 1.5, 2)), self.groove.meter - at)
            rows.append((at, length))
            at += length
        return tuple(rows)

    def bar(self, index: int, bar: Bar, following: Bar, enters: bool) -> None:
        """Everything in one bar."""
        plan = self.plans[bar.kind]
        building = bar.last and bar.following == "C"
        self.player.enter(index, self._level(bar, building))
        self._main(plan, bar)
        if self.backing:
            self._backing(bar.chord)
        silent = plan.texture == "none"
        # A break: bass and drums leave the last beats before the chorus to the others.
        broken = building and not silent and self.rng.random() < 0.2
        stop = self.groove.meter - (2 if self.groove.meter == 4 else 1) if broken else 99.0
        if not (silent and bar.kind in "IO"):
            self._bass(plan, bar.chord, following.chord, stop)
        if self.kit and not silent:
            self._drums(plan, bar, building, enters, stop)

    def _level(self, bar: Bar, building: bool) -> float:
        """The section's loudness, moved away from the middle by the mood's contrast."""
        level = 1 + (LEVELS[bar.kind] - 1) * self.mood.contrast
        through = bar.place / max(bar.count - 1, 1)
        if bar.kind == "P":
            level *= 0.92 + 0.14 * through
        elif bar.kind == "O":
            level *= 1.05 - 0.2 * through
        return level * (1.06 if building else 1.0)

    def _main(self, plan: Plan, bar: Bar) -> None:
        chord = self.hands.voicing(bar.chord.classes)
        lead = plan.lead
        if self.instrument.chordal or not lead:
            ground = accompany.Ground(
                chord,
                self.hands.below(bar.chord.classes[0], chord),
                self.groove.meter,
                self.ladder,
                self.before,
                plan.variant,
                self.rng,
            )
            play = accompany.chordal if self.instrument.chordal else accompany.voiced
            events = play(plan.pattern, ground)
            self._play("main", events, self.hands, 0.85 if lead else 1.0)
            self.before = round(0.7 * self.hands.fit(events[-1][0]) + 0.3 * self.hands.centre)
        if lead:
            self._play("main", self._lead(plan.tune[bar.place % 2], bar.chord), self.hands, 1.1)

    def _lead(self, rhythm: tuple[tuple[float, float], ...], chord: Chord) -> list[accompany.Event]:
        """A tune above the chords, where nobody sings."""
        events = []
        for at, length in rhythm:
            near = [p for p in self.upper if abs(p - self.tune) <= 4]
            if at % 2 == 0:
                tones = [p for p in self.upper if p % 12 in chord.classes]
                near = [p for p in tones if abs(p - self.tune) <= 7] or tones or near
            self.tune = self.rng.choice(near or self.upper)
            events.append((self.tune, at, length * 0.95, 1.0))
        return events

    def _play(self, part: str, events: list[accompany.Event], hands: Hands, accent: float) -> None:
        for midi, at, length, stress in events:
            heard = length if length >= UNMUTED else length * self.mood.length
            self.player.add(part, hands.fit(midi), at, heard, stress * accent)

    def _backing(self, chord: Chord) -> None:
        voicing = self.soft.voicing(chord.classes)
        low = self.soft.below(chord.classes[0], voicing)
        ground = accompany.Ground(voicing, low, self.groove.meter, [], 0, 0, self.rng)
        self._play("backing", accompany.chordal(self.backing, ground), self.soft, 0.8)

    def _bass(self, plan: Plan, chord: Chord, following: Chord, stop: float) -> None:
        for midi, at, length in bass.line(self.rng, plan.bass, chord.classes, following.classes):
            if at < stop:
                self.player.add("bass", midi, at, length, 1.05)

    def _drums(self, plan: Plan, bar: Bar, building: bool, enters: bool, stop: float) -> None:
        meter = self.groove.meter
        extra: list[drums.Stroke] = []
        if building and stop > meter and self.rng.random() < 0.35:
            extra = drums.roll(meter, self.orchestral)
        elif bar.last and bar.kind != "O" and stop > meter:
            extra = drums.fill(self.rng, meter, self.orchestral)
            stop = min((at for _, at, _ in extra), default=stop)
        elif bar.place % 4 == 3 and self.rng.random() < 0.3:
            extra = [(drums.SNARE, meter - 0.5, 0.6), (drums.SNARE, meter - 0.25, 0.75)]
        if enters and bar.kind in "CN":
            extra.append((drums.CRASH, 0.0, 0.85))
        for piece, at, accent in drums.strokes_of(plan.rows, plan.texture, stop) + extra:
            self.player.add("drums", piece, at, 1.0 if piece == drums.CRASH else 0.2, accent)

    def finish(self, bar: int, chord: Chord) -> float:
        """The last chord; returns when it is released."""
        beat = self.groove.beat
        self.player.enter(bar, LEVELS["end"])
        length = max(2.0, round(1.6 / beat))
        voicing = self.hands.voicing(chord.classes)
        tones = [self.hands.below(chord.classes[0], voicing), *voicing]
        if not self.instrument.chordal:
            tones = [min(voicing, key=lambda p: (abs(p - self.before), p))]
        for midi in tones:
            self.player.add("main", midi, 0, length)
        if self.backing:
            for midi in self.soft.voicing(chord.classes):
                self.player.add("backing", midi, 0, length, 0.8)
        self.player.add("bass", bass.low(chord.classes[0]), 0, length)
        if self.kit:
            self.player.add("drums", 47 if self.orchestral else drums.KICK, 0, 0.2)
            self.player.add("drums", drums.CRASH, 0, 1.0, 0.7)
        return self.groove.seconds(bar * self.groove.meter + length)
