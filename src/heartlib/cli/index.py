"""`heartlib index`: embed a folder of music, so that it can be searched."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SHOWN = 5
NAME_SHOWN = 30
INTERRUPTED = 130


def add_parser(subparsers: Any) -> None:
    """Registers `index`."""
    parser = subparsers.add_parser(
        "index",
        help="index a folder of music, to search in it",
        description="Embed the songs of a folder, and of the folders in it, with HeartCLAP. The same "
        "command again updates the index, or goes on where it was stopped.",
        epilog="examples:\n"
        "  heartlib index ~/Music\n"
        "  heartlib index /media/music --index music.sqlite\n"
        "  heartlib search 'slow sad piano' --in ~/Music",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the folder")
    parser.add_argument(
        "--index", type=Path, metavar="FILE", help="default: .heartlib-index.sqlite in the folder"
    )
    add_model(parser)


def add_model(parser: argparse.ArgumentParser) -> None:
    """The flags of who embeds."""
    parser.add_argument(
        "--model",
        default="nano",
        metavar="MODEL",
        help="nano (default), a folder with a HeartCLAP-oss, or that folder itself",
    )
    parser.add_argument("--device", metavar="DEVICE", help="cpu, cuda, cuda:1 (default: auto)")


def main(args: argparse.Namespace) -> int:
    """Updates the index: 0 when complete, 130 when stopped by Ctrl-C."""
    from tqdm import tqdm

    from heartlib.heartclap.index import MusicIndex
    from heartlib.pipelines.placement import parse_device

    index = MusicIndex(
        args.folder, file=args.index, model=args.model, device=parse_device(args.device)
    )
    with tqdm(unit="song", file=sys.stderr, leave=False, disable=None) as bar:

        def progress(done: int, total: int, name: str) -> None:
            bar.total = total
            bar.update(done - bar.n)
            bar.set_description(printable(name)[-NAME_SHOWN:])

        try:
            report = index.update(progress)
        except KeyboardInterrupt:
            bar.close()
            print("stopped; what was embedded is kept, the same command goes on", file=sys.stderr)
            return INTERRUPTED
    songs = report.kept + report.new + report.changed
    print(
        f"{songs} song{'' if songs == 1 else 's'} in {index.file.path}: {report.new} new, "
        f"{report.changed} changed, {report.gone} gone"
    )
    unread = [f"{printable(name)} {reason}" for name, reason in report.skipped.items()]
    for lines, what in ((unread, "skipped"), (map(printable, report.others), "not audio")):
        for line in first(lines, what):
            print(line, file=sys.stderr)
    return 0


def first(lines: Iterable[str], what: str) -> list[str]:
    """How many there are, and the first few of them."""
    lines = list(lines)
    if not lines:
        return []
    more = [f"  and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return [f"{what}: {len(lines)}", *(f"  {line}" for line in lines[:SHOWN]), *more]


def printable(name: str) -> str:
    """A file's name on one line that any terminal can show."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
