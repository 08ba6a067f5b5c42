"""`heartlib reconstruct`: a sound file through the codec and back."""

import argparse
import time
from typing import Any

from heartlib.cli import codec as command


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "reconstruct",
        help="a sound file through the codec and back",
        description="Encode a sound file and decode its codes: what the codec keeps of it, 48 kHz stereo.",
        epilog="examples:\n"
        "  heartlib reconstruct song.mp3 -o copy.wav\n"
        "  heartlib reconstruct song.mp3 -o copy.flac --model ./ckpt --device cuda",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("input", metavar="SOUND", help="wav, flac, mp3 or ogg, mono or stereo")
    command.add_flags(parser, decodes=True)


def main(args: argparse.Namespace) -> int:
    """Check, encode, decode, save, report."""
    from heartlib import audio
    from heartlib.cli.progress import Progress

    command.check_seed(args.seed)
    audio.check_output(args.output, overwrite=args.overwrite)
    sound, started = audio.read(args.input), time.monotonic()
    codec = command.load(args, encodes=True)
    with Progress(quiet=args.quiet) as progress:
        codes = command.encode(codec, sound, args, progress)
        seconds = command.decode(codec, codes, args, progress)
    command.report(args, seconds, started)
    return 0
