"""`heartlib evaluate FILE`: the songs of a benchmark file sung, heard and put into a table."""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import heartlib
from heartlib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heartlib.checkpoints import CheckpointPaths
    from heartlib.evaluation.benchmark_song import Kept, SongResult
    from heartlib.evaluation.examiner import Setup
    from heartlib.evaluation.pieces import Piece
    from heartlib.pipelines import HeartMuLaGenPipeline

SEEDS = 2
CLAP = "HeartCLAP-oss"


@dataclass
class Run:
    """What has been found so far, by the place of the song among the pieces."""

    pieces: list[Piece]
    found: dict[int, SongResult]
    stopped: bool = False

    @property
    def songs(self) -> list[SongResult]:
        return [self.found[number] for number in sorted(self.found)]


def check_flags(args: argparse.Namespace, sets: Sequence[str]) -> None:
    """UsageError for flags that a benchmark file has no use for, or that only one has; `sets`: the default."""
    if args.benchmark is None:
        if args.markdown:
            raise UsageError("--markdown is for a benchmark file: heartlib evaluate benchmark")
        return
    unused = {"--files": args.files, "--true": args.true, "--sets": args.sets is not sets}
    for flag, given in unused.items():
        if given:
            raise UsageError(f"{flag} is not for a benchmark file, which has its own songs")


def evaluate(args: argparse.Namespace) -> dict[str, Any]:
    """Sings what is not there yet, hears what was not heard yet, prints the table; the report for --json."""
    from heartlib import checkpoints
    from heartlib.evaluation.benchmark_file import find, first, pieces_of, read_items
    from heartlib.evaluation.benchmark_song import Kept
    from heartlib.evaluation.benchmark_table import lines, table
    from heartlib.evaluation.examiner import Setup
    from heartlib.outputs import write_text
    from heartlib.pipelines.listening import check_extras, transcriptor_of

    file = find(args.benchmark)
    paths = checkpoints.find(args.model or "nano", args.version)
    if args.transcriptor and not (args.transcriptor / "config.json").is_file():
        raise UsageError(f"--transcriptor: {args.transcriptor} is not a HeartTranscriptor folder")
    transcriptor = args.transcriptor or transcriptor_of(paths.root)
    items = first(read_items(file, _languages(transcriptor)), args.songs)
    check_extras()
    with ExitStack() as stack:
        folder = args.out or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        setup = Setup(
            model=args.model or "nano",
            version=args.version,
            device=args.device,
            dtype=args.dtype,
            songs=folder,
            transcriptor=transcriptor,
            quantization=args.quantize,
        )
        pipe = setup.pipeline(lazy_load=True)
        seeds = SEEDS if args.seeds is None else args.seeds
        pieces = pieces_of(items, seeds, _length(args.length, pipe), paths.root)
        _check(pieces, pipe, folder)
        folder.mkdir(parents=True, exist_ok=True)
        done = Run(pieces, {})
        _hear(done, setup, paths, Kept(folder, _listeners(transcriptor, paths)), args.jobs)
    rows = lines(done.songs)
    notes = _notes(done.songs) + _borrowed(transcriptor, paths)
    count = f"{len(done.found)} of {len(pieces)}" if done.stopped else f"{len(pieces)}"
    name = f"{file.name}, {len(items)} items, {seeds} seed{'s' if seeds > 1 else ''} each"
    text = f"{paths.name} {pipe.model_hash}, {name}: {count} songs\n\n{table(rows)}\n"
    text += "".join(f"\n{note}\n" for note in notes)
    print(text, end="")
    if args.markdown:
        write_text(args.markdown, text, overwrite=True)
    if done.stopped:
        kept = f"the songs are in {args.out}; the same command continues" if args.out else ""
        print(f"\nstopped; {kept or 'without --out nothing is kept'}", file=sys.stderr)
    return {
        "model": {"name": paths.name, "hash": pipe.model_hash},
        "complete": not done.stopped,
        "benchmark": file.name,
        "seeds": seeds,
        "listeners": _listeners(transcriptor, paths),
        "notes": notes,
        "rows": [row.to_dict() for row in rows],
        "songs": [song.to_dict() for song in done.songs],
    }


def _languages(transcriptor: Path) -> list[str]:
    """The languages that a HeartTranscriptor can be told; those of the corpus where it does not say."""
    import json

    from heartlib.corpus.lexicon import LANGUAGES

    try:
        text = (transcriptor / "generation_config.json").read_text(encoding="utf-8")
        marks = json.loads(text)["lang_to_id"]
        return sorted(mark.strip("<|>") for mark in marks) or list(LANGUAGES)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return list(LANGUAGES)


def _length(asked: float | None, pipe: HeartMuLaGenPipeline) -> float:
    """Seconds: as asked, else the longest song that the model learned from, else the longest of all."""
    from heartlib.pipelines.settings import LONGEST_MS

    longest = min(pipe.gen_config.longest_song_ms or LONGEST_MS, LONGEST_MS)
    return asked if asked is not None else longest / 1000


def _check(pieces: Sequence[Piece], pipe: HeartMuLaGenPipeline, folder: Path) -> None:
    """Before hours of singing: does every song fit the model, and is every file there one of these?"""
    from heartlib.evaluation.benchmark_file import item_of
    from heartlib.evaluation.singing import check_same, song_file
    from heartlib.pipelines.settings import GenerationSettings

    for piece in pieces:
        settings = GenerationSettings(max_audio_length_ms=round(piece.length * 1000))
        try:
            pipe.prepare(piece.lyrics, piece.tags, settings)
        except UsageError as error:
            raise UsageError(f"item {item_of(piece)!r}: {error}") from error
        path = song_file(folder, piece.name)
        if path.is_file():
            check_same(path, pipe, piece)


def _listeners(transcriptor: Path, paths: CheckpointPaths) -> dict[str, Any]:
    """Who listens, so far as another would write other results."""
    from heartlib import checkpoints
    from heartlib.evaluation.adherence import PHONEMES, finest_unit

    clap = paths.root if (paths.root / CLAP).is_dir() else checkpoints.NANO
    return {
        "heartlib": heartlib.__version__,
        "transcriptor": checkpoints.weights_hash(transcriptor),
        "clap": checkpoints.weights_hash(clap / CLAP),
        "phonemes": finest_unit("en") == PHONEMES,
    }


def _hear(run: Run, setup: Setup, paths: CheckpointPaths, kept: Kept, jobs: int) -> None:
    """Fills `run`: with results that were kept, and then with those of the songs that are left."""
    from tqdm import tqdm

    from heartlib import audio
    from heartlib.evaluation import aesthetics
    from heartlib.evaluation.benchmark_song import Judge, with_aesthetics
    from heartlib.evaluation.jobs import each
    from heartlib.evaluation.singing import song_file

    predictor: list[aesthetics.Aesthetics] = []

    def finish(number: int, found: SongResult, is_new: bool) -> None:
        if is_new:
            kept.write(found)
        if found.aesthetics is None and aesthetics.installed():
            predictor[:] = predictor or [aesthetics.Aesthetics()]
            wave = audio.read(song_file(setup.songs, found.name))
            found = with_aesthetics(found, predictor[0](*wave))
            kept.write(found)
        run.found[number] = found
        bar.set_description(found.name, refresh=False)
        bar.update()

    with tqdm(total=len(run.pieces), unit="song", file=sys.stderr) as bar:
        try:
            left: list[int] = []
            for number, piece in enumerate(run.pieces):
                found = kept.read(piece)
                if found is None:
                    left.append(number)
                else:
                    finish(number, found, False)
            if left:
                asked = [run.pieces[number] for number in left]
                for place, found in each(asked, partial(Judge, setup, paths.root), jobs):
                    finish(left[place], found, True)
        except KeyboardInterrupt:
            run.stopped = True


def _borrowed(transcriptor: Path, paths: CheckpointPaths) -> list[str]:
    """A line for each listener of nano's that hears another family's songs."""
    from heartlib.checkpoints import NANO, TRANSCRIPTOR

    if paths.root == NANO:
        return []
    nanos = {TRANSCRIPTOR: transcriptor.parent == NANO, CLAP: not (paths.root / CLAP).is_dir()}
    return [
        f"There is no {name} in {paths.root}: nano's listened."
        for name, borrowed in nanos.items()
        if borrowed
    ]


def _notes(songs: Sequence[SongResult]) -> list[str]:
    """What the columns mean, and a line for each that is missing."""
    from heartlib.corpus.lexicon import LANGUAGES
    from heartlib.evaluation import aesthetics
    from heartlib.evaluation.adherence import PHONEMES
    from heartlib.evaluation.benchmark_table import BY_CHARACTERS

    notes = [
        "In brackets: 95 % intervals over items (bootstrap; an item is the mean of its songs)."
    ]
    worded = [song for song in songs if song.units]
    if any(song.language in LANGUAGES and PHONEMES not in song.units for song in worded):
        notes.append("espeak-ng is not installed: no PER, and sections are counted in characters.")
    others = {song.language for song in worded} - set(LANGUAGES)
    if others:
        unit = f"in characters for {', '.join(BY_CHARACTERS)}, else in words"
        notes.append(f"No phonemes are known for {', '.join(sorted(others))}: errors {unit}.")
    if not aesthetics.installed():
        notes.append(f"{aesthetics.PACKAGE} is not installed: no {', '.join(aesthetics.AXES)}.")
    return notes
