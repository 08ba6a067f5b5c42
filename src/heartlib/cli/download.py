"""`heartlib download`: fetch a published checkpoint from the Hugging Face hub."""

import argparse
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "download",
        help="fetch a published checkpoint",
        description="Fetch a published HeartMuLa checkpoint (language model, codec, tokenizer) from "
        "the Hugging Face hub. An interrupted download goes on where it stopped.",
        epilog="examples:\n"
        "  heartlib download 3B                 # into the cache; then --model HeartMuLa/HeartMuLa-oss-3B\n"
        "  heartlib download 3B --out ./ckpt    # into a folder; then --model ./ckpt --version 3B",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("version", metavar="VERSION", help="3B, 3B-RL or 3B-happy-new-year")
    parser.add_argument(
        "--encoder", action="store_true", help="also what turns sound into codes (2.15 GB more)"
    )
    parser.add_argument("--out", metavar="DIR", help="folder (default: heartlib's cache)")


def main(args: argparse.Namespace) -> int:
    """Download and say where it is."""
    from heartlib import checkpoints

    folder = checkpoints.download(args.version, args.out, encoder=args.encoder)
    print(f"{args.version} is in {folder}")
    print(f"sing with it: heartlib generate --model {folder} --version {args.version} ...")
    return 0
