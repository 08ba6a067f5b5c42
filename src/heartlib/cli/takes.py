"""`--best-of N` of `heartlib generate`: several takes, their table, and the files that are kept."""

from __future__ import annotations

import argparse
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from heartlib.errors import UsageError

if TYPE_CHECKING:
    from heartlib.pipelines.best_of import Best, Take
    from heartlib.pipelines.listening import SongScore
    from heartlib.pipelines.music_generation import HeartMuLaGenPipeline, Progress
    from heartlib.pipelines.settings import GenerationSettings


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Registers `--best-of` and what belongs to it."""
    takes = parser.add_argument_group("several takes")
    takes.add_argument(
        "--best-of",
        type=int,
        metavar="N",
        help="sing N takes (2 to 16) with the seeds S, S+1, ... and keep the one whose words and "
        "tags are heard best",
    )
    takes.add_argument(
        "--keep-takes", action="store_true", help="keep every take beside FILE, as NAME-SEED"
    )
    takes.add_argument(
        "--language",
        metavar="CODE",
        help="of the lyrics, to judge takes and tries by (default: guessed)",
    )


def check_flags(args: argparse.Namespace) -> None:
    """UsageError for a number of takes that is not allowed, or flags that need `--best-of`."""
    if args.best_of is not None:
        from heartlib.pipelines.best_of import take_seeds

        take_seeds(args.seed, args.best_of)
    if args.best_of is None and args.keep_takes:
        raise UsageError("--keep-takes is for several takes: give --best-of N too")
    if args.best_of is None and args.repair is None and args.language:
        raise UsageError(
            "--language is for songs that are listened to: give --best-of N or --repair too"
        )


def sing(
    args: argparse.Namespace,
    pipe: HeartMuLaGenPipeline,
    lyrics: str,
    tags: str,
    settings: GenerationSettings,
    progress: Progress,
    cancel: threading.Event,
) -> Best:
    """The best of the takes, with all of them saved where that is asked for."""
    from dataclasses import replace

    from heartlib import audio
    from heartlib.pipelines.best_of import Takes, take_seeds

    seeds = take_seeds(settings.seed, args.best_of)
    files = {seed: _file_of(args.output, seed) for seed in seeds}
    if args.keep_takes:
        for file in files.values():
            audio.check_output(file, overwrite=args.overwrite)

    def keep(take: Take) -> None:
        if args.keep_takes:
            take.song.save(files[take.song.seed], overwrite=args.overwrite)

    return Takes(pipe)(
        lyrics,
        tags,
        count=args.best_of,
        settings=replace(settings, seed=seeds[0]),
        language=args.language,
        progress=progress,
        cancel=cancel,
        finished=keep,
    )


def _file_of(output: str, seed: int) -> Path:
    path = Path(output)
    return path.with_name(f"{path.stem}-{seed}{path.suffix}")


def table(best: Best) -> str:
    """A row a take, the kept one marked; below it, what the error counts."""
    from heartlib.pipelines.best_of import ranks

    scores = list(best.scores.values())
    lines = [f"{'seed':>12}  {'lyrics error':>12}  {'tag similarity':>14}  {'rank':>4}"]
    for seed, score, rank in zip(best.scores, scores, ranks(scores), strict=True):
        kept = "  kept" if rank == 1 else ""
        lines.append(f"{seed:>12}  {_error(score):>12}  {_similarity(score):>14}  {rank:>4}{kept}")
    return "\n".join([*lines, _explained(scores[0])])


def _error(score: SongScore) -> str:
    return f"{score.lyrics.whole.rate:.1%}" if score.lyrics else "-"


def _similarity(score: SongScore) -> str:
    return "-" if score.tags is None else f"{score.tags:.3f}"


def _explained(score: SongScore) -> str:
    """What was counted."""
    from heartlib.pipelines.listening import TAGS_WEIGHT

    if score.lyrics is None:
        return "ranked by tags alone: the song has no words"
    why = "" if score.lyrics.unit == "phonemes" else " (phonemes need espeak-ng)"
    return (
        f"lyrics error: {score.lyrics.unit}{why}, heard in {score.language}; "
        f"ranked by it less {TAGS_WEIGHT:g} x tag similarity"
    )
