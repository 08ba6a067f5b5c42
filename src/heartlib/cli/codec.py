"""What encode, decode and reconstruct have in common: the flags of the codec, and sound in and out."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from heartlib.errors import HeartlibError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from heartlib.heartcodec import HeartCodec
    from heartlib.heartcodec.codes import Codes


def add_flags(parser: argparse.ArgumentParser, *, decodes: bool) -> None:
    """Output, model and, for commands that decode, sampling."""
    kind = ".wav, .flac, .mp3 or .ogg" if decodes else "a .safetensors file"
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help=kind)
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    parser.add_argument(
        "--model",
        metavar="MODEL",
        default="nano",
        help="nano (default), or a folder with HeartCodec-oss and HeartCodec-oss-encoder in it",
    )
    parser.add_argument("--device", metavar="DEVICE", help="cpu, cuda, cuda:1 (default: auto)")
    if decodes:
        parser.add_argument(
            "--dtype", metavar="DTYPE", help="of the flow matching: float32 (default), bfloat16"
        )
        parser.add_argument(
            "--seed", type=int, default=0, metavar="N", help="of the noise it starts from (0)"
        )
        parser.add_argument("--steps", type=int, metavar="N", help="flow steps (default: its own)")
        parser.add_argument(
            "--guidance", type=float, metavar="X", help="1 or more (default: its own)"
        )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no report")


def load(args: argparse.Namespace, *, encodes: bool) -> "HeartCodec":
    """The codec on its device, with its encoder where it is needed."""
    from heartlib import checkpoints
    from heartlib.heartcodec import HeartCodec
    from heartlib.pipelines.placement import Placement

    place = Placement.resolve(args.device, getattr(args, "dtype", None))
    decoder, encoder = checkpoints.find_codec(args.model)
    device, dtype = place.codec_device, place.codec_dtype
    if not encodes:
        return HeartCodec.from_pretrained(decoder, device, dtype)
    if not encoder.is_dir():
        raise HeartlibError(
            f"there is no encoder in {encoder}; fetch it with "
            f"`heartlib download 3B --encoder --out {encoder.parent}`"
        )
    return HeartCodec.from_encoder_decoder_pretrained(decoder, encoder, device, dtype)


def weights_hash(model: str) -> str:
    """Names the decoder's weights, whose codebooks give codes their meaning."""
    from heartlib import checkpoints

    return checkpoints.weights_hash(checkpoints.find_codec(model)[0])


def check_seed(seed: int) -> None:
    """UsageError for a seed that torch does not take."""
    if not 0 <= seed < 2**63:
        raise UsageError(f"--seed must be 0 or more and below 2^63, not {seed}")


def encode(
    codec: "HeartCodec",
    sound: "tuple[np.ndarray, int]",
    args: argparse.Namespace,
    progress: Callable[[str, int, int], object],
) -> "Codes":
    """The codes of what `audio.read` gave of `args.input`; errors name the file."""
    from heartlib.heartcodec.codes import Codes

    wave, rate = sound
    try:
        values = codec.tokenize(wave, rate, lambda done, total: progress("encoding", done, total))
    except UsageError as error:
        raise HeartlibError(f"{args.input}: {error}") from error
    return Codes(values, wave.shape[1] / rate, weights_hash(args.model))


def decode(
    codec: "HeartCodec",
    codes: "Codes",
    args: argparse.Namespace,
    progress: Callable[[str, int, int], object],
) -> float:
    """Decode, cut to the song's length, write; returns the seconds written."""
    import torch

    from heartlib import audio

    pieces, frames = [], codes.values.shape[1]
    for piece in codec.detokenize_windows(codes.values, args.steps, args.guidance, args.seed):
        pieces.append(piece)
        done = sum(p.shape[1] for p in pieces) // codec.config.samples_per_frame
        progress("decoding", done, frames)
    wave, rate = torch.cat(pieces, dim=1).numpy(), codec.config.sample_rate
    if codes.seconds is not None:
        wave = wave[:, : max(1, round(codes.seconds * rate))]
    audio.write(args.output, audio.limit_peak(wave), rate, overwrite=args.overwrite)
    return wave.shape[1] / rate


def report(args: argparse.Namespace, seconds: float, started: float, what: str = "") -> None:
    """What was made, and how fast."""
    if args.quiet:
        return
    took = time.monotonic() - started
    print(f"file    {Path(args.output)}")
    print(f"length  {seconds:.1f} s{what}")
    print(f"speed   {seconds / max(took, 1e-9):.1f} x real time ({took:.1f} s, with loading)")
