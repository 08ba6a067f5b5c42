"""`heartlib align`: a song and its words in, the words with times out."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from heartlib.cli.transcribe import add_flags, format_of, need_transformers, separator
from heartlib.errors import UsageError

EXAMPLES = """examples:
  heartlib align song.mp3 --lyrics song.txt -o song.lrc     # the time of every word, for players
  heartlib align song.mp3 --lyrics song.txt -o song.srt --language en
  heartlib align song.mp3 --lyrics song.txt --format json
"""


def add_parser(subparsers: Any) -> None:
    """Registers `align`."""
    parser = subparsers.add_parser(
        "align",
        help="put times to the lyrics of a song",
        description="Put times to the lyrics of a song: every word of a text, when it is sung.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("song", metavar="SONG", help="a sound file: mp3, wav, flac, ogg")
    parser.add_argument(
        "--lyrics",
        required=True,
        metavar="FILE",
        help="a UTF-8 text file of what is sung, line by line; markers like [Verse] are not sung",
    )
    add_flags(parser, "a file (default: shown, not written)")


def main(args: argparse.Namespace) -> int:
    """Check everything that can be checked, align, write or show."""
    need_transformers()

    from heartlib import audio
    from heartlib.hearttranscriptor.given_words import sung_lines
    from heartlib.outputs import check_target, write_text
    from heartlib.pipelines.inputs import read_text

    output = None if args.output is None else Path(args.output).expanduser()
    format = args.format or "txt"
    if output is not None:
        check_target(output, overwrite=args.overwrite)
        format = format_of(output, args.format)
    lyrics = read_text(Path(args.lyrics), "--lyrics")
    try:
        sung_lines(lyrics)
    except UsageError as error:
        raise UsageError(f"--lyrics: {args.lyrics}: {error}") from None
    audio.duration(args.song)  # a missing file is found before any work

    from heartlib.cli.progress import Progress
    from heartlib.pipelines.lyrics_transcription import HeartTranscriptorPipeline

    separate = separator(args)
    pipe = HeartTranscriptorPipeline.from_pretrained(args.model, args.device, args.dtype)
    with Progress(quiet=args.quiet, seconds=1.0) as progress:
        name = Path(args.song).name
        song = (
            args.song
            if separate is None
            else separate(args.song, partial(progress, f"{name}, voice"))
        )
        found = pipe.align(song, lyrics, language=args.language, progress=partial(progress, name))
    if output is None:
        print(found.write(format), end="")
        return 0
    write_text(output, found.write(format), overwrite=args.overwrite)
    if not args.quiet:
        print(f"{output}: {len(found.words)} words in {found.language}, {found.duration:.1f} s")
    return 0
