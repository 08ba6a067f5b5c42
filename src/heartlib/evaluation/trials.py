"""The songs that a model must sing for its bars: same words, tags that differ in one thing."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heartlib import audio
from heartlib.errors import HeartlibError, UsageError
from heartlib.evaluation.measures import SongMeasures, measure
from heartlib.pipelines import HeartMuLaGenPipeline

WORDS = """[Intro]

[Verse]
the morning light is on the sea
you bring a silver song to me
the river runs beneath the stone
and no one has to walk alone

[Chorus]
carry the summer in your hand
over the hills and over the sand

[Outro]"""
NO_WORDS = "[Intro]\n\n[Instrumental]\n\n[Instrumental]\n\n[Outro]"
FIRST_SEED = 1


@dataclass(frozen=True)
class Trial:
    """One kind of song; `name` is also the start of its files' names."""

    name: str
    tags: str
    lyrics: str = WORDS


TRIALS = (
    Trial("female", "pop,female,happy,piano,medium"),
    Trial("male", "pop,male,happy,piano,medium"),
    Trial("guitar", "pop,female,happy,guitar,medium"),
    Trial("fast", "pop,female,happy,piano,fast"),
    Trial("slow", "pop,female,happy,piano,slow"),
    Trial("instrumental", "pop,instrumental,happy,piano,medium", NO_WORDS),
)
"""`female` is also the piano beside `guitar`."""
Progress = Callable[[str, int, int], None]


def sing(
    pipe: HeartMuLaGenPipeline,
    folder: Path,
    *,
    seeds: int,
    length: float,
    trials: Sequence[Trial],
    progress: Progress | None = None,
) -> dict[str, list[SongMeasures]]:
    """Sings each of `trials` with `seeds` seeds into `folder`, and measures each song.

    length: seconds a song may have. Songs that are there already are measured, not sung again;
    UsageError where such a file is another model's or another trial's. progress(name of the song,
    songs done, songs in all). HeartlibError where the model cannot sing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, list[SongMeasures]] = {trial.name: [] for trial in trials}
    total, done = seeds * len(trials), 0
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        for trial in trials:
            path = folder / f"{trial.name}-{seed}.flac"
            if progress:
                progress(path.stem, done, total)
            if path.is_file():
                _check_same(path, pipe, trial, seed, length)
            else:
                _sing_one(pipe, trial, seed, length, path)
            results[trial.name].append(measure(*audio.read(path)))
            done += 1
    if progress:
        progress("measured", done, total)
    return results


def _sing_one(
    pipe: HeartMuLaGenPipeline, trial: Trial, seed: int, length: float, path: Path
) -> None:
    try:
        song = pipe.generate(
            trial.lyrics, trial.tags, max_audio_length_ms=round(length * 1000), seed=seed
        )
    except UsageError:
        raise
    except HeartlibError as error:
        raise HeartlibError(f"{path.stem}: {error}") from error
    song.save(path)


def _check_same(
    path: Path, pipe: HeartMuLaGenPipeline, trial: Trial, seed: int, length: float
) -> None:
    held: dict[str, Any] = audio.read_tags(path)
    wanted = {
        "weights": (held.get("model", {}).get("hash"), pipe.model_hash),
        "tags": (held.get("tags"), trial.tags),
        "lyrics": (held.get("lyrics"), trial.lyrics),
        "seed": (held.get("seed"), seed),
        "length": (
            held.get("settings", {}).get("max_audio_length_ms"),
            round(length * 1000) // 80 * 80,
        ),
    }
    for name, (found, asked) in wanted.items():
        if found != asked:
            raise UsageError(
                f"{os.path.relpath(path)} was made with other {name}; give an empty folder for --out"
            )
