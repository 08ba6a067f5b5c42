"""`heartlib extend`: a song file in, the same song and what comes after it out."""

import argparse
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heartlib.cli import codec
from heartlib.cli.generate import (
    add_model,
    add_reference,
    add_sampling,
    placement_of,
    report,
    settings_of,
)
from heartlib.errors import HeartlibError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from heartlib.pipelines.extension import Cut

EXAMPLES = """examples:
  heartlib extend song.mp3 --lyrics longer.txt -o longer.wav      # on from its end
  heartlib extend song.mp3 --from 20 --seed 8 -o other.flac       # another song after 20 s
  heartlib extend demo.wav --from 12.5 --lyrics words.txt --tags pop,female,piano --length 50 -o out.mp3
"""


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "extend",
        help="sing a song on, from its end or another moment",
        description="Keep a song up to a moment, sample by sample, and sing on from there.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("input", metavar="SONG", help="wav, flac, mp3 or ogg, mono or stereo")
    song = parser.add_argument_group("the song")
    song.add_argument(
        "--lyrics",
        "--lyrics-file",
        metavar="TEXT",
        help="the words of the whole song, those of the kept part too, or a UTF-8 file of them "
        "(default: what the song file tells)",
    )
    song.add_argument(
        "--tags",
        "--tags-file",
        metavar="TEXT",
        help="the style, or a file of it (default: what the song file tells)",
    )
    add_reference(song)
    song.add_argument(
        "--from",
        dest="start",
        type=float,
        metavar="SECONDS",
        help="keep what is before, sing anew what is after (default: keep all of it)",
    )
    song.add_argument(
        "--length",
        metavar="SECONDS",
        help="longest the whole song may be (default: auto, as for `heartlib generate`)",
    )
    song.add_argument(
        "--seed", type=int, metavar="N", help="another seed, another song (default: random)"
    )
    song.add_argument(
        "--crossfade",
        type=float,
        metavar="SECONDS",
        default=0.08,
        help="how long the seam is, before the moment (default: 0.08)",
    )
    song.add_argument(
        "--codes",
        metavar="FILE",
        help="the song's codes, of `heartlib encode` (default: encode it now)",
    )
    file = parser.add_argument_group("the file")
    file.add_argument(
        "-o", "--output", metavar="FILE", required=True, help=".mp3, .wav, .flac or .ogg"
    )
    file.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    add_model(parser)
    add_sampling(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no report")


def main(args: argparse.Namespace) -> int:
    """Check everything that can be checked, encode, sing, join, save, report."""
    from heartlib import audio

    _check_output(args)
    lyrics, tags = _words(args)

    from heartlib import checkpoints
    from heartlib.cli.progress import Interrupt, Progress
    from heartlib.heartcodec import HeartCodecConfig
    from heartlib.pipelines.extension import Cut, extend
    from heartlib.pipelines.music_generation import HeartMuLaGenPipeline
    from heartlib.pipelines.placement import Placement
    from heartlib.pipelines.settings import GenerationSettings

    settings = GenerationSettings(**settings_of(args, {}))
    placement = Placement.resolve(**placement_of(args, {}))
    args.model = args.model or "nano"
    paths = checkpoints.find(args.model, args.version)
    rate = checkpoints.read_config(paths.codec, HeartCodecConfig).sample_rate
    wave, given = audio.read(args.input)
    wave = audio.resample(wave, given, rate)
    if given != rate and not args.quiet:
        print(
            f"heartlib: {args.input} has {given} Hz: it is resampled to {rate} Hz once; "
            f"those samples are kept",
            file=sys.stderr,
        )
    cut = Cut.at(wave.shape[1], rate, args.start, _number("--crossfade", args.crossfade))
    pipe = HeartMuLaGenPipeline(paths, placement, lazy_load=args.lazy_load, memory=args.memory)
    lyrics, tags, settings = pipe.checked(lyrics, tags, settings)
    pipe.prepare(lyrics, tags, settings, prefix=cut.frames)
    with Progress(quiet=args.quiet) as progress, Interrupt() as interrupt:
        codes = _codes(args, wave, rate, cut, progress)
        song = extend(
            pipe,
            wave,
            codes,
            cut,
            lyrics,
            tags,
            settings,
            progress=progress,
            cancel=interrupt.cancel,
            about={"file": Path(args.input).name, "seconds": cut.samples / rate, "rate": given},
        )
        path = song.save(args.output, overwrite=args.overwrite)
    path = Path(os.path.relpath(path)) if path.is_relative_to(Path.cwd()) else path
    if not args.quiet:
        report(song, path)
        print(f"kept    {cut.samples / rate:.2f} s of {args.input}")
    if not song.complete:
        print(f"heartlib: stopped; what was sung so far is in {path}", file=sys.stderr)
        return 130
    return 0


def _check_output(args: argparse.Namespace) -> None:
    from heartlib import audio

    output, song = (Path(os.path.expanduser(path)) for path in (args.output, args.input))
    if output.exists() and song.exists() and output.samefile(song):
        raise UsageError(
            f"{args.output} is the song itself, which is never changed; choose another name"
        )
    audio.check_output(args.output, overwrite=args.overwrite)


def _words(args: argparse.Namespace) -> tuple[str, str]:
    """Lyrics and tags as given, else as the file tells."""
    from heartlib import audio
    from heartlib.pipelines.inputs import text_or_file

    given = {"lyrics": args.lyrics, "tags": args.tags}
    words = {what: text_or_file(text, f"--{what}") for what, text in given.items() if text}
    missing = [what for what in given if what not in words]
    if missing:
        try:
            told = audio.read_tags(args.input)
        except UsageError:
            raise
        except HeartlibError as error:
            raise UsageError(f"{error}; give --{' and --'.join(missing)}") from error
        for what in missing:
            if not isinstance(told.get(what), str):
                raise UsageError(f"{args.input} does not tell its {what}: give --{what}")
            words[what] = told[what]
    return words["lyrics"], words["tags"]


def _number(what: str, value: float) -> float:
    if not math.isfinite(value):
        raise UsageError(f"{what} must be finite, not {value}")
    return value


def _codes(
    args: argparse.Namespace, wave: "np.ndarray", rate: int, cut: "Cut", progress: Any
) -> "torch.Tensor":
    """The codes of the kept part: from their file, else from the encoder."""
    if args.codes is not None:
        return _codes_from_file(args, wave.shape[1] / rate)
    place = argparse.Namespace(model=args.model, device=args.codec_device or args.device)
    encoder = codec.load(place, encodes=True)
    heard = wave[:, : cut.heard(rate)]
    return encoder.tokenize(heard, rate, lambda done, total: progress("encoding", done, total))


def _codes_from_file(args: argparse.Namespace, seconds: float) -> "torch.Tensor":
    from heartlib.heartcodec.codes import read_codes

    codes, known = read_codes(args.codes), codec.weights_hash(args.model)
    if codes.codec not in (None, known):
        raise HeartlibError(
            f"{args.codes} was encoded with codec {codes.codec}, {args.model} has {known}: "
            f"leave --codes out, or encode {args.input} again"
        )
    if codes.seconds is not None and abs(codes.seconds - seconds) > 0.1:
        raise UsageError(
            f"{args.codes} has the codes of {codes.seconds:.2f} s, {args.input} has "
            f"{seconds:.2f} s: they are not of this song"
        )
    return codes.values
