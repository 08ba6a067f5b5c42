"""Sing the lyrics and tags of two text files with a published checkpoint, by the published flags."""

import argparse
import sys

from heartlib import HeartMuLaGenPipeline
from heartlib.errors import HeartlibError


def parse_flag(text: str) -> bool:
    """true/false, as the published script takes it."""
    if text.lower() in ("1", "true", "yes"):
        return True
    if text.lower() in ("0", "false", "no"):
        return False
    raise argparse.ArgumentTypeError(f"true or false, not {text!r}")


def parse_args() -> argparse.Namespace:
    """The published flags and their defaults."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model_path", default="./ckpt", help="checkpoint folder, or nano")
    parser.add_argument("--version", default=None, help="3B, 7B (default: 3B, or nano's own)")
    parser.add_argument("--lyrics", default="./assets/lyrics.txt", help="text or a file of it")
    parser.add_argument("--tags", default="./assets/tags.txt", help="text or a file of it")
    parser.add_argument("--save_path", default="./assets/output.mp3")
    parser.add_argument("--max_audio_length_ms", type=int, default=240_000)
    parser.add_argument("--topk", type=int, default=50)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--cfg_scale", type=float, default=1.5)
    parser.add_argument("--mula_device", default="cuda")
    parser.add_argument("--codec_device", default="cuda")
    parser.add_argument("--mula_dtype", default="bfloat16")
    parser.add_argument("--codec_dtype", default="float32")
    parser.add_argument("--lazy_load", type=parse_flag, nargs="?", const=True, default=False)
    return parser.parse_args()


def main() -> int:
    """Load, sing, save."""
    args = parse_args()
    version = args.version or ("3B" if args.model_path != "nano" else None)
    try:
        pipe = HeartMuLaGenPipeline.from_pretrained(
            args.model_path,
            device={"mula": args.mula_device, "codec": args.codec_device},
            dtype={"mula": args.mula_dtype, "codec": args.codec_dtype},
            version=version,
            lazy_load=args.lazy_load,
        )
        song = pipe(
            {"lyrics": args.lyrics, "tags": args.tags},
            max_audio_length_ms=args.max_audio_length_ms,
            topk=args.topk,
            temperature=args.temperature,
            cfg_scale=args.cfg_scale,
            save_path=args.save_path,
        )
    except HeartlibError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    print(f"{song.path}: {song.duration:.1f} s, seed {song.seed}, {song.speed:.1f} x real time")
    return 0


if __name__ == "__main__":
    sys.exit(main())
