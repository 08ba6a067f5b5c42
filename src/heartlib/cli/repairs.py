"""`--repair [TRIES]` of `heartlib generate`: what is not understood is sung again, and told."""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heartlib.errors import UsageError

if TYPE_CHECKING:
    from heartlib.pipelines.music_generation import HeartMuLaGenPipeline, Progress
    from heartlib.pipelines.repair import Repaired, Try
    from heartlib.pipelines.settings import GenerationSettings
    from heartlib.pipelines.song import Song


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Registers `--repair` and what belongs to it."""
    repair = parser.add_argument_group("a song that corrects itself")
    repair.add_argument(
        "--repair",
        type=int,
        nargs="?",
        const=8,
        metavar="TRIES",
        help="listen to the song, and from a section that is badly understood sing it again, at "
        "most TRIES times (default: 8); the best is kept",
    )
    repair.add_argument(
        "--repair-above",
        type=float,
        metavar="SHARE",
        help="of a section's phonemes that may be misheard before it is sung again (default: 0.2)",
    )


def check_flags(args: argparse.Namespace) -> None:
    """UsageError for a number of tries or a bar that is not allowed, or beside `--best-of`."""
    if args.repair is None:
        if args.repair_above is not None:
            raise UsageError("--repair-above is for a song that is repaired: give --repair too")
        return
    if args.best_of is not None:
        raise UsageError(
            "--repair and --best-of do not go together: keep the best of several takes first, then "
            "repair it with `heartlib generate --like FILE --repair`"
        )
    from heartlib.pipelines.repair import check_budget

    check_budget(args.repair, _above(args), args.seed)


def _above(args: argparse.Namespace) -> float:
    from heartlib.pipelines.repair import ABOVE

    return ABOVE if args.repair_above is None else args.repair_above


def sing(
    args: argparse.Namespace,
    pipe: HeartMuLaGenPipeline,
    lyrics: str,
    tags: str,
    settings: GenerationSettings,
    progress: Progress,
    cancel: threading.Event,
) -> Repaired:
    """The repaired song."""
    from heartlib.pipelines.repair import Repairs

    return Repairs(pipe)(
        lyrics,
        tags,
        tries=args.repair,
        above=_above(args),
        settings=settings,
        language=args.language,
        progress=progress,
        cancel=cancel,
    )


def splices_of(
    args: argparse.Namespace,
    like: dict[str, Any],
    lyrics: str,
    tags: str,
    settings: GenerationSettings,
) -> dict[str, Any] | None:
    """What a file tells of its repairs, if the same song is asked for again; told where it is another."""
    repaired = like.get("repaired")
    if not repaired or args.best_of is not None or args.repair is not None:
        return None
    from dataclasses import asdict

    told = like["settings"]
    same = all(told.get(name) == value for name, value in asdict(settings).items())
    if same and (lyrics, tags) == (like["lyrics"], like["tags"]):
        return repaired
    print(
        f"heartlib: {args.like} was repaired; this is another song, sung once: "
        f"--repair listens to it too",
        file=sys.stderr,
    )
    return None


def sing_again(
    pipe: HeartMuLaGenPipeline,
    lyrics: str,
    tags: str,
    settings: GenerationSettings,
    repaired: dict[str, Any],
    **told: Any,
) -> Song:
    """A repaired song once more, without listening."""
    from heartlib.pipelines.splices import sing_again

    return sing_again(pipe, lyrics, tags, settings, repaired, **told)


def table(repaired: Repaired) -> str:
    """A row a try, those that took the song's place marked; below them, the whole song before and after."""
    from heartlib.pipelines.repair import clock

    assert repaired.first is not None and repaired.score is not None
    first, last = repaired.first.lyrics, repaired.score.lyrics
    assert first is not None and last is not None
    rows = [f"{'try':>4}  {'from':>6}  {'section':<12}  {'before':>7}  {'after':>7}"]
    rows += [_row(number, each, clock) for number, each in enumerate(repaired.tries, 1)]
    if not repaired.tries:
        rows = ["nothing was sung again: every section is understood well enough"]
    why = "" if first.unit == "phonemes" else " (phonemes need espeak-ng)"
    return "\n".join(
        [
            *rows,
            f"lyrics error: {first.whole.rate:.1%} in the first take, {last.whole.rate:.1%} now; "
            f"{first.unit}{why}, heard in {repaired.score.language}",
        ]
    )


def _row(number: int, each: Try, clock: Any) -> str:
    after = "ended" if each.after is None else f"{each.after:.1%}"
    kept = "  kept" if each.kept else ""
    name = each.name or "-"
    return (
        f"{number:>4}  {clock(each.frames * 0.08):>6}  {name:<12}  {each.before:>7.1%}  "
        f"{after:>7}{kept}"
    )


def stopped(repaired: Repaired, path: Path) -> str:
    """What Ctrl-C left."""
    count = len(repaired.tries)
    tries = f"{count} tr{'y' if count == 1 else 'ies'}"
    return f"heartlib: stopped after {tries}; the best so far is in {path}"
