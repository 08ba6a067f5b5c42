"""Listens on a port until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from types import FrameType

import uvicorn

from heartlib.errors import HeartlibError
from heartlib.serving.app import create_app
from heartlib.serving.guard import Access
from heartlib.serving.service import Service
from heartlib.serving.settings import ServiceSettings

STOP_SECONDS = 10


class Server(uvicorn.Server):
    """uvicorn, which ends open streams before it waits for them."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal: no more songs are taken, streams end. A second Ctrl-C does not wait for them."""
        self._service.close_streams()
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def default_data() -> Path:
    """Where songs are kept where nothing else is said."""
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "heartlib" / "serve"


def serve(settings: ServiceSettings, access: Access, port: int, *, studio: bool = False) -> int:
    """Serves until SIGTERM or SIGINT; the exit status. HeartlibError where it cannot start."""
    with _listen(access.host, port) as listener:
        return asyncio.run(_serve(settings, access, listener, studio))


async def _serve(
    settings: ServiceSettings, access: Access, listener: socket.socket, studio: bool
) -> int:
    service = Service(settings)
    await service.start()
    config = uvicorn.Config(
        create_app(service, access, studio=studio),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_SECONDS,
        lifespan="on",
    )
    host = f"[{access.host}]" if ":" in access.host else access.host
    where = f"http://{host}:{listener.getsockname()[1]}"
    print(f"heartlib: {where} (songs in {settings.data})", file=sys.stderr, flush=True)
    await Server(config, service).serve([listener])
    return 0


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise HeartlibError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener
