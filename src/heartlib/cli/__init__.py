"""The `heartlib` command: one file a command, each with `add_parser(subparsers)` and `main(args)`."""

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run `heartlib ARGUMENTS` and return its exit status: 0, 2 for usage, 1 for other errors."""
    from heartlib.cli.app import run

    return run(argv)
