"""The server's side of the process that listens: tasks wait their turn, one at a time, fair between owners."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from typing import Any

from heartlib.errors import HeartlibError, UsageError
from heartlib.serving.fair import FairQueue
from heartlib.serving.limits import Limits
from heartlib.serving.messages import Message
from heartlib.serving.problems import Problem
from heartlib.serving.worker import Worker

LISTENER = "heartlib.serving.listener"
ATTEMPTS = 2
RETRY_SECONDS = 10


@dataclass
class Task:
    """Something to listen for, and who waits for it."""

    owner: str
    message: dict[str, Any]
    answer: asyncio.Future[dict[str, Any]]
    attempts: int = 0


class Listening:
    """Transcriptions, word times and searches; the process ends `idle` seconds after the last."""

    def __init__(self, settings: dict[str, Any], limits: Limits, idle: float) -> None:
        self._settings, self._limits, self._idle = settings, limits, idle
        self._ids = itertools.count(1)
        self._queue = FairQueue()
        self._tasks: dict[str, Task] = {}
        self._now: str | None = None  # what the process does
        self._worker: Worker | None = None
        self._ready = self._closing = self._retiring = False
        self._work: set[asyncio.Task[Any]] = set()
        self._idle_timer: asyncio.TimerHandle | None = None

    @property
    def worker_pid(self) -> int | None:
        """The process, None where there is none."""
        return None if self._worker is None else self._worker.pid

    async def ask(self, owner: str, what: str, **more: object) -> dict[str, Any]:
        """Has something done and waits for it. Problem 429 where too much waits, 503 where it takes too long; else as the work raises."""
        if self._closing:
            raise Problem(503, "the server is stopping", retry_after=RETRY_SECONDS)
        if len(self._tasks) >= self._limits.listening:
            detail = f"{self._limits.listening} tasks wait already"
            raise Problem(429, detail, retry_after=RETRY_SECONDS)
        id = str(next(self._ids))
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._tasks[id] = Task(owner, {"do": what, "id": id, **more}, answer)
        self._queue.add(owner, id)
        self._pump()
        try:
            return await asyncio.wait_for(answer, self._limits.listening_seconds)
        except asyncio.TimeoutError:
            detail = f"it took longer than {self._limits.listening_seconds:g} s"
            raise Problem(503, detail, retry_after=RETRY_SECONDS) from None
        finally:
            self._leave(id)

    async def close(self) -> None:
        """Ends what is being done and the process."""
        self._closing = True
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        for task in self._tasks.values():
            if not task.answer.done():
                task.answer.set_exception(Problem(503, "the server is stopping", retry_after=10))
        if self._worker is not None:
            await self._worker.stop()

    def _leave(self, id: str) -> None:
        """Nobody waits for a task any more: one that is being done ends with its process."""
        del self._tasks[id]
        self._queue.remove(id)
        if self._now == id and self._worker is not None and not self._closing:
            self._worker.kill()

    def _pump(self) -> None:
        if self._closing:
            return
        if self._worker is None and len(self._queue):
            self._ready = False
            self._worker = Worker(LISTENER, self._settings, self._on_message, self._on_end)
            task = asyncio.ensure_future(self._worker.start())
            self._work.add(task)
            task.add_done_callback(self._work.discard)
        if self._ready and self._now is None and (id := self._queue.next()) is not None:
            self._now = id
            assert self._worker is not None
            message = dict(self._tasks[id].message)
            self._worker.send(message.pop("do"), **message)
        elif self._now is None and self._worker is not None and not len(self._queue):
            self._end_when_idle()

    def _on_message(self, message: Message) -> None:
        if message["is"] == "ready":
            self._ready = True
        elif message["id"] == self._now:
            self._now = None
            task = self._tasks.get(message["id"])
            if task is not None and not task.answer.done():
                _give(task.answer, message)
        self._pump()

    def _on_end(self, status: int) -> None:
        ready, lost = self._ready or self._retiring, self._now
        self._worker, self._ready, self._retiring, self._now = None, False, False, None
        if not ready:  # it cannot even begin: whoever waits is told
            for task in self._tasks.values():
                if not task.answer.done():
                    task.answer.set_exception(Problem(500, "the server cannot listen now"))
        elif lost is not None and (task := self._tasks.get(lost)) is not None:
            task.attempts += 1
            if task.attempts < ATTEMPTS:
                self._queue.add(task.owner, lost, first=True)
            elif not task.answer.done():
                task.answer.set_exception(HeartlibError("this takes more than the server has"))
        self._pump()

    def _end_when_idle(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()

        def end() -> None:
            if self._worker is not None and self._now is None and not len(self._queue):
                self._ready, self._retiring = False, True
                task = asyncio.ensure_future(self._worker.stop())
                self._work.add(task)
                task.add_done_callback(self._work.discard)

        self._idle_timer = asyncio.get_running_loop().call_later(self._idle, end)


def _give(answer: asyncio.Future[dict[str, Any]], message: Message) -> None:
    if message["is"] == "result":
        answer.set_result(message["value"])
    elif message["error"] is None:
        answer.set_exception(Problem(500, "the server failed; its log says why"))
    else:
        kind = UsageError if message["usage"] else HeartlibError
        answer.set_exception(kind(message["error"]))
