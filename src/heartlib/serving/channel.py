"""A worker's side of its pipe to the server: lines on stdin and stdout, and the end when the server ends."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

from heartlib.serving.messages import Message, from_line, to_line


class Channel:
    """Sends messages from any thread; whatever else the process prints goes to stderr.

    handle(message) is called in a thread of its own for each that comes. When the server is gone, killed too, so is
    this process, in the middle of whatever it does: it must not hold the models beside those of the next server.
    """

    def __init__(self, handle: Callable[[Message], object]) -> None:
        self._out = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        self._lock = threading.Lock()
        self._handle = handle

    def listen(self) -> None:
        """Begins to take messages."""
        threading.Thread(target=self._listen, name="channel", daemon=True).start()

    def send(self, what: str, **more: object) -> None:
        """One message; `what` says which."""
        with self._lock:
            try:
                self._out.write(to_line({"is": what, **more}))
            except OSError:
                os._exit(0)

    def _listen(self) -> None:
        for line in sys.stdin.buffer:
            self._handle(from_line(line))
        os._exit(0)
