"""`heartlib search`: the songs of an indexed folder that sound like a text or like a song."""

import argparse
import json
from pathlib import Path
from typing import Any

from heartlib.cli.index import add_model, printable
from heartlib.errors import UsageError


def add_parser(subparsers: Any) -> None:
    """Registers `search`."""
    parser = subparsers.add_parser(
        "search",
        help="find songs by words, or by a song, in an indexed folder",
        description="Print the songs that are nearest to a text, to a song, or to both, with their "
        "scores: 1 is the same, 0 nothing in common.",
        epilog="examples:\n"
        "  heartlib search 'slow sad piano' --in ~/Music\n"
        "  heartlib search --like song.mp3 --in ~/Music --count 5\n"
        "  heartlib search 'with a female voice' --like song.mp3 --index music.sqlite --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("text", nargs="?", metavar="TEXT", help="what the music is like")
    parser.add_argument("--like", type=Path, metavar="FILE", help="a song that it is like")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--in", dest="folder", type=Path, metavar="DIR", help="an indexed folder (default: here)"
    )
    where.add_argument(
        "--index", type=Path, metavar="FILE", help="the index, where it is elsewhere"
    )
    parser.add_argument("--count", type=int, default=10, metavar="N", help="songs (default 10)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_model(parser)


def main(args: argparse.Namespace) -> int:
    """Prints the songs found."""
    if args.text is None and args.like is None:
        raise UsageError("nothing to search for: give a text, --like FILE, or both")
    from heartlib.heartclap.index import MusicIndex
    from heartlib.pipelines.placement import parse_device

    folder = args.folder if args.folder or args.index else Path()
    index = MusicIndex(folder, file=args.index, model=args.model, device=parse_device(args.device))
    found = index.search(args.text, args.like, args.count)
    if args.json:
        songs = [{"path": str(song.path), "score": round(song.score, 6)} for song in found]
        print(json.dumps({"text": args.text, "like": args.like and str(args.like), "songs": songs}))
        return 0
    for song in found:
        print(f"{song.score:6.3f}  {printable(str(song.path))}")
    if not found:
        print("no other song in the index" if args.like else "the index holds no song")
    return 0
