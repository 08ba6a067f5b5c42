"""`heartlib train MODEL`: train one model of the family."""

import argparse
from typing import Any

from heartlib.training.command import MODELS


def add_parser(subparsers: Any) -> None:
    """Register the command; each model has a parser of its own, made when it is asked for."""
    width = max(map(len, MODELS))
    models = "\n".join(f"  {name:<{width}}  {what}" for name, (_, what) in MODELS.items())
    parser = subparsers.add_parser(
        "train",
        help="train one model of the family",
        description="Train one model of the family; the same command again goes on where it was.\n\n"
        f"models:\n{models}",
        epilog="examples:\n"
        "  heartlib train lm --help\n"
        "  heartlib train codec --data songs --out runs/sq --minutes 7\n"
        "  heartlib train lm --config full --data codes --tokenizer tokenizer.json --out runs/lm\n"
        "  accelerate launch --multi_gpu -m heartlib.training.lm --data codes "
        "--tokenizer tokenizer.json --out runs/lm",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", choices=MODELS, metavar="MODEL", help="one of the models below")
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="...", help="see heartlib train MODEL --help"
    )


def main(args: argparse.Namespace) -> int:
    """Train."""
    from heartlib.training import command

    return command.main(args.model, [text for text in args.arguments if text != "--debug"])
