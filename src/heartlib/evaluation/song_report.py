"""What one song file shows: how well it keeps its lyrics and tags, and whether its sound is whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heartlib import audio
from heartlib.errors import HeartlibError, UsageError
from heartlib.evaluation.adherence import CHARACTERS, PHONEMES, WORDS, Adherence, adherence
from heartlib.evaluation.measures import SongMeasures, measure
from heartlib.pipelines.listening import Listeners, SongScore

FRAME_MS = 80


@dataclass(frozen=True)
class Wanted:
    """What a song should be: its lyrics, its tags, and the longest that it was allowed to be, in ms.

    Empty or None where nobody knows.
    """

    lyrics: str
    tags: str
    limit_ms: int | None = None


@dataclass(frozen=True)
class SongReport:
    """units: the errors by unit, phonemes only where they are the score's; none without lyrics.
    ended: whether it came to its end by itself rather than by its limit, None where nobody knows."""

    score: SongScore
    units: dict[str, Adherence]
    measures: SongMeasures
    ended: bool | None

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        told: dict[str, Any] = self.score.to_dict()
        for name, unit in (("per", PHONEMES), ("wer", WORDS), ("cer", CHARACTERS)):
            told[name] = round(self.units[unit].whole.rate, 4) if unit in self.units else None
        if self.score.lyrics:
            told["heard"] = self.score.text
            told["sections"] = [
                {"section": name, "errors": count.errors, "of": count.phonemes}
                for name, count in self.score.lyrics.parts
            ]
        return told | {"ended": self.ended, "measures": self.measures.to_dict()}


def wanted(path: str | Path, lyrics: str | None, tags: str | None) -> Wanted:
    """What is told, else what the file itself says. UsageError for a missing file or where there is neither."""
    held: Mapping[str, Any] = {}
    audio.duration(path)
    try:
        held = audio.read_tags(path)
    except HeartlibError as error:
        if lyrics is None and tags is None:
            raise UsageError(f"{error}; give --lyrics FILE or --tags TEXT") from None
    settings = held.get("settings")
    limit = settings.get("max_audio_length_ms") if isinstance(settings, dict) else None
    found = Wanted(
        lyrics=str(held.get("lyrics", "")) if lyrics is None else lyrics,
        tags=str(held.get("tags", "")) if tags is None else tags,
        limit_ms=limit if isinstance(limit, int) and held.get("complete", True) else None,
    )
    if not found.lyrics.strip() and not found.tags.strip():
        raise UsageError(f"{path} names no lyrics and no tags; give --lyrics FILE or --tags TEXT")
    return found


def report(
    path: str | Path, listeners: Listeners, asked: Wanted, language: str | None = None
) -> SongReport:
    """Listens to a file and measures it. Raises as `Listeners.prepare`, `audio.read` and `measure`."""
    wave, rate = audio.read(path)
    measures = measure(wave, rate)
    score = listeners(wave, rate, asked.lyrics, asked.tags, language)
    units: dict[str, Adherence] = {}
    if score.lyrics:
        heard, told = score.text or "", score.language or "en"
        units = {unit: adherence(asked.lyrics, heard, told, unit) for unit in (WORDS, CHARACTERS)}
        units[score.lyrics.unit] = score.lyrics
    ended = None
    if asked.limit_ms is not None:
        ended = round(measures.duration * 1000 / FRAME_MS) < asked.limit_ms // FRAME_MS
    return SongReport(score, units, measures, ended)
