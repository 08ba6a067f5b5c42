"""Send a sound file through a published HeartCodec and back, by the published flags."""

import argparse
import sys

from heartlib import audio
from heartlib.errors import HeartlibError
from heartlib.heartcodec import HeartCodec
from heartlib.pipelines.placement import parse_device


def parse_args() -> argparse.Namespace:
    """The published flags, and where to run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder_path", default="./ckpt/HeartCodec-oss-encoder")
    parser.add_argument("--decoder_path", default="./ckpt/HeartCodec-oss")
    parser.add_argument("--input_path", required=True, help="wav, flac, mp3 or ogg")
    parser.add_argument("--save_path", required=True, help="wav, flac, mp3 or ogg")
    parser.add_argument("--device", default=None, help="cpu, cuda, cuda:1 (default: auto)")
    return parser.parse_args()


def main() -> int:
    """Load, encode, decode, save."""
    args = parse_args()
    try:
        wave, rate = audio.read(args.input_path)
        codec = HeartCodec.from_encoder_decoder_pretrained(
            args.decoder_path, args.encoder_path, device=parse_device(args.device)
        )
        codes = codec.tokenize(wave, rate)
        made = codec.detokenize(codes)[:, : round(wave.shape[1] / rate * codec.config.sample_rate)]
        made = audio.limit_peak(made.numpy())
        path = audio.write(args.save_path, made, codec.config.sample_rate, overwrite=True)
    except HeartlibError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    print(f"{path}: {made.shape[1] / codec.config.sample_rate:.1f} s, {codes.shape[1]} frames")
    return 0


if __name__ == "__main__":
    sys.exit(main())
