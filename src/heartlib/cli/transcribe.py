"""`heartlib transcribe`: songs in, their words with times out."""

import argparse
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heartlib.errors import HeartlibError, UsageError

if TYPE_CHECKING:
    from heartlib.pipelines.voice_separation import VoiceSeparator

FORMATS = ("txt", "json", "srt", "lrc")
EXAMPLES = """examples:
  heartlib transcribe song.mp3                             # the words, line by line
  heartlib transcribe song.mp3 -o song.lrc                 # with the time of every word, for players
  heartlib transcribe song.mp3 --language en --format srt -o subtitles.srt
  heartlib transcribe one.mp3 two.flac --format json -o words    # words/one.json, words/two.json
  heartlib transcribe song.mp3 --model ./ckpt/HeartTranscriptor-oss
  heartlib transcribe live.mp3 --separate                  # the voice alone, by Demucs
"""


def add_parser(subparsers: Any) -> None:
    """Registers `transcribe`."""
    parser = subparsers.add_parser(
        "transcribe",
        help="write down what is sung, with the time of every word",
        description="Write down what is sung in songs, with the time of every word.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("songs", nargs="+", metavar="SONG", help="sound files: mp3, wav, flac, ogg")
    add_flags(parser, "a file, or a folder for a file a song (default: shown, not written)")


def add_flags(parser: argparse.ArgumentParser, output: str) -> None:
    """What `transcribe` and `align` share; `output` is what -o takes."""
    parser.add_argument(
        "--format", choices=FORMATS, help="of what is written (default: FILE's suffix, or txt)"
    )
    parser.add_argument(
        "--language", metavar="CODE", help="of the singing: en, es, zh (default: it is heard)"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help=output)
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.add_argument(
        "--model",
        default="nano",
        metavar="FOLDER",
        help="nano (default, comes with heartlib) or a folder with a HeartTranscriptor",
    )
    parser.add_argument(
        "--separate",
        action="store_true",
        help="listen to the voice alone, which Demucs takes out of the song first (heartlib[separate])",
    )
    parser.add_argument("--device", metavar="DEVICE", help="cpu, cuda, cuda:1 (default: auto)")
    parser.add_argument("--dtype", metavar="DTYPE", help="float32 (default), bfloat16 or float16")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no notes")


def main(args: argparse.Namespace) -> int:
    """Check everything that can be checked, listen, write or show."""
    need_transformers()

    from heartlib import audio

    format, targets = _targets(args)
    for song in args.songs:
        audio.duration(song)  # a missing file is found before any work

    from heartlib.cli.progress import Progress
    from heartlib.outputs import write_text
    from heartlib.pipelines.lyrics_transcription import HeartTranscriptorPipeline

    separate = separator(args)
    pipe = HeartTranscriptorPipeline.from_pretrained(args.model, args.device, args.dtype)
    for song, target in zip(args.songs, targets, strict=True):
        with Progress(quiet=args.quiet, seconds=1.0) as progress:
            name = Path(song).name
            sound = (
                song if separate is None else separate(song, partial(progress, f"{name}, voice"))
            )
            heard = pipe(sound, language=args.language, progress=partial(progress, name))
        if not heard.words and not args.quiet:
            print(f"heartlib: no words are heard in {song}", file=sys.stderr)
        if target is None:
            print(heard.write(format), end="")
            continue
        write_text(target, heard.write(format), overwrite=args.overwrite)
        if not args.quiet:
            tongue = f" in {heard.language}" if heard.language else ""
            print(f"{target}: {len(heard.words)} words{tongue}, {heard.duration:.1f} s")
    return 0


def separator(args: argparse.Namespace) -> "VoiceSeparator | None":
    """What takes the voice out of a song, where it is asked for."""
    if not args.separate:
        return None
    from heartlib.pipelines.voice_separation import VoiceSeparator

    return VoiceSeparator.from_pretrained(args.device)


def need_transformers() -> None:
    """HeartlibError where it is not installed."""
    if find_spec("transformers") is None:
        raise HeartlibError("transcription needs transformers: pip install 'heartlib[transcribe]'")


def format_of(output: Path, told: str | None) -> str:
    """The format of a file: as told, or by its suffix; UsageError where that is none."""
    format = told or output.suffix.lower().lstrip(".")
    if format not in FORMATS:
        raise UsageError(f"-o {output}: name it .{', .'.join(FORMATS)}, or give --format")
    return format


def _targets(args: argparse.Namespace) -> tuple[str, list[Path | None]]:
    """The format, and where each song's words go, None to show them; UsageError for what cannot be."""
    from heartlib.outputs import check_target

    if args.output is None:
        if len(args.songs) > 1:
            raise UsageError("several songs need a folder: -o FOLDER")
        return args.format or "txt", [None]
    output = Path(args.output).expanduser()
    if len(args.songs) > 1 or output.is_dir():
        if not output.is_dir():
            raise UsageError(f"-o {output}: several songs need a folder that exists; make it first")
        format = args.format or "txt"
        targets = [output / f"{Path(song).stem}.{format}" for song in args.songs]
        twice = next((path for path in targets if targets.count(path) > 1), None)
        if twice:
            raise UsageError(f"two of the songs would write {twice}; transcribe them one by one")
    else:
        format, targets = format_of(output, args.format), [output]
    for target in targets:
        check_target(target, overwrite=args.overwrite)
    return format, list(targets)
