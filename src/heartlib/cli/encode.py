"""`heartlib encode`: a sound file in, its codes out."""

import argparse
import time
from typing import Any

from heartlib.cli import codec as command


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "encode",
        help="turn a sound file into codes",
        description="Turn a sound file into the codes that the language model speaks: 12.5 frames a second.",
        epilog="examples:\n"
        "  heartlib encode song.mp3 -o song.safetensors\n"
        "  heartlib encode song.mp3 -o song.safetensors --model ./ckpt --device cuda",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("input", metavar="SOUND", help="wav, flac, mp3 or ogg, mono or stereo")
    command.add_flags(parser, decodes=False)


def main(args: argparse.Namespace) -> int:
    """Check, encode, save, report."""
    from heartlib import audio
    from heartlib.cli.progress import Progress
    from heartlib.errors import UsageError
    from heartlib.heartcodec.codes import save_codes
    from heartlib.outputs import check_target

    if not args.output.endswith(".safetensors"):
        raise UsageError(f"{args.output}: codes are kept in a file whose name ends in .safetensors")
    check_target(args.output, overwrite=args.overwrite)
    sound, started = audio.read(args.input), time.monotonic()
    codec = command.load(args, encodes=True)
    with Progress(quiet=args.quiet) as progress:
        codes = command.encode(codec, sound, args, progress)
    save_codes(args.output, codes, overwrite=args.overwrite)
    books, frames = codes.values.shape
    command.report(args, codes.seconds or 0.0, started, f", {frames} frames of {books} codes")
    return 0
