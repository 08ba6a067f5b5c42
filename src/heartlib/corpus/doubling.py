"""The second take of the chorus: the same line again, or a third above it."""

import random
from dataclasses import dataclass, replace

import numpy as np

from heartlib.corpus.harmony import NAMES, SCALES
from heartlib.corpus.score import Note, Score, SungWord
from heartlib.corpus.singing import sing
from heartlib.corpus.voice_bank import VoiceBank

RATE = 48000
LEAD = 0.4
"""Seconds before a section that its first consonants may need."""


@dataclass(frozen=True)
class Take:
    """How the second take differs: semitones of detuning, seconds that it is late."""

    detune: float
    late: float


def take_of(score: Score) -> Take:
    """8 to 15 cents sharp or flat and 15 to 30 ms late, by the song's seed."""
    rng = random.Random(f"heartlib second {score.seed}")
    return Take(rng.choice((-1, 1)) * rng.uniform(0.08, 0.15), rng.uniform(0.015, 0.03))


def doubled_spans(score: Score) -> list[tuple[float, float]]:
    """The choruses that are sung twice; none when the style has no doubling."""
    if score.style.doubling == "none" or not score.words:
        return []
    return [(part.start, part.end) for part in score.sections if part.name == "Chorus"]


def second_words(score: Score) -> list[SungWord]:
    """The words of the second take with its own pitches, at the times of the first."""
    spans = doubled_spans(score)
    words = [w for w in score.words if any(a <= w.notes[0].start < b for a, b in spans)]
    if score.style.doubling != "third":
        return words
    return [
        SungWord(word.text, tuple(replace(n, midi=_third(n.midi, score)) for n in word.notes))
        for word in words
    ]


def sing_second(score: Score, bank: VoiceBank) -> np.ndarray | None:
    """The second take's stem, float64 [n] at 48 kHz; None without one. Only the choruses are sung."""
    words = second_words(score)
    if not words:
        return None
    take = take_of(score)
    wave = np.zeros(round(score.duration * RATE))
    for start, end in doubled_spans(score):
        shift = start - LEAD
        own = [_moved(w, shift) for w in words if start <= w.notes[0].start < end]
        part = replace(score, words=tuple(own), duration=end - shift + LEAD, seed=score.seed + 7919)
        sung = sing(part, bank, take.detune).wave
        first = round((shift + take.late) * RATE)
        sung = sung[max(0, -first) :]
        first = max(0, first)
        count = min(len(sung), len(wave) - first)
        wave[first : first + count] += sung[:count]
    return wave


def _third(midi: int, score: Score) -> int:
    """Two steps of the key above a pitch of it."""
    tonic = NAMES.index(score.key)
    scale = {(tonic + step) % 12 for step in SCALES[score.mode]}
    above = [pitch for pitch in range(midi + 1, midi + 6) if pitch % 12 in scale]
    return above[1]


def _moved(word: SungWord, shift: float) -> SungWord:
    notes = (Note(n.midi, n.start - shift, n.end - shift) for n in word.notes)
    return SungWord(word.text, tuple(notes))
