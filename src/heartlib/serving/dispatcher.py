"""Which song the worker makes next, and what becomes of a song whose worker dies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from heartlib.serving.events import Events
from heartlib.serving.fair import FairQueue
from heartlib.serving.folder import DataFolder
from heartlib.serving.limits import Limits
from heartlib.serving.messages import Message
from heartlib.serving.sections import Sections
from heartlib.serving.store import SongRow
from heartlib.serving.worker import Worker

FRAME_SECONDS = 0.08
SINGER = "heartlib.serving.singer"
GRACE_SECONDS = 10.0  # that a worker has to let a song go
FAILED_STARTS = 3  # in a row, after which a song fails instead of waiting for the next
PLACES_SECONDS = 0.25  # between two times that places in the queue are told


@dataclass
class Track:
    """A song that is not finished: its row, what was told of it, and how much of it can be heard."""

    row: SongRow
    events: Events = field(default_factory=Events)
    place: int | None = None
    frames: int = 0
    most: int = 0
    seconds: float = 0.0
    section: str | None = None
    listeners: int = 0
    timer: asyncio.TimerHandle | None = None

    @cached_property
    def sections(self) -> Sections:
        """Of its lyrics."""
        return Sections(self.row.request["lyrics"])

    def progress(self) -> dict[str, Any]:
        """What is known of it now, JSON-able."""
        if self.row.status == "waiting":
            return {"place": self.place}
        names = ("frames", "most", "seconds", "section")
        return {name: getattr(self, name) for name in names}


class Dispatcher:
    """Keeps the songs that wait and the worker that makes them; lives in the event loop.

    save(row) writes a row to the store, in order. The worker is started for the first song and ends `idle` seconds
    after the last.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        folder: DataFolder,
        limits: Limits,
        idle: float,
        save: Callable[[SongRow], Awaitable[object]],
    ) -> None:
        self._settings, self._folder, self._limits, self._idle = settings, folder, limits, idle
        self._save = save
        self.queue = FairQueue()
        self.tracks: dict[str, Track] = {}
        self._running: dict[str, Track] = {}  # those that the worker has, cancelled ones too
        self._worker: Worker | None = None
        self._capacity = 0  # of the worker, 0 until it is ready
        self._failed_starts, self._unable = 0, ""
        self._closing = self._retiring = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._idle_timer: asyncio.TimerHandle | None = None
        self._places_timer: asyncio.TimerHandle | None = None
        self.finished = {"done": 0, "failed": 0, "cancelled": 0}
        self.seconds_made = 0.0
        self.deaths = 0

    @property
    def singing(self) -> int:
        """Songs that the worker has."""
        return len(self._running)

    @property
    def worker_pid(self) -> int | None:
        """The worker's process, None where there is none."""
        return None if self._worker is None else self._worker.pid

    def add(self, row: SongRow) -> None:
        """Lets a song wait for its turn; it is in the store already."""
        self.tracks[row.id] = Track(row)
        self.queue.add(row.owner, row.id)
        self._tell_places_soon()
        self._pump()

    def warm(self) -> None:
        """Starts the worker, so that the next song need not wait for it."""
        if self._worker is None and not self._closing:
            self._start_worker()

    def cancel(self, track: Track) -> None:
        """Ends a song that is not finished."""
        if not self.queue.remove(track.row.id) and self._worker is not None:
            self._let_go(track.row.id)
        self._finish(track, "cancelled")

    def close_streams(self) -> None:
        """No song is begun any more, and whoever listens or follows is let go."""
        self._closing = True
        for track in self.tracks.values():
            track.events.close()

    async def close(self) -> None:
        """Stops the worker; what is unfinished stays in the store and waits there."""
        self._closing = True
        for timer in (self._idle_timer, self._places_timer):
            if timer is not None:
                timer.cancel()
        if self._worker is not None:
            await self._worker.stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=GRACE_SECONDS)

    def _pump(self) -> None:
        """Gives the worker what it has room for; starts one where there is none."""
        if self._closing:
            return
        if self._worker is None and len(self.queue):
            self._start_worker()
        while len(self._running) < self._capacity and (id := self.queue.next()) is not None:
            self._begin(self.tracks[id])
        if not self._running and self._worker is not None and not len(self.queue):
            self._end_when_idle()

    def _begin(self, track: Track) -> None:
        row = track.row
        row.status, row.begun = "singing", time.time()
        self._running[row.id] = track
        track.place, track.frames, track.seconds = None, 0, 0.0
        assert self._worker is not None
        self._worker.send("sing", id=row.id, request=row.request, **self._files(row))
        limit = self._limits.song_seconds
        track.timer = asyncio.get_running_loop().call_later(limit, self._too_long, track)
        track.events.add("begun")
        self._tell_places_soon()
        self._spawn(self._save(row))

    def _files(self, row: SongRow) -> dict[str, Any]:
        folder, request = self._folder, row.request
        files: dict[str, Any] = {
            "song": str(folder.song(row.owner, row.id, request["format"])),
            "codes": str(folder.song(row.owner, row.id, "safetensors")),
            "live": str(self.live_file(row)),
        }
        if kept := request.get("kept"):
            files["kept"] = {"sound": self._sound_file(row, kept)}
            if "song" in kept:
                files["kept"]["codes"] = str(folder.song(row.owner, kept["song"], "safetensors"))
        if reference := request.get("reference"):
            files["reference"] = self._sound_file(row, reference)
        return files

    def _sound_file(self, row: SongRow, sound: dict[str, Any]) -> str:
        """Where an upload, or another song of the owner's, lies."""
        if "upload" in sound:
            return str(self._folder.upload(sound["upload"]))
        return str(self._folder.song(row.owner, sound["song"], sound["format"]))

    def live_file(self, row: SongRow) -> Path:
        """Where a song grows."""
        return self._folder.live / f"{row.id}.{row.request['live']}"

    def leave(self, track: Track) -> None:
        """A listener is gone; the last one's live file is removed where the song is finished."""
        track.listeners -= 1
        self._drop_live(track)

    def _drop_live(self, track: Track) -> None:
        if track.row.finished and track.listeners <= 0:
            self.live_file(track.row).unlink(missing_ok=True)

    def _on_message(self, message: Message) -> None:
        what = message["is"]
        if what == "ready":
            self._capacity, self._failed_starts = message["capacity"], 0
        elif what == "unable":
            self._unable = message["error"]
        elif (track := self._running.get(message["id"])) is not None:
            if what in ("done", "failed", "cancelled"):
                self._ended(track, message)
            elif not track.row.finished:
                self._tell(track, message)
        self._pump()

    def _tell(self, track: Track, message: Message) -> None:
        if message["is"] == "frames":
            track.frames, track.most = message["frames"], message["most"]
            track.section = track.sections.at(track.frames * FRAME_SECONDS)
            track.events.add("frames", **track.progress())
        elif message["is"] == "sound":
            track.seconds = message["seconds"]
            track.events.add("sound", **track.progress())

    def _ended(self, track: Track, message: Message) -> None:
        del self._running[track.row.id]
        if track.row.finished:  # cancelled, or too long: the worker let it go
            self._remove_files(track)
        elif message["is"] == "done":
            track.row.result = message["result"]
            self.seconds_made += message["result"]["seconds"]
            self._finish(track, "done")
        else:
            self._finish(track, "failed", message.get("error", "it was stopped"))

    def _finish(self, track: Track, status: str, error: str | None = None) -> None:
        row = track.row
        row.status, row.ended, row.error = status, time.time(), error
        if track.timer is not None:
            track.timer.cancel()
        self.finished[status] += 1
        self._spawn(self._keep_and_tell(track))
        self._tell_places_soon()

    async def _keep_and_tell(self, track: Track) -> None:
        """The end is told when it is on the disk."""
        await self._save(track.row)
        self.tracks.pop(track.row.id, None)
        track.events.add(track.row.status, **({"error": e} if (e := track.row.error) else {}))
        if track.row.id not in self._running:
            self._drop_live(track)

    def _remove_files(self, track: Track) -> None:
        for path in self._folder.songs_of(track.row.owner).glob(f"{track.row.id}.*"):
            path.unlink(missing_ok=True)
        self._drop_live(track)

    def _too_long(self, track: Track) -> None:
        self._let_go(track.row.id)
        self._finish(track, "failed", f"it took longer than {self._limits.song_seconds:g} s")

    def _let_go(self, id: str) -> None:
        """Tells the worker to leave a song, and ends it where it does not."""
        worker = self._worker
        if worker is None or id not in self._running:
            return
        worker.send("cancel", id=id)

        def insist() -> None:
            if id in self._running and self._worker is worker:
                worker.kill()

        asyncio.get_running_loop().call_later(GRACE_SECONDS, insist)

    def _start_worker(self) -> None:
        self._worker = Worker(SINGER, self._settings, self._on_message, self._on_end)
        self._capacity, self._unable = 0, ""
        self._spawn(self._worker.start())

    def _on_end(self, status: int) -> None:
        ready = self._capacity > 0 or self._retiring
        self._worker, self._capacity, self._retiring = None, 0, False
        lost, self._running = list(self._running.values()), {}
        if self._closing:
            return
        if not ready:
            self._failed_starts += 1
        self.deaths += bool(lost) or not ready
        for track in lost:
            self._lose(track)
        if self._failed_starts >= FAILED_STARTS and (id := self.queue.next()) is not None:
            why = self._unable or f"the worker ended with status {status} before it was ready"
            self._finish(self.tracks[id], "failed", why)
        delay = 0.0 if ready else min(8.0, 0.5 * 2**self._failed_starts)
        asyncio.get_running_loop().call_later(delay, self._pump)

    def _lose(self, track: Track) -> None:
        """A song whose worker died is begun again, but not for ever."""
        row = track.row
        if track.timer is not None:
            track.timer.cancel()
        if row.finished:
            self._remove_files(track)
            return
        row.attempts += 1
        if row.attempts >= self._limits.attempts:
            why = f"its worker ended {row.attempts} times while it was made; a shorter song may need less memory"
            self._finish(track, "failed", why)
            return
        row.status, row.begun = "waiting", None
        self.queue.add(row.owner, row.id, first=True)
        self._spawn(self._save(row))
        self._tell_places_soon()

    def _end_when_idle(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()

        def end() -> None:
            if self._worker is not None and not self._running and not len(self.queue):
                self._capacity, self._retiring = 0, True
                self._spawn(self._worker.stop())

        self._idle_timer = asyncio.get_running_loop().call_later(self._idle, end)

    def _tell_places_soon(self) -> None:
        if self._places_timer is None and not self._closing:
            loop = asyncio.get_running_loop()
            self._places_timer = loop.call_later(PLACES_SECONDS, self._tell_places)

    def _tell_places(self) -> None:
        self._places_timer = None
        for place, id in enumerate(self.queue.order(), 1):
            track = self.tracks[id]
            if track.place != place:
                track.place = place
                track.events.add("queued", place=place)

    def _spawn(self, work: Awaitable[object]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
