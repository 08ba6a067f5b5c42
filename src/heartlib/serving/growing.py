"""A song's sound while it is made: the bytes of a file that grows, to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from heartlib.errors import HeartlibError
from heartlib.serving.live import LIVE_FORMATS
from heartlib.serving.problems import Problem

if TYPE_CHECKING:
    from heartlib.serving.dispatcher import Dispatcher, Track

PIECE = 64 * 1024


class GrowingAudio:
    """The bytes of a song that is not finished, once: an async iterator; close it (`aclose`) when nobody listens.

    A song begun again has the same bytes, so that a listener does not notice. HeartlibError, at the beginning or in the
    middle, where the song comes to nothing.
    """

    def __init__(self, dispatcher: Dispatcher, track: Track) -> None:
        self._dispatcher, self._track = dispatcher, track
        self.media_type = LIVE_FORMATS[track.row.request["live"]]
        self._path: Path = dispatcher.live_file(track.row)
        self._file: BinaryIO | None = None
        self._closed = False
        track.listeners += 1

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces()

    async def begin(self) -> None:
        """Waits until something can be heard."""
        events = self._track.events
        async for _ in events.after():
            if self._track.seconds > 0:
                break
        row = self._track.row
        if self._track.seconds == 0 and not row.finished:
            raise Problem(503, "the server is stopping", retry_after=10)
        if row.status in ("failed", "cancelled"):
            raise HeartlibError(f"there is nothing to hear: the song is {row.status}")

    def close(self) -> None:
        """Lets the file go."""
        if self._closed:
            return
        self._closed = True
        if self._file is not None:
            self._file.close()
        self._dispatcher.leave(self._track)

    async def _pieces(self) -> AsyncIterator[bytes]:
        try:
            await self.begin()
            self._file = self._path.open("rb", buffering=0)
            async for event in self._track.events.after():
                while piece := self._file.read(PIECE):
                    yield piece
                if event.kind in ("failed", "cancelled"):
                    raise HeartlibError(f"the song is {event.kind}")
            if not self._track.row.finished:
                raise HeartlibError("the server is stopping")
        finally:
            self.close()
