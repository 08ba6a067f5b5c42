"""The server's side of a worker: a process that is started when it is needed and told to end when it is not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable
from typing import Any

from heartlib.serving.messages import LONGEST_LINE, Message, from_line, to_line

STOP_SECONDS = 5.0


class Worker:
    """One run of a module in a process of its own; on_message for each message, on_end(reason) once, when it is gone.

    Both are called in the event loop. The process ends when its input ends, thus also when the server is killed.
    """

    def __init__(
        self,
        module: str,
        settings: dict[str, Any],
        on_message: Callable[[Message], object],
        on_end: Callable[[int], object],
    ) -> None:
        self._module, self._settings = module, settings
        self._on_message, self._on_end = on_message, on_end
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process's id, None before it is started."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Starts the process; it says when it is ready."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self._module,
            json.dumps(self._settings),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE,
            start_new_session=True,  # a Ctrl-C in the terminal is the server's to handle
        )
        self._reading = asyncio.create_task(self._read())

    def send(self, what: str, **more: object) -> None:
        """A message to it; nothing happens where it is gone, which `on_end` tells."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError, RuntimeError):
                self._process.stdin.write(to_line({"do": what, **more}))

    def kill(self) -> None:
        """Ends it now."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def stop(self) -> None:
        """Ends it, by force where it does not end by itself, and waits until it is gone."""
        if self._process is None or self._reading is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(asyncio.shield(self._reading), STOP_SECONDS)
        except asyncio.TimeoutError:
            self.kill()
            await self._reading

    async def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        with contextlib.suppress(ValueError, OSError):  # a line that is none: it is out of order
            while line := await self._process.stdout.readline():
                self._on_message(from_line(line))
        self.kill()
        self._on_end(await self._process.wait())
