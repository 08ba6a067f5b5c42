"""What happens to a song while it is made, told in order to whoever asks, from wherever they were."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

KEPT = 256


@dataclass(frozen=True)
class Event:
    """Something that happened: `kind` is queued, begun, frames, sound, done, failed or cancelled.

    Ids rise, across restarts of the server too.
    """

    id: int
    kind: str
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def last(self) -> bool:
        """Whether nothing comes after it."""
        return self.kind in ("done", "failed", "cancelled")


class Events:
    """The last of one song's events; old news of the same kind is forgotten."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=KEPT)
        self._changed = asyncio.Event()
        self._last_id = 0
        self.closed = False

    def add(self, kind: str, **data: Any) -> Event:
        """Tells one more."""
        self._last_id = max(self._last_id + 1, time.time_ns() // 1_000_000)
        event = Event(self._last_id, kind, data)
        self._events.append(event)
        self._wake()
        return event

    def close(self) -> None:
        """Lets whoever waits go: the server stops."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    @property
    def ended(self) -> bool:
        """Whether the last one was told."""
        return bool(self._events) and self._events[-1].last

    async def after(self, last: int = 0) -> AsyncIterator[Event]:
        """Those with a higher id, waited for, to the last."""
        while True:
            changed = self._changed
            for event in [event for event in self._events if event.id > last]:
                yield event
                last = event.id
                if event.last:
                    return
            if self.ended or self.closed:
                return
            if changed is self._changed:
                await changed.wait()
