"""`heartlib decode`: codes in, a sound file out."""

import argparse
import time
from typing import Any

from heartlib.cli import codec as command


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "decode",
        help="turn codes into a sound file",
        description="Turn what `heartlib encode` wrote into 48 kHz stereo sound.",
        epilog="examples:\n"
        "  heartlib decode song.safetensors -o song.wav\n"
        "  heartlib decode song.safetensors -o song.mp3 --seed 3 --steps 10 --overwrite",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("input", metavar="CODES", help="a file that `heartlib encode` wrote")
    command.add_flags(parser, decodes=True)


def main(args: argparse.Namespace) -> int:
    """Check, decode, save, report."""
    from heartlib import audio
    from heartlib.cli.progress import Progress
    from heartlib.errors import HeartlibError
    from heartlib.heartcodec.codes import read_codes

    command.check_seed(args.seed)
    audio.check_output(args.output, overwrite=args.overwrite)
    codes, started = read_codes(args.input), time.monotonic()
    known = command.weights_hash(args.model)
    if codes.codec not in (None, known):
        raise HeartlibError(
            f"{args.input} was encoded with codec {codes.codec}, {args.model} has {known}: "
            f"say where the other is with --model FOLDER"
        )
    codec = command.load(args, encodes=False)
    with Progress(quiet=args.quiet) as progress:
        seconds = command.decode(codec, codes, args, progress)
    command.report(args, seconds, started)
    return 0
