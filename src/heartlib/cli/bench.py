"""`heartlib bench`: how fast a model sings, decodes and streams on this machine, and how exactly."""

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heartlib.errors import HeartlibError, UsageError

if TYPE_CHECKING:
    from heartlib.evaluation.bench_models import Models
    from heartlib.evaluation.speed_report import Amounts, Section
    from heartlib.heartmula.frame_step import Operations
    from heartlib.pipelines.placement import Placement

EXAMPLES = """examples:
  heartlib bench                                         # nano, on a GPU where there is one
  heartlib bench --model nano --device cpu --quick       # half a minute
  heartlib bench --model 3B --random-weights --json bench.json    # no download needed; five minutes on a GPU
  heartlib bench --model ./ckpt --quantize int8 int4 --songs 1 16
  heartlib bench --model 3B --random-weights --only int8 codec

On a GPU it measures: the memory's speed, getting ready, a frame of the language model, the codec, a whole song,
a stream, quantized models, many songs at once, and how near all of them are to float32. Elsewhere the plain frame
loop, the codec, a song and a stream. A part that fails is told, and the others go on.
"""
KINDS = ("int8", "fp8", "int4")
USUAL_KINDS, USUAL_SONGS = ("int8", "int4"), (1, 4, 16, 32)


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "bench",
        help="measure how fast a model is here",
        description="Measure how fast a model sings, decodes and streams on this machine.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model", metavar="MODEL", default="nano", help="nano (default), 3B, a folder or a hub id"
    )
    parser.add_argument(
        "--version", metavar="NAME", help="which HeartMuLa-oss-NAME of the folder: 3B"
    )
    parser.add_argument(
        "--random-weights",
        action="store_true",
        help="weights of the model's shapes, made here: as fast as the true ones, and nothing to hear",
    )
    parser.add_argument(
        "--quantize",
        nargs="*",
        choices=KINDS,
        metavar="KIND",
        help=f"of {', '.join(KINDS)} (default on a GPU: {' '.join(USUAL_KINDS)}; nothing for none)",
    )
    parser.add_argument(
        "--songs",
        nargs="*",
        type=int,
        metavar="N",
        help=f"songs at once on a GPU (default: {' '.join(map(str, USUAL_SONGS))})",
    )
    parser.add_argument(
        "--frames",
        type=int,
        metavar="N",
        help="of 80 ms in a song (default: 3000, 375 on a CPU, or what the model has room for)",
    )
    parser.add_argument("--device", metavar="DEVICE", help="cpu, cuda, cuda:1 (default: auto)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="PART",
        help="parts whose names begin so, as they are printed: codec, 'song, memory low', '16 at once'",
    )
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument(
        "--limit",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="on a GPU: begin no part that is not likely to end by then (default 300)",
    )


def main(args: argparse.Namespace) -> int:
    """Check, measure, print a table and one JSON line; 1 where a part failed."""
    _check(args)

    from heartlib.evaluation.speed_report import Bench, Report
    from heartlib.evaluation.speed_sections import sections
    from heartlib.pipelines.placement import Placement

    placement = Placement.resolve(args.device)
    operations = _operations(placement)
    if operations is None and (args.quantize or args.songs):
        raise UsageError(
            f"--quantize and --songs need a GPU and Triton; on {placement.mula_device} leave them out"
        )
    models = _models(args, placement)
    _check_memory(models)
    bench = Bench(models, _amounts(args, models), operations)
    kinds = _chosen(args.quantize, USUAL_KINDS[:1] if args.quick else USUAL_KINDS)
    songs = _chosen(args.songs, USUAL_SONGS[:2] if args.quick else USUAL_SONGS)
    settings = {
        "model": models.name,
        **placement.to_dict(),
        "frames": bench.amounts.frames,
        "quick": args.quick,
    }
    parts = _parts(sections(kinds, songs, kernels=operations is not None), args.only)
    limit = args.limit if operations is not None else math.inf
    report = Report(settings, limit=limit, file=args.json, say=lambda line: print(line, flush=True))
    report.run(bench, parts)
    print(f"\n{models.name} on {placement.mula_device}\n\n{report.table()}\n")
    print(json.dumps(report.to_dict(), ensure_ascii=False))
    return 1 if report.errors else 0


def _parts(every: "list[Section]", only: list[str] | None) -> "list[Section]":
    """Those whose names begin as told; UsageError where one is none."""
    for start in only or ():
        if not any(part.name.startswith(start) for part in every):
            names = ", ".join(repr(part.name) for part in every)
            raise UsageError(f"--only {start!r} is no part; here there are {names}")
    return [part for part in every if not only or part.name.startswith(tuple(only))]


def _check(args: argparse.Namespace) -> None:
    if args.frames is not None and args.frames < 1:
        raise UsageError(f"--frames must be 1 or more, not {args.frames}")
    for count in args.songs or ():
        if count < 1:
            raise UsageError(f"--songs must be 1 or more, not {count}")
    if not args.limit > 0:
        raise UsageError(f"--limit must be above 0, not {args.limit:g}")
    if args.json and (args.json.is_dir() or not args.json.parent.is_dir()):
        what = "is a folder" if args.json.is_dir() else "is in no folder that exists"
        raise UsageError(f"--json: {args.json} {what}")
    if args.model == "3B" and args.random_weights and args.version:
        raise UsageError("--version chooses from a folder; --model 3B --random-weights has none")


def _operations(placement: "Placement") -> "Operations | None":
    """The kernels, where the model has a frame loop of them."""
    from heartlib.graphs import has_triton

    if placement.mula_device.type != "cuda" or not has_triton():
        return None
    from heartlib.heartmula.frame_step import KERNELS

    return KERNELS


def _models(args: argparse.Namespace, placement: "Placement") -> "Models":
    from heartlib import checkpoints
    from heartlib.evaluation.bench_models import Models, RandomModels

    if args.random_weights and args.model == "3B":
        return RandomModels.published(placement)
    try:
        paths = checkpoints.find(args.model, args.version)
    except HeartlibError as error:
        if args.model != "3B":
            raise
        hint = "; --random-weights measures without a download"
        raise type(error)(f"{error}{hint}") from error
    return (RandomModels.like if args.random_weights else Models)(paths, placement)


def _check_memory(models: "Models") -> None:
    """HeartlibError where a model does not fit."""
    from heartlib.pipelines.placement import check_fits

    pipe, place = models.pipeline(), models.placement
    check_fits(models.name, pipe.mula_bytes, place.mula_device, place.mula_dtype)
    check_fits("HeartCodec", pipe.codec_bytes, place.codec_device, place.codec_dtype)


def _amounts(args: argparse.Namespace, models: "Models") -> "Amounts":
    """How much; UsageError where the model has no room for --frames."""
    from heartlib.evaluation.speed_report import Amounts

    positions = models.config.backbone.max_seq_len
    usual, room = Amounts(), positions - min(Amounts.prompt, positions // 4)
    gpu = models.placement.mula_device.type == "cuda"
    most = min(usual.frames, room, (models.gen_config.longest_song_ms or 240_000) // 80)
    frames = args.frames or min(most, (375 if gpu else 25) if args.quick else 3000 if gpu else 375)
    if frames > room:
        raise UsageError(f"--frames {frames}: {models.name} has room for {room} beside a prompt")
    span = min(400, positions // 8), min(3400, positions - usual.steps - 64)
    if not args.quick:
        return Amounts(frames=frames, span=span)
    return Amounts(
        frames=frames,
        few_frames=16,
        codec_repeats=1,
        stream_seconds=20.0 if gpu else 4.0,
        steps=30,
        span=span,
        forced_frames=32,
        engine_songs=4,
        engine_frames=60,
        draws=20_000,
        warm=gpu,
    )


def _chosen(given: list[Any] | None, usual: tuple[Any, ...]) -> list[Any]:
    return list(dict.fromkeys(usual if given is None else given))
