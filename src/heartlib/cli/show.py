"""`heartlib show`: a song in, a picture of it out."""

import argparse
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heartlib.errors import HeartlibError, UsageError

if TYPE_CHECKING:
    from heartlib.hearttranscriptor.word_times import Word

NARROWEST, WIDEST = 600, 16_000  # pixels
EXAMPLES = """examples:
  heartlib show song.mp3                             # song.png; its words are heard
  heartlib show song.mp3 --words song.lrc -o picture.png
  heartlib show song.mp3 --words song.json --lyrics song.txt --dark
  heartlib show album.flac --no-words --width 4000   # waveform and spectrogram alone
"""


def add_parser(subparsers: Any) -> None:
    """Registers `show`."""
    parser = subparsers.add_parser(
        "show",
        help="draw a song: waveform, spectrogram, sections and words",
        description="Draw a song as a PNG picture: waveform, spectrogram, sections, and the words under their times.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("song", metavar="SONG", help="a sound file: mp3, wav, flac, ogg")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="the picture (default: SONG's name with .png, here)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    words = parser.add_mutually_exclusive_group()
    words.add_argument(
        "--words",
        metavar="FILE",
        help="the .json or .lrc of `heartlib transcribe` (default: the song is heard)",
    )
    words.add_argument("--no-words", action="store_true", help="no words and no sections")
    parser.add_argument(
        "--lyrics",
        metavar="FILE",
        help="lyrics with section markers (default: those that a song of heartlib carries)",
    )
    parser.add_argument("--dark", action="store_true", help="light on dark")
    parser.add_argument(
        "--width", type=int, default=1600, metavar="N", help="pixels (default: 1600)"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no notes")


def main(args: argparse.Namespace) -> int:
    """Check everything that can be checked, reduce the sound, find its words, draw, write."""
    if find_spec("matplotlib") is None:
        raise HeartlibError("pictures need matplotlib: pip install 'heartlib[show]'")

    from heartlib import audio
    from heartlib.outputs import check_target, write_bytes
    from heartlib.pipelines.inputs import read_text

    target = Path(args.output or f"{Path(args.song).stem}.png").expanduser()
    if target.suffix.lower() != ".png":
        raise UsageError(f"-o {target}: name it .png")
    check_target(target, overwrite=args.overwrite)
    if not NARROWEST <= args.width <= WIDEST:
        raise UsageError(f"--width is {NARROWEST} to {WIDEST} pixels, not {args.width}")
    duration = audio.duration(args.song)
    lyrics = None if args.lyrics is None else read_text(Path(args.lyrics), "--lyrics")

    from heartlib.picture.drawing import Sheet, clock, columns, draw
    from heartlib.picture.outline import outline
    from heartlib.picture.sections import bands
    from heartlib.picture.timed_words import read_words

    written = None if args.words is None else read_words(args.words, duration)
    found, known = outline(args.song, columns(args.width)), _known(args.song)
    words = _heard(args) if written is None else written
    lyrics = _text(known, "lyrics") if lyrics is None else lyrics
    sections = [] if args.no_words else bands(lyrics, words, found.duration)
    if lyrics.strip() and not sections and not args.no_words:
        _note(args, "no sections: none of the lyrics' words is found among those of the song")
    sheet = Sheet(
        Path(args.song).name, _facts(known, clock(round(found.duration))), found, sections, words
    )
    picture = draw(sheet, width=args.width, dark=args.dark)
    write_bytes(target, picture.png, overwrite=args.overwrite)
    if picture.unwritten:
        signs = _some(picture.unwritten)
        _note(args, f"no font here has {signs}: kana and hangul are spelled, others are dots")
    if picture.left_out:
        _note(args, f"{picture.left_out} words have no room; a larger --width shows more")
    if not args.quiet:
        parts = f"{len(sections)} sections, {len(words)} words"
        print(f"{target}: {picture.width} x {picture.height}, {found.duration:.1f} s, {parts}")
    return 0


def _heard(args: argparse.Namespace) -> "list[Word]":
    """The song's words with their times as nano hears them; none where it cannot or shall not."""
    if args.no_words:
        return []
    if find_spec("transformers") is None:
        _note(args, "no words: give --words FILE, or pip install 'heartlib[transcribe]'")
        return []
    from heartlib.cli.progress import Progress
    from heartlib.pipelines.lyrics_transcription import HeartTranscriptorPipeline

    pipe = HeartTranscriptorPipeline.from_pretrained("nano")
    with Progress(quiet=args.quiet, seconds=1.0) as progress:
        heard = pipe(args.song, progress=partial(progress, "listening"))
    if not heard.words:
        _note(args, f"no words are heard in {args.song}")
    return list(heard.words)


def _known(song: str) -> dict[str, Any]:
    """What a song says about how it was made; nothing where heartlib did not make it."""
    from heartlib import audio

    try:
        return audio.read_tags(song)
    except HeartlibError:
        return {}


def _text(known: dict[str, Any], name: str) -> str:
    value = known.get(name)
    return value if isinstance(value, str) else ""


def _facts(known: dict[str, Any], length: str) -> str:
    """Tags, seed, length and model, those that are known."""
    seed, model = known.get("seed"), known.get("model")
    model = model if isinstance(model, dict) else {}
    named = [str(model[key]) for key in ("name", "hash") if key in model]
    tags = ", ".join(tag.strip() for tag in _text(known, "tags").split(",") if tag.strip())
    parts = [tags, f"seed {seed}" if isinstance(seed, int) else "", length, " ".join(named)]
    return "  ·  ".join(part for part in parts if part)


def _some(signs: str) -> str:
    return signs if len(signs) <= 12 else f"{signs[:12]}… ({len(signs)} signs)"


def _note(args: argparse.Namespace, text: str) -> None:
    if not args.quiet:
        print(f"heartlib: {text}", file=sys.stderr)
