"""A score becomes sound and truth."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heartlib.corpus.compose import compose
from heartlib.corpus.doubling import doubled_spans, second_words, sing_second, take_of
from heartlib.corpus.instruments import band, find_font
from heartlib.corpus.midi import programs_of
from heartlib.corpus.mix import Mix, desk, mix
from heartlib.corpus.score import PARTS, Score, Style
from heartlib.corpus.singing import Vocal, sing
from heartlib.corpus.voice_bank import VoiceBank
from heartlib.corpus.voices import VOICES

_BANKS: dict[tuple[str, str, Path], VoiceBank] = {}


def voice_folder() -> Path:
    """Where analysed words are kept: $XDG_CACHE_HOME/heartlib/voices."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "heartlib" / "voices"


def song_id(seed: int, cast: str = "main") -> str:
    """The name of a seed's song."""
    return f"{cast}-{seed:07d}"


@dataclass(frozen=True)
class Performance:
    """A song as it was played: its score, mix and truth."""

    score: Score
    mix: Mix
    truth: dict


def render(
    seed: int,
    cast: str = "main",
    font: str | Path | None = None,
    voices: Path | None = None,
    language: str | None = None,
) -> tuple[np.ndarray, dict]:
    """The song of a seed: float32 [2, n] at 48 kHz, and its truth (times in seconds).

    The same seed gives the same samples on one machine. HeartlibError when espeak-ng, pyworld,
    FluidSynth or the sound font is missing.
    """
    performance = perform(seed, cast, font, voices, language)
    return performance.mix.song, performance.truth


def perform(
    seed: int,
    cast: str = "main",
    font: str | Path | None = None,
    voices: Path | None = None,
    language: str | None = None,
) -> Performance:
    """As `render`, with the score and the parts of the mix."""
    score = compose(seed, cast, language)
    voice, stems = render_stems(score, font, voices)
    second = sing_second(score, _bank(score.style, voices)) if voice else None
    mixed = mix(voice.wave if voice else None, second, stems, desk(score))
    return Performance(score, mixed, truth_of(score, song_id(seed, cast), voice))


def render_stems(
    score: Score, font: str | Path | None = None, voices: Path | None = None
) -> tuple[Vocal | None, dict[str, np.ndarray]]:
    """The dry voice (None without a singer) and the instruments' stems [2, n] by part."""
    players = band(find_font(font))
    programs = programs_of(score)
    stems: dict[str, np.ndarray] = {}
    for part in PARTS:
        hits = [hit for hit in score.hits if hit.part == part]
        if hits:
            stems[part] = players.play(hits, programs[part], score.duration, part == "drums")
    return (sing(score, _bank(score.style, voices)) if score.words else None), stems


def _bank(style: Style, folder: Path | None) -> VoiceBank:
    key = (style.voice, style.language, folder or voice_folder())
    if key not in _BANKS:
        _BANKS[key] = VoiceBank(VOICES[style.voice], key[2], style.language)
    return _BANKS[key]


def truth_of(score: Score, name: str, voice: Vocal | None) -> dict:
    """Everything that is known about a song, ready for JSON."""
    style = score.style

    def second(value: float) -> float:
        return round(value, 4)

    playing = {hit.part for hit in score.hits}
    names = {"main": style.instrument, "backing": style.backing, "bass": "bass", "drums": "drums"}
    notes = [note for word in score.words for note in word.notes]
    return {
        "id": name,
        "seed": score.seed,
        "tags": score.tags,
        "lyrics": score.lyrics,
        "language": style.language,
        "tempo": round(score.tempo, 3),
        "tempo_class": style.tempo_class,
        "meter": score.meter,
        "swing": score.swing,
        "key": score.key,
        "mode": score.mode,
        "genre": style.genre,
        "mood": style.mood,
        "singer": style.singer,
        "timbre": style.timbre,
        "voice": style.voice,
        "doubled": _doubled(score),
        "instruments": [names[part] for part in PARTS if part in playing],
        "main_instrument": style.instrument,
        "programs": {part: p for part, p in programs_of(score).items() if part in playing},
        "duration": second(score.duration),
        "sections": [
            {"name": part.name, "start": second(part.start), "end": second(part.end)}
            for part in score.sections
        ],
        "words": [
            {"word": word, "start": second(start), "end": second(end)}
            for word, start, end in (voice.words if voice else ())
        ],
        "phonemes": [
            [sound.symbol, second(sound.start), second(sound.end)]
            for sound in (voice.sounds if voice else ())
        ],
        "notes": [[note.midi, second(note.start), second(note.end)] for note in notes],
        "chords": [[chord, second(start), second(end)] for chord, start, end in score.chords],
        "beats": [second(beat) for beat in score.beats],
    }


def _doubled(score: Score) -> dict | None:
    """What the second take of the choruses sings, how it differs, where, and its notes."""
    spans = doubled_spans(score)
    if not spans:
        return None
    take = take_of(score)
    notes = [note for word in second_words(score) for note in word.notes]
    return {
        "kind": score.style.doubling,
        "cents": round(100 * take.detune, 1),
        "late": round(take.late, 4),
        "spans": [[round(start, 4), round(end, 4)] for start, end in spans],
        "notes": [[note.midi, round(note.start, 4), round(note.end, 4)] for note in notes],
    }
