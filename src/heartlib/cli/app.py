"""Parse, dispatch, and turn errors into one line and an exit status."""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import heartlib
from heartlib.errors import HeartlibError, UsageError

COMMANDS = (
    "generate",
    "extend",
    "score",
    "transcribe",
    "align",
    "show",
    "encode",
    "decode",
    "reconstruct",
    "index",
    "search",
    "serve",
    "download",
    "doctor",
    "bench",
    "evaluate",
    "corpus",
    "train",
)
INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are ours: one line, no usage dump."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see `{self.prog} --help`)")


def build_parser() -> Parser:
    """The parser of all commands; importing a command's module must stay cheap."""
    parser = Parser(
        prog="heartlib",
        description=heartlib.__doc__,
        epilog="examples:\n"
        "  heartlib generate --lyrics-file song.txt --tags pop,female,piano -o song.mp3\n"
        "  heartlib transcribe song.mp3\n"
        "  heartlib doctor\n"
        "  heartlib COMMAND --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"heartlib {heartlib.__version__}")
    parser.add_argument("--debug", action="store_true", help="show the stack trace of an error")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name in COMMANDS:
        import_module(f"heartlib.cli.{name}").add_parser(subparsers)
        command = subparsers.choices[name]
        command.add_argument(
            "--debug",
            action="store_true",
            default=argparse.SUPPRESS,
            help="show the stack trace of an error",
        )
    return parser


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command; every HeartlibError becomes one line on stderr."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    try:
        parser = build_parser()
        args = parser.parse_args(arguments)
        if args.command is None:
            parser.print_help()
            return 0
        return import_module(f"heartlib.cli.{args.command}").main(args)
    except HeartlibError as error:
        return _report(str(error), error.exit_status, debug)
    except KeyboardInterrupt:
        return _report("stopped; nothing was written", INTERRUPTED, debug)
    except BrokenPipeError:  # `heartlib doctor | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        reason = f"{type(error).__name__}: {error} (a bug? --debug shows where)"
        return _report(reason, 1, debug)


def _report(message: str, status: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    line = " ".join(message.split())
    print(f"heartlib: error: {line}", file=sys.stderr)
    return status
