"""Sung melody: one note a syllable; rhythm and contour by line, chord tones on strong beats."""

import random
from dataclasses import dataclass

from heartlib.corpus.groove import Groove
from heartlib.corpus.score import Note, SungWord
from heartlib.corpus.voices import VOICES
from heartlib.corpus.words import vocabulary

FEELS = ("straight", "straight", "syncopated", "dotted", "late", "pickup", "held")
"""How the syllables of a line lie in its bars."""
RELATIONS = ("sequence", "sequence", "inversion", "answer", "new")
"""What the second line of a couplet makes of the first one's contour."""
LONGEST = 14
"""Notes of a contour: more than a line has syllables."""


def rhythm(
    rng: random.Random, count: int, beats: int, beat: float, feel: str = "straight"
) -> list[tuple[int, int]]:
    """`count` notes as (onset, length) in eighths of a line of `beats`; the line ends with a breath.

    A line that feels like a `pickup` begins an eighth before its first beat.
    """
    slots = max(beats * 2 - 2, min(count, beats * 2 - 1))
    if count > slots:
        raise ValueError(f"{count} syllables do not fit into {slots} eighths")
    first = {"late": rng.choice((1, 2)), "pickup": -1}.get(feel, 0)
    first = min(first, slots - count)
    quick = 0.25 if beat < 0.5 else 0.8
    weights = {slot: _weight(slot, slots, quick, feel) for slot in range(first + 1, slots)}
    order = sorted(weights, key=lambda slot: rng.random() ** (1.0 / weights[slot]))
    onsets = sorted([first, *order[len(order) - (count - 1) :]]) if count > 1 else [first]
    ends = [*onsets[1:], beats * 2 - 1]
    last = 6 if feel == "held" else 4 if beats > 4 else 3
    longest = [4] * (count - 1) + [last]
    spans = zip(onsets, ends, longest, strict=True)
    return [(onset, min(end - onset, cap)) for onset, end, cap in spans]


def _weight(slot: int, slots: int, quick: float, feel: str) -> float:
    """How much a note wants to begin in an eighth of the line."""
    if feel == "syncopated":
        weight = (1.8, 2.2 * quick, 1.4, 3.0 * quick)[slot % 4]
    elif feel == "dotted":
        weight = (3.0, 0.3 * quick, 0.8, 3.0 * quick)[slot % 4]
    else:
        weight = (3.0, quick, 2.0, quick)[slot % 4]
    if feel == "held":
        weight *= (1.2 - slot / slots) ** 2
    return weight * (0.5 if slot == slots - 1 else 1.0)


def contour(rng: random.Random) -> list[int]:
    """LONGEST steps on the scale, in one of eight shapes; the first is the line's start."""
    shape = rng.choice(("arch", "valley", "rise", "fall", "wave", "chant", "leap", "zigzag"))
    turn = rng.randint(3, 5)
    steps = [rng.choice((-1, 0, 1))]
    for number in range(1, LONGEST):
        size = rng.choice((0, 1, 1, 1, 2))
        if shape in ("arch", "valley"):
            step = size if (number < turn) == (shape == "arch") else -size
        elif shape in ("rise", "fall"):
            step = size if (rng.random() < 0.75) == (shape == "rise") else -size
        elif shape == "wave":
            step = size if (number // 2) % 2 == 0 else -size
        elif shape == "chant":
            step = rng.choice((0, 0, 0, 1, -1))
        elif shape == "leap":
            step = rng.choice((3, 4)) if number == turn - 2 else -rng.choice((0, 1, 1))
        else:
            step = 2 if number % 2 else -1
        steps.append(step)
    return steps


def related(rng: random.Random, steps: list[int], relation: str) -> list[int]:
    """The contour of the answering line."""
    if relation == "sequence":
        return [steps[0] + rng.choice((-2, -1, 1, 2)), *steps[1:]]
    if relation == "inversion":
        return [steps[0] + 1, *(-step for step in steps[1:])]
    if relation == "answer":
        return [*steps[:4], *contour(rng)[4:]]
    return contour(rng)


@dataclass(frozen=True)
class Phrase:
    """Where a line stands: number `index` of the `total` lines of a section of `kind`, from
    `first_beat` of the song, over one chord (its pitch classes) a bar."""

    kind: str
    index: int
    total: int
    first_beat: int
    chords: list[tuple[int, ...]]


class Singer:
    """Makes the lines of one song; lines of a section kind share rhythm and contour."""

    def __init__(
        self,
        rng: random.Random,
        voice: str,
        scale: list[int],
        groove: Groove,
        beats: int,
        lift: int,
        language: str = "en",
    ) -> None:
        self.rng = rng
        self.groove = groove
        self.beats = beats
        self.scale = scale
        self.lift = lift
        self.vocabulary = vocabulary(language)
        centre = VOICES[voice].centre
        self.ladder = [p for p in range(centre - 8, centre + 8) if p % 12 in scale]
        self.rhythms: dict[tuple[str, int, int, str], list[tuple[int, int]]] = {}
        self.feels: dict[tuple[str, int], str] = {}
        self.contours: dict[tuple[str, int], list[int]] = {}
        self.climbs: dict[str, int] = {}

    def line(self, text: str, phrase: Phrase) -> list[SungWord]:
        """The words of a line with their notes."""
        words = [self.vocabulary[word] for word in text.split()]
        count = sum(word.syllables for word in words)
        parity = phrase.index % 2
        steps = self._contour(phrase.kind, parity)
        rung = len(self.ladder) // 2 + self.lift + (1 if phrase.kind == "C" else -1)
        if phrase.index >= 2:
            rung += self.climbs.setdefault(phrase.kind, self.rng.choice((-1, 0, 0, 1, 2)))
        bar = 2 * self.groove.meter
        notes: list[Note] = []
        for number, (onset, length) in enumerate(self._rhythm(phrase, count)):
            rung = min(max(rung + steps[number], 0), len(self.ladder) - 1)
            chord = phrase.chords[min(max(onset, 0) // bar, len(phrase.chords) - 1)]
            final = number == count - 1
            allowed = self._allowed(chord)
            if final and phrase.index == phrase.total - 1:
                allowed = [p for p in allowed if p in self._home()] or allowed
            strong = onset % bar == 0 or (bar == 8 and onset % 4 == 0)
            if final or strong or self.ladder[rung] % 12 not in self._passing(chord):
                rung = self._nearest(rung, allowed)
            start = self.groove.seconds(phrase.first_beat + onset / 2)
            end = self.groove.seconds(phrase.first_beat + (onset + length) / 2)
            notes.append(Note(self.ladder[rung], start, end))
        return _deal(notes, words)

    def _rhythm(self, phrase: Phrase, count: int) -> list[tuple[int, int]]:
        parity = phrase.index % 2
        feel = self.feels.setdefault((phrase.kind, parity), self.rng.choice(FEELS))
        if feel == "pickup" and phrase.index == 0:
            feel = "straight"
        key = (phrase.kind, parity, count, feel)
        if key not in self.rhythms:
            self.rhythms[key] = rhythm(self.rng, count, self.beats, self.groove.beat, feel)
        return self.rhythms[key]

    def _contour(self, kind: str, parity: int) -> list[int]:
        """The first line's own contour, the second line's related to it."""
        if (kind, parity) not in self.contours:
            if parity == 0:
                made = contour(self.rng)
            else:
                made = related(self.rng, self._contour(kind, 0), self.rng.choice(RELATIONS))
            self.contours[kind, parity] = made
        return self.contours[kind, parity]

    def _home(self) -> set[int]:
        """The tonic chord."""
        return {self.scale[step] for step in (0, 2, 4)}

    def _allowed(self, chord: tuple[int, ...]) -> list[int]:
        """Pitch classes of the chord that the key has."""
        return [tone for tone in chord if tone in self.scale]

    def _passing(self, chord: tuple[int, ...]) -> set[int]:
        """Pitch classes of the key that do not rub against a tone which the chord borrows."""
        borrowed = [tone for tone in chord if tone not in self.scale]
        rubs = {(tone + step) % 12 for tone in borrowed for step in (-1, 1)}
        return {tone for tone in self.scale if tone in chord or tone not in rubs}

    def _nearest(self, rung: int, classes: list[int]) -> int:
        fits = [i for i, pitch in enumerate(self.ladder) if pitch % 12 in classes]
        return min(fits or [rung], key=lambda i: (abs(i - rung), i))


def _deal(notes: list[Note], words: list) -> list[SungWord]:
    sung: list[SungWord] = []
    at = 0
    for word in words:
        sung.append(SungWord(word.text, tuple(notes[at : at + word.syllables])))
        at += word.syllables
    return sung
