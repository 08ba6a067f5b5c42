"""`heartlib evaluate`: what a model's songs, or given files, show when measured."""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heartlib.cli import benchmark_file
from heartlib.errors import HeartlibError, UsageError

if TYPE_CHECKING:
    from heartlib.checkpoints import CheckpointPaths
    from heartlib.evaluation.examiner import Setup
    from heartlib.evaluation.heard import Heard
    from heartlib.evaluation.measures import SongMeasures
    from heartlib.evaluation.pieces import Piece
    from heartlib.evaluation.true_songs import TrueSong

EXAMPLES = """examples:
  heartlib evaluate --model nano --out evaluation        # 208 songs, kept; continues where it was
  heartlib evaluate --out evaluation --true corpus --jobs 8 --json report.json
  heartlib evaluate --sets lyrics es --songs 4           # a quick look
  heartlib evaluate --sets trials --seeds 2 --length 20
  heartlib evaluate --files song.mp3 other.wav
  heartlib evaluate benchmark --model nano --out bench --markdown bench.md   # 80 lyrics, two songs of each
  heartlib evaluate mine.jsonl --songs 2 --seeds 1 --length 30

sets, and how many songs they have:
  lyrics 64     English; words of the training songs, other lines
  unseen 32     English; words that no training song has
  es zh ja ko   16 each; Spanish, Mandarin, Japanese, Korean
  trials 48     six kinds that differ in one tag, --seeds of each

a benchmark file has lines of {"id", "language", "lyrics", "tags"}: each is sung --seeds times
"""
SETS = ("lyrics", "unseen", "es", "zh", "ja", "ko", "trials")
SEEDS, LENGTH = 8, 45.0
INTERRUPTED = 130
NEEDED = ("scipy", "pyloudnorm")
SHOWN = (
    ("duration", "s"),
    ("loudness", "LUFS"),
    ("clipped", "samples"),
    ("silence", "s"),
    ("clicks", ""),
    ("singer", ""),
    ("voice_share", ""),
    ("voice_pitch", "Hz"),
    ("tempo", "bpm"),
    ("main_instrument", ""),
    ("key", ""),
    ("mode", ""),
)


def add_parser(subparsers: Any) -> None:
    """Registers `evaluate`."""
    parser = subparsers.add_parser(
        "evaluate",
        help="measure a model's songs against their bars, or measure files",
        description="Sing test songs with a model and measure them, or measure given files.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "benchmark",
        nargs="?",
        metavar="BENCHMARK",
        help='a benchmark file to sing and measure; the word "benchmark" is the one of the package',
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--model", metavar="MODEL", help="nano (default), a folder or a hub id")
    what.add_argument("--files", nargs="+", metavar="FILE", help="measure these instead")
    parser.add_argument(
        "--version", metavar="NAME", help="which HeartMuLa-oss-NAME of the folder: 3B"
    )
    parser.add_argument("--device", metavar="DEVICE", help="cpu, cuda, cuda:1 (default: auto)")
    parser.add_argument("--dtype", metavar="DTYPE", help="float32, bfloat16 (default: auto)")
    parser.add_argument(
        "--quantize",
        metavar="KIND",
        help="the language model in fewer bits, on a GPU: int8, fp8 or int4",
    )
    parser.add_argument(
        "--sets",
        nargs="+",
        choices=SETS,
        default=SETS,
        metavar="SET",
        help="default: all, see below",
    )
    parser.add_argument(
        "--songs",
        type=int,
        metavar="N",
        help="at most so many songs of each set, or items of each language",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        metavar="N",
        help=f"songs of each kind of trial (default {SEEDS}), or of each item (default {benchmark_file.SEEDS})",
    )
    parser.add_argument(
        "--length",
        type=float,
        metavar="SECONDS",
        help=f"longest a trial (default {LENGTH:g}) or an item's song may be (default: as long as the model's)",
    )
    parser.add_argument(
        "--transcriptor",
        type=Path,
        metavar="FOLDER",
        help="a HeartTranscriptor (default: the one beside the model)",
    )
    parser.add_argument(
        "--true",
        type=Path,
        metavar="CORPUS",
        help="a corpus folder of held-out songs, to measure the measures and the codec",
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="songs at once, a process each (default 1)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep the songs there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write a benchmark's table there"
    )


def main(args: argparse.Namespace) -> int:
    """Measures files, or sings and measures; 0 also where a bar is missed: it is a report."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise HeartlibError(
            f"measuring needs {' and '.join(missing)}: pip install 'heartlib[evaluation]'"
        )
    for flag, path in (("--json", args.json), ("--markdown", args.markdown)):
        if path and not path.parent.is_dir():
            raise UsageError(f"{flag}: there is no folder {path.parent}")
        if path and path.is_dir():
            raise UsageError(f"{flag}: {path} is a folder")
    benchmark_file.check_flags(args, SETS)
    if args.files:
        report = _measure_files(args.files)
    else:
        _check(args)
        report = benchmark_file.evaluate(args) if args.benchmark else _evaluate(args)
    if args.json:
        args.json.write_text(
            json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    return 0 if report.get("complete", True) else INTERRUPTED


def _measure_files(files: Sequence[str]) -> dict[str, Any]:
    from heartlib import audio
    from heartlib.evaluation.measures import measure

    measured = {path: measure(*audio.read(path)) for path in files}
    print(files_table(measured))
    return {"files": {path: measures.to_dict() for path, measures in measured.items()}}


def files_table(measured: "dict[str, SongMeasures]") -> str:
    """Markdown: a row a measure, a column a file."""
    lines = [f"| | {' | '.join(measured)} |", "|---" * (len(measured) + 1) + "|"]
    for name, unit in SHOWN:
        values = (_text(getattr(measures, name)) for measures in measured.values())
        title = f"{name.replace('_', ' ')}{', ' if unit else ''}{unit}"
        lines.append(f"| {title} | {' | '.join(values)} |")
    return "\n".join(lines)


def _text(value: object) -> str:
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _evaluate(args: argparse.Namespace) -> dict[str, Any]:
    from tqdm import tqdm

    from heartlib import checkpoints
    from heartlib.evaluation.bars import table
    from heartlib.evaluation.card import card
    from heartlib.evaluation.jobs import examine
    from heartlib.evaluation.judges import shipped
    from heartlib.heartclap import HeartCLAP

    judges = shipped()
    paths = checkpoints.find(args.model or "nano", args.version)
    songs = _songs(args, paths)
    with ExitStack() as stack:
        folder = args.out or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        setup, left_out = _setup(args, paths, folder)
        found: dict[int, list[Heard]] = {}
        stopped = False
        bar = stack.enter_context(tqdm(total=len(songs), unit="song", file=sys.stderr))
        try:
            for number, heard in examine(songs, setup, args.jobs):
                found[number] = heard
                bar.set_description(songs[number].name, refresh=False)
                bar.update()
        except KeyboardInterrupt:
            stopped = True
    every = [heard for number in sorted(found) for heard in found[number]]
    clap = HeartCLAP.from_pretrained(setup.clap) if setup.clap else None
    rows = card(every, judges.calibration, clap)
    if setup.transcriptor:
        left_out += _not_taught(every)
    weights = checkpoints.weights_hash(paths.mula, paths.codec)
    count = f"{len(found)} of {len(songs)}" if stopped else f"{len(songs)}"
    print(f"{paths.name} {weights}, {count} songs\n")
    print(table(rows))
    for line in left_out:
        print(f"\n{line}")
    if stopped:
        kept = f"the songs are in {args.out}; the same command continues" if args.out else ""
        print(f"\nstopped; {kept or 'without --out nothing is kept'}", file=sys.stderr)
    return {
        "model": {"name": paths.name, "hash": weights},
        "complete": not stopped,
        "left_out": left_out,
        "judges": {"made": judges.made, "calibration": judges.calibration},
        "bars": [row.to_dict() for row in rows],
        "songs": [heard.to_dict() for heard in every],
    }


def _not_taught(heard: "Sequence[Heard]") -> list[str]:
    """A line where songs have words that the recogniser was not asked for."""
    languages = {h.truth.language for h in heard if h.truth and h.measures and h.text is None}
    names = ", ".join(sorted(languages - {""}))
    return (
        [f"This HeartTranscriptor was not taught {names}: no rows about its words."]
        if names
        else []
    )


def _check(args: argparse.Namespace) -> None:
    for name in ("seeds", "jobs", "songs"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name} must be 1 or more, not {value}")
    if args.length is not None and not 1 <= args.length <= 240:
        raise UsageError(f"--length must be 1 to 240 seconds, not {args.length:g}")
    if args.out and args.out.exists() and not args.out.is_dir():
        raise UsageError(f"--out: {args.out} is not a folder")


def _songs(args: argparse.Namespace, paths: "CheckpointPaths") -> "list[Piece | TrueSong]":
    """What is to be sung and, with --true, listened to; each set in turn, in tags that the model knows."""
    from heartlib.evaluation.pieces import pieces
    from heartlib.evaluation.trials import trials
    from heartlib.evaluation.true_songs import true_songs
    from heartlib.pipelines.inputs import known_tags

    known = {tag for tags in known_tags(paths.root).values() for tag in tags}
    true = true_songs(args.true, args.songs) if args.true else []
    found: list[Piece | TrueSong] = []
    for name in dict.fromkeys(args.sets):
        if name == "trials":
            seeds = SEEDS if args.seeds is None else args.seeds
            length = LENGTH if args.length is None else args.length
            found += trials(min(seeds, args.songs or seeds), length)
        else:
            found += pieces(name, args.songs, known)
    return found + true


def _setup(
    args: argparse.Namespace, paths: "CheckpointPaths", folder: Path
) -> "tuple[Setup, list[str]]":
    """What the examiners load, and a line for each part that is missing and what goes with it."""
    from heartlib.evaluation.codec import ENCODER
    from heartlib.evaluation.examiner import Setup

    if args.transcriptor and not (args.transcriptor / "config.json").is_file():
        raise UsageError(f"--transcriptor: {args.transcriptor} is not a HeartTranscriptor folder")
    parts: dict[str, Path | None] = {
        "transcriptor": args.transcriptor or paths.root / "HeartTranscriptor-oss",
        "clap": paths.root / "HeartCLAP-oss",
        "encoder": paths.root / ENCODER if args.true else None,
    }
    rows = {
        "transcriptor": "no rows about words and sections (--transcriptor FOLDER)",
        "clap": "no rows about nearest tags",
        "encoder": "no rows about the codec",
    }
    left_out: list[str] = []
    for name, path in parts.items():
        if path is not None and not path.is_dir():
            left_out.append(f"There is no {path.name} in {path.parent}: {rows[name]}.")
            parts[name] = None
    if not args.true:
        left_out.append("Without --true the measures were not tried on true songs in this run.")
    if parts["transcriptor"]:
        _check_words()
    setup = Setup(
        model=args.model or "nano",
        version=args.version,
        device=args.device,
        dtype=args.dtype,
        songs=folder,
        transcriptor=parts["transcriptor"],
        clap=parts["clap"],
        encoder=parts["encoder"],
        quantization=args.quantize,
    )
    return setup, left_out


def _check_words() -> None:
    """Before hours of singing: is everything there that counts phonemes?"""
    from heartlib.corpus.espeak import engine

    engine()
    missing = [name for name in ("jiwer", "transformers") if find_spec(name) is None]
    if missing:
        raise HeartlibError(
            f"counting words needs {' and '.join(missing)}: "
            "pip install 'heartlib[evaluation,transcribe]'"
        )
