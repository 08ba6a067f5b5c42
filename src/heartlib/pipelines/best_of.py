"""Sing one song several times and keep the take whose words and style are heard best."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from heartlib import audio
from heartlib.errors import UsageError
from heartlib.pipelines.listening import Listeners, SongScore
from heartlib.pipelines.music_generation import Cancelled, HeartMuLaGenPipeline, Progress
from heartlib.pipelines.settings import FRAME_MS, SEEDS, GenerationSettings
from heartlib.pipelines.song import Song

FEWEST, MOST = 2, 16


@dataclass(frozen=True)
class Take:
    """One of several songs to the same words and tags, and what was heard of it."""

    song: Song
    score: SongScore


@dataclass(frozen=True)
class Best:
    """The song that was kept, and the scores of all finished takes by seed, in the order of singing.

    No scores: the first take was stopped, and `song` is what there was of it.
    """

    song: Song
    scores: dict[int, SongScore]


def take_seeds(first: int | None, count: int) -> list[int]:
    """The seeds of `count` takes: `first` and those after it, None draws it. UsageError out of bounds."""
    if not FEWEST <= count <= MOST:
        raise UsageError(f"best-of takes {FEWEST} to {MOST} takes, not {count}")
    start = secrets.randbelow(2**31) if first is None else first
    if start + count > SEEDS:
        raise UsageError(f"the seeds of {count} takes must be below 2**63; {start} is too high")
    return list(range(start, start + count))


def ranks(scores: Sequence[SongScore]) -> list[int]:
    """The rank of each score, 1 the best; of equal ones the earlier is the better."""
    order = sorted(range(len(scores)), key=lambda index: scores[index].value)
    found = [0] * len(scores)
    for rank, index in enumerate(order, 1):
        found[index] = rank
    return found


def describe(scores: dict[int, SongScore]) -> list[dict[str, Any]]:
    """Every take's seed, rank and figures, for a file's tags."""
    places = ranks(list(scores.values()))
    return [
        {"seed": seed, "rank": rank, **score.to_dict()}
        for (seed, score), rank in zip(scores.items(), places, strict=True)
    ]


class Takes:
    """A pipeline that sings and the listeners that judge it, loaded once for any number of songs."""

    def __init__(self, pipe: HeartMuLaGenPipeline, listeners: Listeners | None = None) -> None:
        self.pipe = pipe
        self.listeners = listeners or Listeners(pipe.paths.root, pipe.placement.codec_device)

    def __call__(
        self,
        lyrics: str,
        tags: str,
        *,
        count: int = 4,
        settings: GenerationSettings | None = None,
        language: str | None = None,
        progress: Progress | None = None,
        cancel: threading.Event | None = None,
        finished: Callable[[Take], None] | None = None,
    ) -> Best:
        """Sing `count` takes (2 to 16) with the seeds `settings.seed`, + 1, ... and keep the best.

        The best has the lowest `SongScore.value`; a song without words is judged by its tags alone.
        language: of the lyrics, None guesses it. progress("take 1 of 4, singing", done, total),
        also decoding and listening. finished(take) after each. A set `cancel` ends it: the best of
        the finished takes is returned, or where there is none, what was sung of the first.
        Raises as `HeartMuLaGenPipeline.generate` and `Listeners.prepare`, before anything is sung.
        """
        settings = settings or GenerationSettings()
        seeds = take_seeds(settings.seed, count)
        lyrics, tags, settings = self.pipe.checked(lyrics, tags, settings)
        self.pipe.prepare(lyrics, tags, settings)
        language = self.listeners.prepare(lyrics, language)
        best: Take | None = None
        scores: dict[int, SongScore] = {}
        for number, seed in enumerate(seeds, 1):
            if best is not None and cancel is not None and cancel.is_set():
                break
            told = _numbered(progress, number, count)
            try:
                song = self.pipe.generate(
                    lyrics,
                    tags,
                    **asdict(replace(settings, seed=seed)),
                    progress=told,
                    cancel=cancel,
                )
            except Cancelled:
                if best is None:
                    raise
                break
            if not song.complete:
                if best is None:
                    return Best(song, {})
                break
            take = Take(song, self._listen(song, language, told))
            scores[seed] = take.score
            if best is None or take.score.value < best.score.value:
                best = take
            song.scores = take.score.to_dict()
            if finished is not None:
                finished(take)
        assert best is not None
        best.song.scores = best.score.to_dict() | {"takes": describe(scores)}
        return Best(best.song, scores)

    def _listen(self, song: Song, language: str | None, progress: Progress | None) -> SongScore:
        frames = round(song.duration * 1000 / FRAME_MS)
        if progress:
            progress("listening", 0, frames)
        wave = audio.limit_peak(song.waveform.numpy())  # as it will be in the file
        score = self.listeners(wave, song.sample_rate, song.lyrics, song.tags, language)
        if progress:
            progress("listening", frames, frames)
        return score


def _numbered(progress: Progress | None, number: int, count: int) -> Progress | None:
    """The same progress with the take's number before the stage."""
    if progress is None:
        return None
    return lambda stage, done, total: progress(f"take {number} of {count}, {stage}", done, total)
