"""`heartlib score`: songs in, how well their lyrics and tags are heard and whether their sound is whole."""

from __future__ import annotations

import argparse
import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heartlib.errors import HeartlibError

if TYPE_CHECKING:
    from heartlib.evaluation.song_report import SongReport

EXAMPLES = """examples:
  heartlib score song.mp3                                   # against the lyrics and tags in the file
  heartlib score one.flac two.flac --json scores.json
  heartlib score band.mp3 --lyrics words.txt --tags rock,male,guitar --language en
"""
NEEDED = {"scipy": "evaluation", "pyloudnorm": "evaluation"}
NAMES = {"phonemes": "PER", "words": "WER", "characters": "CER"}


def add_parser(subparsers: Any) -> None:
    """Registers `score`."""
    parser = subparsers.add_parser(
        "score",
        help="how well songs keep their lyrics and tags",
        description="Listen to songs: errors of the lyrics that are heard, by phoneme, word, "
        "character and section, similarity to the tags, and whether the sound is whole.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("songs", nargs="+", metavar="SONG", help="sound files: mp3, wav, flac, ogg")
    parser.add_argument(
        "--lyrics", metavar="FILE", help="a UTF-8 text file (default: the lyrics kept in SONG)"
    )
    parser.add_argument(
        "--tags", metavar="TEXT", help="pop,female,piano (default: the tags kept in SONG)"
    )
    parser.add_argument("--language", metavar="CODE", help="of the lyrics (default: guessed)")
    parser.add_argument(
        "--model",
        default="nano",
        metavar="FOLDER",
        help="a family whose HeartTranscriptor and HeartCLAP listen (default: nano)",
    )
    parser.add_argument("--device", metavar="DEVICE", help="cpu, cuda, cuda:1 (default: auto)")
    parser.add_argument("--json", metavar="FILE", help="write every figure there")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")


def main(args: argparse.Namespace) -> int:
    """Check everything that can be checked, listen, print, write."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise HeartlibError(
            f"measuring needs {' and '.join(missing)}: pip install 'heartlib[evaluation]'"
        )
    from heartlib.evaluation.song_report import report, wanted
    from heartlib.outputs import check_target, write_text
    from heartlib.pipelines.inputs import read_text
    from heartlib.pipelines.listening import Listeners
    from heartlib.pipelines.placement import parse_device

    lyrics = read_text(Path(args.lyrics), "--lyrics") if args.lyrics else None
    asked = [wanted(song, lyrics, args.tags) for song in args.songs]
    if args.json:
        check_target(args.json, overwrite=args.overwrite)
    listeners = Listeners(args.model, parse_device(args.device))
    found: dict[str, SongReport] = {}
    for song, want in zip(args.songs, asked, strict=True):
        found[song] = report(song, listeners, want, args.language)
        print(f"{song}\n{block(found[song])}", flush=True)
    if len(found) > 1:
        print(f"all {len(found)} songs\n{together(list(found.values()))}")
    if args.json:
        told = {"songs": [{"file": song} | each.to_dict() for song, each in found.items()]}
        text = json.dumps(told, indent=1, ensure_ascii=False) + "\n"
        write_text(args.json, text, overwrite=args.overwrite)
    return 0


def block(report: SongReport) -> str:
    """One song's figures, a line each."""
    from heartlib.evaluation.structure import FOUND

    score, measures = report.score, report.measures
    rows: list[tuple[str, str]] = []
    if score.lyrics:
        for unit, name in NAMES.items():
            if unit in report.units:
                count = report.units[unit].whole
                rows.append((name, f"{count.rate:.1%} ({count.errors} of {count.phonemes} {unit})"))
            else:
                rows.append((name, f"not counted for {score.language} without espeak-ng"))
        for name, count in score.lyrics.parts:
            lost = "" if count.rate <= FOUND else "  hardly there"
            rows.append((f"  {name or 'before'}", f"{count.rate:.1%} of {score.lyrics.unit}{lost}"))
        rows.append(("heard", score.text or "nothing"))
    else:
        rows.append(("lyrics", "no words to sing"))
    if score.tags is not None:
        rows.append(("tags", f"{score.tags:.3f} similarity"))
    ending = {None: "unknown", True: "by itself", False: "at the limit: cut off"}[report.ended]
    rows += [
        ("length", f"{measures.duration:.1f} s"),
        ("silence", f"{measures.silence:.1f} s at most inside"),
        ("clipping", f"{measures.clipped} samples" if measures.clipped else "none"),
        ("ending", ending),
    ]
    return "\n".join(f"  {name:<12} {value}" for name, value in rows)


def together(reports: list[SongReport]) -> str:
    """All songs' errors over all their symbols, and the mean similarity."""
    rows: list[str] = []
    for unit, name in NAMES.items():
        counts = [each.units[unit].whole for each in reports if unit in each.units]
        size = sum(count.phonemes for count in counts)
        if size:
            rows.append(f"  {name:<12} {sum(count.errors for count in counts) / size:.1%}")
    tags = [each.score.tags for each in reports if each.score.tags is not None]
    if tags:
        rows.append(f"  {'tags':<12} {sum(tags) / len(tags):.3f} similarity")
    return "\n".join(rows)
