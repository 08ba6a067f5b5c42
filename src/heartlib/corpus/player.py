"""Turns written strokes into hits with human timing and loudness, and voices chords."""

import random
from itertools import pairwise

from heartlib.corpus.groove import Groove
from heartlib.corpus.score import Hit

JITTER = {"main": 0.006, "backing": 0.006, "bass": 0.004, "drums": 0.003}
"""Standard deviation of a note's start in seconds."""
GAP = 0.004


class Player:
    """Collects hits bar by bar. Times inside a bar are in beats."""

    def __init__(self, rng: random.Random, groove: Groove, force: int) -> None:
        self.rng = rng
        self.groove = groove
        self.force = force
        self.hits: list[Hit] = []
        self.origin = 0
        self.level = 1.0

    def enter(self, bar: int, level: float) -> None:
        """Moves on to a bar (counted from 0)."""
        self.origin = bar * self.groove.meter
        self.level = level

    def add(self, part: str, midi: int, at: float, length: float, accent: float = 1.0) -> None:
        """One hit at `at` beats of the bar."""
        velocity = self.force * self.level * accent * self.rng.uniform(0.92, 1.06)
        late = max(-0.015, min(0.015, self.rng.gauss(0.0, JITTER[part])))
        start = self.groove.seconds(self.origin + at)
        end = self.groove.seconds(self.origin + at + length)
        begin = max(0.0, start + late)
        self.hits.append(
            Hit(part, midi, max(1, min(127, round(velocity))), begin, max(end + late, begin + 0.05))
        )

    def played(self) -> list[Hit]:
        """All hits in order of time; a key that is struck again is let go before."""
        keys: dict[tuple[str, int], list[Hit]] = {}
        for hit in sorted(self.hits, key=lambda hit: (hit.start, -hit.end)):
            keys.setdefault((hit.part, hit.midi), []).append(hit)
        done: list[Hit] = []
        for hits in keys.values():
            apart = [hits[0]]
            apart += [new for old, new in pairwise(hits) if new.start - old.start > 0.03]
            for hit, after in pairwise(apart):
                end = min(hit.end, after.start - GAP)
                done.append(Hit(hit.part, hit.midi, hit.velocity, hit.start, end))
            done.append(apart[-1])
        return sorted(done, key=lambda hit: (hit.start, hit.part, hit.midi))


class Hands:
    """Voices the chords of one instrument: each in the inversion that is nearest to the one before."""

    def __init__(self, low: int, high: int, centre: int, spread: bool) -> None:
        self.low = low
        self.high = high
        self.centre = max(low + 8, min(high - 8, centre))
        self.spread = spread
        self.middle = float(self.centre)

    def voicing(self, classes: tuple[int, ...]) -> list[int]:
        """The chord's tones, rising; with `spread` the second from above lies an octave lower."""
        aim = (self.middle + self.centre) / 2
        rows = []
        for turn in range(len(classes)):
            for octave in range(24, 97, 12):
                row = self._stack(classes[turn:] + classes[:turn], octave)
                if row[0] >= self.low and row[-1] <= self.high:
                    rows.append(row)
        best = min(rows, key=lambda row: (abs(sum(row) / len(row) - aim), row))
        self.middle = sum(best) / len(best)
        if self.spread and best[-2] - 12 >= self.low:
            best = sorted([*best[:-2], best[-2] - 12, best[-1]])
        return best

    def below(self, root: int, chord: list[int]) -> int:
        """The root under a voicing, or inside it where the instrument ends."""
        low = chord[0] - ((chord[0] - root) % 12 or 12)
        return low if low >= self.low else low + 12

    def fit(self, midi: int) -> int:
        """A pitch, moved by octaves into the range."""
        while midi < self.low:
            midi += 12
        while midi > self.high:
            midi -= 12
        return midi

    @staticmethod
    def _stack(classes: tuple[int, ...], bottom: int) -> list[int]:
        row: list[int] = []
        for pitch_class in classes:
            bottom += (pitch_class - bottom) % 12
            row.append(bottom)
            bottom += 1
        return row
