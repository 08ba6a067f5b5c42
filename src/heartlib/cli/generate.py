"""`heartlib generate`: lyrics and tags in, a song file out."""

import argparse
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heartlib.cli import repairs, takes
from heartlib.errors import HeartlibError, UsageError

if TYPE_CHECKING:
    from heartlib.pipelines.song import Song

EXAMPLES = """examples:
  heartlib generate --lyrics-file song.txt --tags pop,female,piano -o song.mp3
  heartlib generate --lyrics "[Verse]
  The morning light is on the sea" --tags folk,male,guitar --seed 7 --length 30 -o song.wav
  heartlib generate --like song.mp3 -o again.flac            # the same song, sample by sample
  heartlib generate --like song.mp3 --seed 8 -o other.mp3    # the same words, another song
  heartlib generate --lyrics-file song.txt --reference other.mp3    # in the style of a recording
  heartlib generate --lyrics-file song.txt --tags-file tags.txt --best-of 4    # keep the best of 4
  heartlib generate --lyrics-file song.txt --tags-file tags.txt --repair     # sing again what is not understood
  heartlib generate --model ./ckpt --version 3B --device cuda --lyrics-file song.txt --tags-file tags.txt
  heartlib generate --model ./ckpt --quantize int8 --memory low --lyrics-file song.txt --tags-file tags.txt
"""


def add_parser(subparsers: Any) -> None:
    """Register the command. Every default is None, so that --like can tell what was given."""
    parser = subparsers.add_parser(
        "generate",
        help="sing lyrics in a style, into a file",
        description="Sing lyrics in the style of the tags and write the song to a file.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    song = parser.add_argument_group("the song")
    lyrics = song.add_mutually_exclusive_group()
    lyrics.add_argument(
        "--lyrics", metavar="TEXT", help="the words, with section markers like [Verse]"
    )
    lyrics.add_argument("--lyrics-file", metavar="FILE", help="a UTF-8 text file of them")
    tags = song.add_mutually_exclusive_group()
    tags.add_argument("--tags", metavar="TEXT", help="the style: pop,female,happy,piano,fast")
    tags.add_argument("--tags-file", metavar="FILE", help="a UTF-8 text file of them")
    song.add_argument(
        "--like",
        metavar="SONG",
        help="lyrics, tags, seed, settings and model of a song made before",
    )
    add_reference(song)
    song.add_argument(
        "--seed", type=int, metavar="N", help="another seed, another song (default: random)"
    )
    song.add_argument(
        "--length",
        metavar="SECONDS",
        help="longest the song may be (default: auto: 60 with nano, 240 with the others); "
        "it ends earlier where the model ends it",
    )
    file = parser.add_argument_group("the file")
    file.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        default="song.mp3",
        help=".mp3, .wav, .flac or .ogg (default: song.mp3)",
    )
    file.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    add_model(parser)
    add_sampling(parser)
    takes.add_flags(parser)
    repairs.add_flags(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no report")


def add_reference(song: Any) -> None:
    """A recording to take after."""
    song.add_argument(
        "--reference",
        metavar="FILE",
        help="a recording whose style to take after, beside the tags or in their place",
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """Which models, and where they run."""
    model = parser.add_argument_group("the model")
    model.add_argument(
        "--model", metavar="MODEL", help="nano (default, comes with heartlib), a folder or a hub id"
    )
    model.add_argument(
        "--version", metavar="NAME", help="which HeartMuLa-oss-NAME of the folder: 3B"
    )
    for part, what in (
        ("", "both models"),
        ("mula-", "the language model"),
        ("codec-", "the codec"),
    ):
        model.add_argument(
            f"--{part}device",
            metavar="DEVICE",
            help=f"{what}: cpu, cuda, cuda:1, mps (default: auto)",
        )
        model.add_argument(
            f"--{part}dtype", metavar="DTYPE", help=f"{what}: float32, bfloat16, float16"
        )
    model.add_argument(
        "--quantize",
        metavar="KIND",
        help="the language model in fewer bits, on a GPU: int8, fp8 or int4",
    )
    model.add_argument(
        "--memory",
        choices=("auto", "low"),
        default="auto",
        help="low: never hold both models in memory at once (default: auto, where there is room)",
    )
    model.add_argument("--lazy-load", action="store_true", help="as --memory low")


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """How codes are drawn and decoded."""
    sampling = parser.add_argument_group("sampling")
    sampling.add_argument("--temperature", type=float, metavar="X", help="above 0 (default: 1)")
    sampling.add_argument("--topk", type=int, metavar="N", help="codes to draw from (default: 50)")
    sampling.add_argument(
        "--cfg-scale",
        type=float,
        metavar="X",
        help="how closely to follow the text, 1 or more (default: 1.5)",
    )
    sampling.add_argument(
        "--steps", type=int, metavar="N", help="codec's flow steps (default: its own)"
    )
    sampling.add_argument(
        "--guidance",
        type=float,
        metavar="X",
        help="codec's guidance, 1 or more (default: its own)",
    )


def main(args: argparse.Namespace) -> int:
    """Check everything that can be checked, sing, save, report."""
    takes.check_flags(args)
    repairs.check_flags(args)
    like = _read_like(args.like) if args.like else {}
    lyrics = _text(args.lyrics, args.lyrics_file, "lyrics", like)
    settings = settings_of(args, like.get("settings", {}))
    if settings.get("reference") and not like and args.tags is None and args.tags_file is None:
        tags = ""
    else:
        tags = _text(args.tags, args.tags_file, "tags", like)

    from heartlib import audio
    from heartlib.pipelines.settings import GenerationSettings

    audio.check_output(args.output, overwrite=args.overwrite)
    settings = GenerationSettings(**settings)

    from heartlib import checkpoints
    from heartlib.cli.progress import Interrupt, Progress
    from heartlib.pipelines.music_generation import HeartMuLaGenPipeline
    from heartlib.pipelines.placement import Placement

    placement = Placement.resolve(**placement_of(args, like.get("settings", {})))
    paths = checkpoints.find(*_model(args, like))
    pipe = HeartMuLaGenPipeline(paths, placement, lazy_load=args.lazy_load, memory=args.memory)
    lyrics, tags, settings = pipe.checked(lyrics, tags, settings)
    if like:
        _check_same_model(args.like, like["model"], paths.name, pipe.model_hash)
        _use_threads(like["settings"].get("threads"))
    with Progress(quiet=args.quiet) as progress, Interrupt() as interrupt:
        told = {"progress": progress, "cancel": interrupt.cancel}
        best = takes.sing(args, pipe, lyrics, tags, settings, **told) if args.best_of else None
        mended = repairs.sing(args, pipe, lyrics, tags, settings, **told) if args.repair else None
        if listened := best or mended:
            song = listened.song
        elif splices := repairs.splices_of(args, like, lyrics, tags, settings):
            song = repairs.sing_again(pipe, lyrics, tags, settings, splices, **told)
        else:
            song = pipe.generate(lyrics, tags, **asdict(settings), **told)
        path = song.save(args.output, overwrite=args.overwrite)
    path = Path(os.path.relpath(path)) if path.is_relative_to(Path.cwd()) else path
    if not args.quiet:
        if best and best.scores:
            print(takes.table(best))
        if mended and mended.score:
            print(repairs.table(mended))
        report(song, path)
    if best and 0 < len(best.scores) < args.best_of:
        done = f"{len(best.scores)} of {args.best_of} takes"
        print(f"heartlib: stopped; the best of {done} is in {path}", file=sys.stderr)
        return 130
    if mended and mended.stopped and mended.score:
        print(repairs.stopped(mended, path), file=sys.stderr)
        return 130
    if not song.complete:
        print(f"heartlib: stopped; what was sung so far is in {path}", file=sys.stderr)
        return 130
    return 0


def _text(text: str | None, file: str | None, what: str, like: dict[str, Any]) -> str:
    from heartlib.pipelines.inputs import looks_like_path, read_text

    if file is not None:
        return read_text(Path(file), f"--{what}-file")
    if text is not None and looks_like_path(text):
        raise UsageError(f"--{what} takes the text itself; for the file {text} use --{what}-file")
    if text is not None:
        return text
    if what not in like:
        raise UsageError(f"give --{what} TEXT or --{what}-file FILE (or --like SONG)")
    return str(like[what])


def _read_like(path: str) -> dict[str, Any]:
    from heartlib import audio

    like = audio.read_tags(path)
    if "extended" in like:
        raise UsageError(
            f"{path} goes on from another song, so that its words do not make it again; "
            f"`heartlib extend {path}` goes on from it"
        )
    missing = [key for key in ("lyrics", "tags", "settings", "model") if key not in like]
    if missing or not isinstance(like["settings"], dict) or not isinstance(like["model"], dict):
        raise HeartlibError(
            f"{path} does not say how it was made: {', '.join(missing) or 'damaged'}"
        )
    if not like.get("complete", True):
        print(f"heartlib: {path} was stopped early; this sings it to its end", file=sys.stderr)
    return like


def settings_of(args: argparse.Namespace, like: dict[str, Any]) -> dict[str, Any]:
    """Flags over --like over the defaults."""
    given = {
        "temperature": args.temperature,
        "topk": args.topk,
        "cfg_scale": args.cfg_scale,
        "num_steps": args.steps,
        "guidance_scale": args.guidance,
        "seed": args.seed,
        "reference": args.reference,
    }
    names = (*given, "max_audio_length_ms")
    chosen = {name: like[name] for name in names if like.get(name) is not None}
    chosen |= {name: value for name, value in given.items() if value is not None}
    if args.length == "auto":
        chosen.pop("max_audio_length_ms", None)
    elif args.length is not None:
        chosen["max_audio_length_ms"] = _milliseconds(args.length)
    return chosen


def _milliseconds(length: str) -> int | float:
    try:
        milliseconds = float(length) * 1000
        return round(milliseconds)
    except ValueError:
        raise UsageError(f"--length must be seconds or auto, not {length!r}") from None
    except OverflowError:
        raise UsageError(f"--length must be finite, not {length}") from None


def placement_of(args: argparse.Namespace, like: dict[str, Any]) -> dict[str, Any]:
    chosen: dict[str, Any] = {"quantization": args.quantize or like.get("quantization")}
    for what in ("device", "dtype"):
        held = like.get(what) or {}
        both = getattr(args, what)
        chosen[what] = {
            part: getattr(args, f"{part}_{what}") or both or held.get(part)
            for part in ("mula", "codec")
        }
    return chosen


def _model(args: argparse.Namespace, like: dict[str, Any]) -> tuple[str, str | None]:
    if args.model is not None or not like:
        return args.model or "nano", args.version
    name = str(like["model"].get("name"))
    if name != "HeartMuLa-nano":
        raise UsageError(f"{args.like} was sung by {name}: say where that is with --model FOLDER")
    return "nano", args.version


def _check_same_model(path: str, made_by: dict[str, Any], name: str, model_hash: str) -> None:
    if made_by.get("hash") != model_hash:
        raise HeartlibError(
            f"{path} was sung by {made_by.get('name')} {made_by.get('hash')}, this is {name} "
            f"{model_hash}: other weights cannot sing the same song; give its --lyrics and --tags"
        )


def _use_threads(threads: object) -> None:
    """As many threads as then: sums split among another number of threads round differently."""
    import torch

    if isinstance(threads, int) and 0 < threads <= (os.cpu_count() or 1):
        torch.set_num_threads(threads)


def report(song: "Song", path: Path) -> None:
    from heartlib.cli.progress import peak_memory

    limit = (
        "" if song.ended or not song.complete else " (the limit; the song did not end by itself)"
    )
    took = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in song.timings.items())
    print(f"file    {path}")
    print(f"length  {song.duration:.1f} s{limit}")
    print(f"seed    {song.seed}")
    if reference := song.settings.get("reference"):
        print(f"like    {reference['file']}; tags {song.tags or 'none'}")
    print(f"speed   {song.speed:.1f} x real time ({took})")
    print(f"memory  {peak_memory()} at most")
