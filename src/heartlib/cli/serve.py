"""`heartlib serve`: songs for others, over HTTP."""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from heartlib.errors import HeartlibError, UsageError

NEEDED = ("fastapi", "uvicorn", "prometheus_client")


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "serve",
        help="an HTTP API that makes songs",
        description="Serve songs over HTTP: a queue that survives, progress, sound while it is made.",
        epilog="examples:\n"
        "  heartlib serve                                            # http://127.0.0.1:8080\n"
        "  heartlib serve --data /var/lib/heartlib --host 0.0.0.0 --api-key-file keys.txt\n"
        "  heartlib serve --model ./ckpt --version 3B --device cuda --songs 16",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    where = parser.add_argument_group("the server")
    where.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    where.add_argument("--port", type=int, default=8080, help="port, 0 for a free one (8080)")
    where.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder for songs and the queue (default: heartlib/serve in the user's data folder)",
    )
    where.add_argument(
        "--no-studio", action="store_true", help="the API alone, without the page at /"
    )
    access = parser.add_argument_group("who may use it")
    access.add_argument(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help="lines name:key; needed beyond this machine",
    )
    access.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="URL",
        help="a site whose pages may use the API (repeat it for more)",
    )
    access.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name that a server on loopback answers to, as behind a proxy",
    )
    model = parser.add_argument_group("the model")
    model.add_argument(
        "--model", default="nano", help="nano (default, comes with heartlib), a folder or a hub id"
    )
    model.add_argument("--version", metavar="NAME", help="which HeartMuLa-oss-NAME of the folder")
    model.add_argument("--device", metavar="DEVICE", help="cpu, cuda, cuda:1 (default: auto)")
    model.add_argument("--quantize", metavar="KIND", help="on a GPU: int8, fp8 or int4")
    model.add_argument(
        "--songs", type=int, metavar="N", help="songs at once (default: 16 on a GPU, 1 on a CPU)"
    )
    model.add_argument(
        "--idle",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="without a song, after which models leave the memory (300)",
    )
    limits = parser.add_argument_group("limits")
    for name, kind, what in LIMITS:
        limits.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar="N", help=what)


LIMITS = (
    ("waiting", int, "songs that wait, of all owners (256)"),
    ("waiting_each", int, "of one owner (64)"),
    ("stored_each", int, "songs that one owner keeps (1000)"),
    ("upload_bytes", int, "of one upload (64 MiB)"),
    ("upload_seconds", int, "of the sound of one upload (600)"),
    ("uploads_each", int, "bytes of all uploads of one owner (1 GiB)"),
    ("body_seconds", float, "that a request may take to arrive (30)"),
    ("song_seconds", float, "that a song may take to be made (3600)"),
)


def main(args: argparse.Namespace) -> int:
    """Check what can be checked, then serve until told to stop."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise HeartlibError(f"serving needs {missing[0]}: pip install 'heartlib[serve]'")

    from heartlib.serving.guard import Access, is_loopback
    from heartlib.serving.keys import Keys
    from heartlib.serving.limits import Limits
    from heartlib.serving.server import default_data, serve
    from heartlib.serving.settings import ServiceSettings

    if args.api_key_file is None and not is_loopback(args.host):
        raise UsageError(
            f"--host {args.host} is reached from other machines: give --api-key-file FILE "
            f"(lines name:key), or leave --host out"
        )
    if not 0 <= args.port < 65536:
        raise UsageError(f"--port must be 0 to 65535, not {args.port}")
    if args.idle <= 0 or (args.songs is not None and args.songs < 1):
        raise UsageError("--idle must be above 0 and --songs 1 or more")
    keys = None if args.api_key_file is None else Keys.read(args.api_key_file)
    given = {name: value for name, *_ in LIMITS if (value := getattr(args, name)) is not None}
    settings = ServiceSettings(
        data=args.data or default_data(),
        model=args.model,
        version=args.version,
        device=args.device,
        quantization=args.quantize,
        songs=args.songs,
        idle=args.idle,
        limits=Limits(**given),
    )
    access = Access(args.host, keys, tuple(args.allow_host), tuple(args.allow_origin))
    studio = not args.no_studio
    if studio and find_spec("gradio") is None:
        print("heartlib: no page at /: pip install 'heartlib[studio]'", file=sys.stderr)
        studio = False
    return serve(settings, access, args.port, studio=studio)
