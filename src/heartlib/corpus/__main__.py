"""`python -m heartlib.corpus make …`: the corpus without the rest of the command line."""

import argparse
import sys

from heartlib.cli.corpus import add_make
from heartlib.errors import HeartlibError


def main() -> int:
    """Exit status 0, or that of the error."""
    parser = argparse.ArgumentParser(prog="heartlib.corpus", description=__doc__)
    add_make(parser.add_subparsers(required=True, dest="action"))
    args = parser.parse_args()
    try:
        return args.run(args)
    except HeartlibError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
