"""Sung melody: one note a syllable, rhythm and contour by line, chord tones on strong beats."""

import random

from heartlib.corpus.score import Note, SungWord
from heartlib.corpus.voices import VOICES
from heartlib.corpus.words import vocabulary


def pitches_of(scale: list[int], degree: int, seventh: bool = False) -> list[int]:
    """Pitch classes of the scale's chord on `degree` (0 to 6), root first."""
    steps = (0, 2, 4, 6) if seventh else (0, 2, 4)
    return [scale[(degree + step) % 7] for step in steps]


def rhythm(rng: random.Random, count: int, beats: int, beat: float) -> list[tuple[int, int]]:
    """`count` notes as (onset, length) in eighths of a line of `beats`; the line ends with a breath."""
    slots = max(beats * 2 - 2, min(count, beats * 2 - 1))
    if count > slots:
        raise ValueError(f"{count} syllables do not fit into {slots} eighths")
    short = 0.25 if beat < 0.5 else 0.8
    weight = [3.0 if slot % 4 == 0 else 2.0 if slot % 2 == 0 else short for slot in range(slots)]
    weight[-1] *= 0.5
    order = sorted(range(1, slots), key=lambda slot: rng.random() ** (1.0 / weight[slot]))
    onsets = sorted([0, *order[len(order) - (count - 1) :]]) if count > 1 else [0]
    ends = [*onsets[1:], beats * 2 - 1]
    longest = [4] * (count - 1) + [4 if beats == 8 else 3]
    spans = zip(onsets, ends, longest, strict=True)
    return [(onset, min(end - onset, cap)) for onset, end, cap in spans]


class Singer:
    """Makes the lines of one song; lines of a section kind share rhythm and contour."""

    def __init__(
        self, rng: random.Random, voice: str, scale: list[int], beat: float, beats: int
    ) -> None:
        self.rng = rng
        self.beat = beat
        self.beats = beats
        self.scale = scale
        centre = VOICES[voice].centre
        self.ladder = [p for p in range(centre - 8, centre + 8) if p % 12 in scale]
        self.rhythms: dict[tuple[str, int, int], list[tuple[int, int]]] = {}
        self.contours: dict[tuple[str, int], list[int]] = {}

    def line(
        self,
        text: str,
        kind: str,
        index: int,
        total: int,
        first_beat: int,
        chords: list[tuple[int, ...]],
    ) -> list[SungWord]:
        """Line `index` of `total` from `first_beat`, over one chord a bar of four beats."""
        words = [vocabulary()[word] for word in text.split()]
        count = sum(word.syllables for word in words)
        key = (kind, index % 2, count)
        if key not in self.rhythms:
            self.rhythms[key] = rhythm(self.rng, count, self.beats, self.beat)
        steps = self._contour(kind, index % 2)
        rung = len(self.ladder) // 2 + (1 if kind == "C" else -1)
        notes: list[Note] = []
        for number, (onset, length) in enumerate(self.rhythms[key]):
            rung = min(max(rung + steps[number], 0), len(self.ladder) - 1)
            chord = chords[min(onset // 8, len(chords) - 1)]
            final = number == count - 1
            if final and index == total - 1:
                chord = tuple(pitches_of(self.scale, 0)) if len(chords) > 1 else chord
            if final or onset % 4 == 0:
                rung = self._nearest(rung, chord)
            start = (first_beat + onset / 2) * self.beat
            notes.append(Note(self.ladder[rung], start, start + length / 2 * self.beat))
        return _deal(notes, words)

    def _contour(self, kind: str, parity: int) -> list[int]:
        """Steps on the ladder of one kind of line: mostly by one, rising first and falling after."""
        key = (kind, parity)
        if key not in self.contours:
            steps = [self.rng.choice((-1, 0, 1, 2) if kind == "C" else (-1, 0, 0, 1))]
            for number in range(1, 12):
                up = 0.62 if number < 4 else 0.4
                size = self.rng.choice((0, 1, 1, 1, 1, 2))
                steps.append(size if self.rng.random() < up else -size)
            self.contours[key] = steps
        return self.contours[key]

    def _nearest(self, rung: int, chord: tuple[int, ...]) -> int:
        fits = [i for i, pitch in enumerate(self.ladder) if pitch % 12 in chord]
        return min(fits, key=lambda i: (abs(i - rung), i))


def _deal(notes: list[Note], words: list) -> list[SungWord]:
    sung: list[SungWord] = []
    at = 0
    for word in words:
        sung.append(SungWord(word.text, tuple(notes[at : at + word.syllables])))
        at += word.syllables
    return sung
