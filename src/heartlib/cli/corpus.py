"""`heartlib corpus make`: compose and render a folder of songs with truth."""

import argparse
from pathlib import Path


def add_parser(subparsers) -> None:
    """Registers `corpus` with its action `make`."""
    parser = subparsers.add_parser("corpus", help="compose and render songs to train on")
    add_make(parser.add_subparsers(required=True, dest="action"))


def add_make(subparsers) -> None:
    """Registers `make`."""
    parser = subparsers.add_parser(
        "make", help="render songs into a folder; continues where it was"
    )
    amount = parser.add_mutually_exclusive_group(required=True)
    amount.add_argument("--songs", type=int, help="how many songs")
    amount.add_argument("--hours", type=float, help="how much music")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder")
    parser.add_argument("--seed", type=int, default=1, help="the first song's seed (default 1)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--cast", default="main", help="who sings: main, judge (default main)")
    parser.add_argument("--language", metavar="NAME", help="en, es, zh, ja or ko (default: all)")
    parser.add_argument("--font", type=Path, help="General MIDI sound font (.sf2)")
    parser.add_argument("--midi", action="store_true", help="keep each score as a MIDI file")
    parser.add_argument(
        "--stems",
        nargs="*",
        metavar="PART",
        help="keep the parts of each mix (large), or those named: voice, second, main, backing, "
        "bass, drums",
    )
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Runs `corpus make`: 0 when complete, 130 when stopped by Ctrl-C."""
    from heartlib.corpus.make import STEMS, make

    made = make(
        args.out,
        songs=args.songs,
        hours=args.hours,
        seed=args.seed,
        jobs=args.jobs,
        cast=args.cast,
        font=args.font,
        midi=args.midi,
        stems=() if args.stems is None else args.stems or STEMS,
        language=args.language,
    )
    print(f"{made['songs']} songs, {made['hours']:.2f} hours in {args.out}; see {args.out}/card.md")
    return 0 if made["complete"] else 130
