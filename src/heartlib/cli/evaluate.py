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

from heartlib.errors import HeartlibError, UsageError

if TYPE_CHECKING:
    from heartlib.evaluation.measures import SongMeasures

EXAMPLES = """examples:
  heartlib evaluate --model nano --out evaluation        # 48 songs, kept; continues where it was
  heartlib evaluate --seeds 2 --length 20 --json report.json
  heartlib evaluate --files song.mp3 other.wav
"""
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
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--model", metavar="MODEL", help="nano (default), a folder or a hub id")
    what.add_argument("--files", nargs="+", metavar="FILE", help="measure these instead")
    parser.add_argument(
        "--version", metavar="NAME", help="which HeartMuLa-oss-NAME of the folder: 3B"
    )
    parser.add_argument("--device", metavar="DEVICE", help="cpu, cuda, cuda:1 (default: auto)")
    parser.add_argument("--dtype", metavar="DTYPE", help="float32, bfloat16 (default: auto)")
    parser.add_argument(
        "--seeds", type=int, default=8, metavar="N", help="songs of each kind (default 8)"
    )
    parser.add_argument(
        "--length",
        type=float,
        default=45.0,
        metavar="SECONDS",
        help="longest a song may be (default 45)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep the songs there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")


def main(args: argparse.Namespace) -> int:
    """Measures files, or sings and measures; 0 also where a bar is missed: it is a report."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise HeartlibError(
            f"measuring needs {' and '.join(missing)}: pip install 'heartlib[evaluation]'"
        )
    if args.json and not args.json.parent.is_dir():
        raise UsageError(f"--json: there is no folder {args.json.parent}")
    report = _measure_files(args.files) if args.files else _evaluate(args)
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


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
    if args.seeds < 1:
        raise UsageError(f"--seeds must be 1 or more, not {args.seeds}")
    if not 1 <= args.length <= 240:
        raise UsageError(f"--length must be 1 to 240 seconds, not {args.length:g}")
    if args.out and args.out.exists() and not args.out.is_dir():
        raise UsageError(f"--out: {args.out} is not a folder")
    from tqdm import tqdm

    from heartlib.evaluation import bars, trials
    from heartlib.evaluation.judges import shipped
    from heartlib.pipelines import HeartMuLaGenPipeline

    judges = shipped()
    pipe = HeartMuLaGenPipeline.from_pretrained(
        args.model or "nano", device=args.device, dtype=args.dtype, version=args.version
    )
    with ExitStack() as stack:
        folder = args.out or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bar = stack.enter_context(tqdm(unit="song", file=sys.stderr))

        def progress(name: str, done: int, total: int) -> None:
            bar.total = total
            bar.set_description(name, refresh=False)
            bar.update(done - bar.n)
            bar.refresh()

        results = trials.sing(
            pipe,
            folder,
            seeds=args.seeds,
            length=args.length,
            trials=trials.TRIALS,
            progress=progress,
        )
    rows = bars.judge(results, judges)
    print(f"{pipe.paths.name} {pipe.model_hash}, {args.seeds} seeds a kind\n")
    print(bars.table(rows))
    return {
        "model": {"name": pipe.paths.name, "hash": pipe.model_hash},
        "judges": {"made": judges.made, "calibration": judges.calibration},
        "bars": [row.to_dict() for row in rows],
        "songs": {name: [song.to_dict() for song in row] for name, row in results.items()},
    }
