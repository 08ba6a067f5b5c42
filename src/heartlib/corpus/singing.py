"""Sings a score: words are stretched onto notes, pitch follows the melody, a vocoder makes the sound.

A vowel starts with its note; consonants keep their length and take it from the note before.
T frames of 5 ms.
"""

from dataclasses import dataclass

import numpy as np
import soxr

from heartlib.corpus.espeak import is_vowel
from heartlib.corpus.score import Note, Score
from heartlib.corpus.vocoder import synthesize
from heartlib.corpus.voice_bank import FFT, HOP, LEVEL, RATE, Spoken, VoiceBank, world
from heartlib.corpus.voices import TIMBRES, Timbre
from heartlib.errors import HeartlibError

LONGEST_CONSONANT = 0.15
CONSONANT_SHARE = 0.45
SILENCE = 1e-16
MARGIN = 8  # frames of silence kept around a stretch of singing


@dataclass(frozen=True)
class Sound:
    """A phoneme of the song: which source frames it has, and where it is sung (seconds)."""

    symbol: str
    word: int
    source: tuple[int, int]
    start: float
    end: float


@dataclass(frozen=True)
class Vocal:
    """The dry voice, float64 [n] at 48 kHz, its phonemes and the times of its words."""

    wave: np.ndarray
    sounds: tuple[Sound, ...]
    words: tuple[tuple[str, float, float], ...]


def sing(score: Score, bank: VoiceBank, detune: float = 0.0) -> Vocal:
    """The vocal stem of a score with words, `detune` semitones sharp."""
    spoken = [bank.word(word.text) for word in score.words]
    sounds = place(score, spoken)
    frames = round(score.duration / HOP)
    notes = [note for word in score.words for note in word.notes]
    rng = np.random.default_rng(score.seed & 0xFFFFFFFF)
    envelope, aperiodicity, voiced = _frames(sounds, spoken, frames)
    f0 = np.where(voiced, pitch_curve(notes, frames, rng) * 2 ** (detune / 12), 0.0)
    sung = envelope[:, 0] > SILENCE
    envelope *= (_evenness(sounds, envelope, f0) * _edges(sung))[:, None]
    wave = np.zeros(round(score.duration * RATE))
    for first, last in _stretches(sung):
        part = _colour(
            envelope[first:last],
            aperiodicity[first:last],
            bank.voice.shift,
            TIMBRES[score.style.timbre],
        )
        made = synthesize(f0[first:last], *part)
        here = wave[round(first * HOP * RATE) :][: len(made)]
        here += made[: len(here)]
    wave = soxr.resample(wave, RATE, 48000)
    length = round(score.duration * 48000)
    wave = np.pad(wave, (0, max(0, length - len(wave))))[:length]
    times = []
    for index, word in enumerate(score.words):
        own = [sound for sound in sounds if sound.word == index]
        times.append((word.text, own[0].start, own[-1].end))
    return Vocal(wave, tuple(sounds), tuple(times))


def place(score: Score, spoken: list[Spoken]) -> list[Sound]:
    """Where every phoneme of the song is sung, in order and without overlap."""
    units: list[tuple[str, int, tuple[int, int], Note | None]] = []
    for index, (word, source) in enumerate(zip(score.words, spoken, strict=True)):
        nuclei = sum(is_vowel(name) for name, _, _ in source.phonemes)
        if nuclei != len(word.notes):
            raise HeartlibError(
                f"{word.text!r} has {nuclei} syllables in espeak-ng, {len(word.notes)} in the "
                "lexicon; another espeak-ng version? This one was made with 1.51"
            )
        left = iter(word.notes)
        for name, start, end in source.phonemes:
            units.append((name, index, (start, end), next(left) if is_vowel(name) else None))

    at = [i for i, unit in enumerate(units) if unit[3] is not None]
    sounds: list[Sound] = []
    free = 0.0
    lead = units[: at[0]]
    for number, here in enumerate(at):
        note = units[here][3]
        assert note is not None
        sounds += _squeeze_before(lead, free, note.start)
        after = at[number + 1] if number + 1 < len(at) else len(units)
        between = units[here + 1 : after]
        following = units[after][3] if after < len(units) else None
        if following is not None and following.start - note.end < 0.02:
            tail, lead, end = between, [], following.start
        else:
            tail = [unit for unit in between if unit[1] == units[here][1]]
            lead, end = [unit for unit in between if unit[1] != units[here][1]], note.end
        sounds += _fill([units[here], *tail], note.start, end)
        free = end
    return sounds


def pitch_curve(notes: list[Note], frames: int, rng: np.random.Generator) -> np.ndarray:
    """Hz of each frame [T]: steps smoothed to glides, vibrato on long notes, a little jitter."""
    pitch = np.full(frames, float(notes[0].midi))
    vibrato = np.zeros(frames)
    clock = np.arange(frames) * HOP
    previous_end = -1.0
    for note in notes:
        first, last = round(note.start / HOP), min(round(note.end / HOP), frames)
        if note.start - previous_end > 0.1:
            pitch[max(0, round(previous_end / HOP)) :] = note.midi
            scoop = np.arange(max(0, first - 8), min(first + 16, frames))
            pitch[scoop] -= 0.6 * np.linspace(1, 0, len(scoop))
        else:
            pitch[max(0, first - 4) :] = note.midi
        if note.end - note.start > 0.45:
            depth = np.clip((clock[first:last] - note.start - 0.22) / 0.25, 0, 1) * 0.3
            rate = 5.2 + 0.5 * rng.random()
            phase = 2 * np.pi * rate * (clock[first:last] - note.start)
            vibrato[first:last] = depth * np.sin(phase)
        previous_end = note.end
    glide = np.hanning(17)
    padded = np.pad(pitch, 8, mode="edge")
    pitch = np.convolve(padded, glide / glide.sum(), mode="valid")
    drift = np.convolve(rng.standard_normal(frames + 40), np.hanning(41) / 4.0, mode="valid")
    return 440.0 * 2 ** ((pitch + vibrato + 0.05 * drift - 69) / 12)


def _squeeze_before(units: list, free: float, end: float) -> list[Sound]:
    """Consonants that end at `end` and start no earlier than `free`."""
    lengths = [min((b - a) * HOP, LONGEST_CONSONANT) for _, _, (a, b), _ in units]
    scale = min(1.0, max(end - free, 0.0) / sum(lengths)) if lengths else 1.0
    start = end - scale * sum(lengths)
    sounds = []
    for (name, word, source, _), length in zip(units, lengths, strict=True):
        sounds.append(Sound(name, word, source, start, start + scale * length))
        start += scale * length
    return sounds


def _fill(units: list, start: float, end: float) -> list[Sound]:
    """A vowel from `start`, stretched so that the consonants after it end at `end`."""
    lengths = [min((b - a) * HOP, LONGEST_CONSONANT) for _, _, (a, b), _ in units[1:]]
    room = CONSONANT_SHARE * (end - start)
    scale = min(1.0, room / sum(lengths)) if lengths else 1.0
    vowel = end - scale * sum(lengths)
    name, word, source, _ = units[0]
    return [Sound(name, word, source, start, vowel), *_squeeze_before(units[1:], vowel, end)]


def _frames(
    sounds: list[Sound], spoken: list[Spoken], frames: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decoded envelope [T, FFT/2+1], aperiodicity likewise and voiced [T] of the whole song."""
    offsets = np.cumsum([0] + [len(word.voiced) for word in spoken])
    envelope = np.concatenate([word.envelope for word in spoken])
    aperiodicity = np.concatenate([word.aperiodicity for word in spoken])
    voiced = np.concatenate([word.voiced for word in spoken])
    position = np.full(frames, -1.0)
    for sound in sounds:
        first, last = round(sound.start / HOP), min(round(sound.end / HOP), frames)
        where = _warp(np.arange(last - first) + 0.5, last - first, sound)
        position[first:last] = offsets[sound.word] + where
    sung = np.flatnonzero(position >= 0)
    low = np.minimum(position[sung].astype(int), len(voiced) - 1)
    high = np.minimum(low + 1, len(voiced) - 1)
    part = (position[sung] - low)[:, None]
    pw = world()
    features = np.ascontiguousarray(envelope[low] * (1 - part) + envelope[high] * part)
    noise = np.ascontiguousarray(aperiodicity[low] * (1 - part) + aperiodicity[high] * part)
    whole = np.full((frames, FFT // 2 + 1), SILENCE)
    whole[sung] = pw.decode_spectral_envelope(features, RATE, FFT)
    rough = np.full((frames, FFT // 2 + 1), 1.0 - 1e-12)
    rough[sung] = pw.decode_aperiodicity(noise, RATE, FFT)
    flags = np.zeros(frames, bool)
    flags[sung] = voiced[low]
    return whole, rough, flags


def _evenness(sounds: list[Sound], envelope: np.ndarray, f0: np.ndarray) -> np.ndarray:
    """Power factor of each frame [T] that brings quiet vowels nearer to the loud ones.

    What the envelope holds below the sung pitch is never heard, and does not count.
    """
    gain = np.zeros(len(envelope))
    lowest = int(0.8 * np.median(f0[f0 > 0]) / RATE * FFT)
    power = envelope[:, lowest:].sum(axis=1)
    begin, level = 0, 0.0
    for sound in sounds:
        first, last = round(sound.start / HOP), round(sound.end / HOP)
        if not is_vowel(sound.symbol) or last <= first:
            continue
        gain[begin:first] = level
        level = LEVEL - 10 * np.log10(power[first:last].mean() + SILENCE)
        level = float(np.clip(0.75 * level, -5.0, 12.0))
        gain[first:last] = level
        begin = last
    smooth = np.hanning(15)
    return 10 ** (np.convolve(np.pad(gain, 7), smooth / smooth.sum(), mode="valid") / 10)


def _edges(sung: np.ndarray) -> np.ndarray:
    """Power factor [T] that opens and closes every stretch of singing softly: 10 and 60 ms."""
    steps = np.diff(np.concatenate([[0], sung.astype(int), [0]]))
    curve = np.ones(len(sung))
    for start, end in zip(np.flatnonzero(steps == 1), np.flatnonzero(steps == -1), strict=True):
        close = min(12, end - start)
        curve[end - close : end] *= np.cos(np.linspace(0, np.pi / 2, close)) ** 2 + 1e-4
        curve[start : start + 2] *= 0.3
    return curve


def _stretches(sung: np.ndarray) -> list[tuple[int, int]]:
    """First and end frame of every stretch with singing [T], a little silence around it."""
    near = np.convolve(sung, np.ones(2 * MARGIN + 1), mode="same") > 0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], near.astype(int), [0]])))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]


def _warp(clock: np.ndarray, length: int, sound: Sound) -> np.ndarray:
    """Source frame of each sung frame: a long vowel is held at a third of its spoken self."""
    first, last = sound.source
    natural = last - first
    if not is_vowel(sound.symbol) or length <= natural:
        return first + clock * (natural - 1) / max(length, 1)
    knots = (0.0, 0.3 * natural, length - 0.5 * natural, float(length))
    values = (0.0, 0.3 * natural, 0.5 * natural, natural - 1.0)
    return first + np.interp(clock, knots, values)


def _colour(
    envelope: np.ndarray, aperiodicity: np.ndarray, shift: float, timbre: Timbre
) -> tuple[np.ndarray, np.ndarray]:
    """Moves the formants by `shift`, tilts the spectrum, adds breath."""
    bins = np.arange(FFT // 2 + 1)
    source = np.minimum(bins / shift, FFT // 2 - 1e-6)
    low = source.astype(int)
    part = source - low
    moved = envelope[:, low] * (1 - part) + envelope[:, low + 1] * part
    octaves = np.log2(np.maximum(bins * RATE / FFT, 1000.0) / 1000.0)
    tilted = moved * 10 ** (timbre.tilt * octaves / 10)
    breathy = aperiodicity + (1 - aperiodicity) * timbre.breath * np.clip(octaves / 3, 0, 1)
    return np.ascontiguousarray(tilted), np.ascontiguousarray(np.clip(breathy, 0, 1 - 1e-12))
