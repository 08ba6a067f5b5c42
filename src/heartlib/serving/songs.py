"""Songs from the request to the file: accepted, told of, heard, removed."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from heartlib.serving.dispatcher import Dispatcher, Track
from heartlib.serving.events import Event, Events
from heartlib.serving.folder import DataFolder, is_id, new_id
from heartlib.serving.growing import GrowingAudio
from heartlib.serving.model import ServedModel
from heartlib.serving.problems import Problem
from heartlib.serving.requests import SEEDS, SongRequest, Source
from heartlib.serving.settings import ServiceSettings
from heartlib.serving.store import SongRow, Store, UploadRow

Result = TypeVar("Result")
RETRY_SECONDS = 10


class Songs:
    """Songs of owners: asked for, followed, heard, removed. `start` it in an event loop, `stop` it there.

    Errors are `Problem`s, which have an HTTP status, and HeartlibErrors; their texts are for the client.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings, self.limits = settings, settings.limits
        self.accepting = False
        self._accepting_one = asyncio.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="store")

    async def start(self) -> None:
        """Opens the data folder, finds the model, and goes on with what was not finished."""
        self.folder = DataFolder(self.settings.data)
        try:
            self.model = await asyncio.to_thread(
                ServedModel.find, self.settings.model, self.settings.version
            )
            self.store = Store(self.folder.store)
            waiting = self.store.begin_again()
            self.folder.clean(self.store.ids())
        except BaseException:
            self.folder.close()
            raise
        self.dispatcher = Dispatcher(
            self.settings.worker(), self.folder, self.limits, self.settings.idle, self._save
        )
        self.accepting = True
        for row in waiting:
            self.dispatcher.add(row)

    def close_streams(self) -> None:
        """Takes no more songs and ends open streams: what is done before `stop`."""
        self.accepting = False
        self.dispatcher.close_streams()

    async def stop(self) -> None:
        """Takes no more songs, ends open streams, stops the workers; unfinished songs stay in the store."""
        self.close_streams()
        await self.dispatcher.close()
        await self._stored(self.store.close)
        self._pool.shutdown()
        self.folder.close()

    async def submit(
        self, owner: str, request: SongRequest, *, key: str | None = None, live: str | None = None
    ) -> list[SongRow]:
        """Accepts a song, or several takes, on the disk when this returns.

        key: an idempotency key: the same key with the same request gives the songs of the first time, with
        another request Problem 422. live: the format that the song grows in (mp3, wav, pcm), None for the one nearest to its
        own. Problem 429 where the queue or the owner's share of it is full, UsageError for what the model cannot sing.
        """
        async with self._accepting_one:  # what is counted stays true until it is written
            return await self._submit(owner, request, key, live)

    async def _submit(
        self, owner: str, request: SongRequest, key: str | None, live: str | None
    ) -> list[SongRow]:
        digest = hashlib.sha256(request.model_dump_json().encode()).hexdigest()
        if key is not None and (held := await self._stored(self.store.accepted, owner, key)):
            return self._again(held, digest)
        if not self.accepting:
            raise Problem(503, "the server is stopping", retry_after=RETRY_SECONDS)
        lyrics, tags = await asyncio.to_thread(self.model.check, request)
        kept = reference = None
        if asked := request.extension:
            kept = await self._sound(owner, asked) | {"from": asked.start}
        if request.reference:
            reference = await self._sound(owner, request.reference)
        await self._check_room(owner, request.count)
        seed = secrets.randbelow(2**31) if request.seed is None else request.seed
        if seed + request.count > SEEDS:
            raise Problem(422, f"the seeds of {request.count} takes must be below 2**63")
        rows = [
            SongRow(
                new_id(),
                owner,
                {
                    "lyrics": lyrics,
                    "tags": tags,
                    "settings": request.settings(seed + take),
                    "format": request.format,
                    "live": live or ("wav" if request.format == "wav" else "mp3"),
                    **({"kept": kept} if kept else {}),
                    **({"reference": reference} if reference else {}),
                },
            )
            for take in range(request.count)
        ]
        await self._stored(self.store.accept, rows, None if key is None else (key, digest))
        for row in rows:
            self.dispatcher.add(row)
        return rows

    async def warm(self, owner: str) -> None:
        """Loads the models now, as for a song that is likely to come; they leave again when idle."""
        self.dispatcher.warm()

    async def song(self, owner: str, id: str) -> tuple[SongRow, dict[str, Any]]:
        """A song and, while it is not finished, its progress: place, or frames, most and seconds. Problem 404."""
        row = await self._row(owner, id)
        track = self.dispatcher.tracks.get(id)
        return (row, {}) if track is None else (track.row, track.progress())

    async def songs(
        self,
        owner: str,
        *,
        limit: int = 50,
        before: str | None = None,
        status: str | None = None,
    ) -> list[tuple[SongRow, dict[str, Any]]]:
        """An owner's songs as `song` gives them, the newest first; before: an id, for those before it."""
        number = None if before is None else (await self._row(owner, before)).number
        rows = await self._stored(
            lambda: self.store.songs(owner, limit=limit, before=number, status=status)
        )
        tracks = [self.dispatcher.tracks.get(row.id) for row in rows]
        return [
            (row, {}) if track is None else (track.row, track.progress())
            for row, track in zip(rows, tracks, strict=True)
        ]

    async def remove(self, owner: str, id: str) -> SongRow:
        """Cancels a song that is not finished; removes one that is, with its files. Problem 404."""
        row = await self._row(owner, id)
        track = self.dispatcher.tracks.get(id)
        if track is not None and not track.row.finished:
            self.dispatcher.cancel(track)
            return track.row
        for path in self.folder.songs_of(owner).glob(f"{id}.*"):
            path.unlink(missing_ok=True)
        for path in self.folder.copies.glob(f"{id}.*"):
            path.unlink(missing_ok=True)
        await self._stored(self.store.remove_song, id)
        return row

    async def finished(self, owner: str, id: str) -> SongRow:
        """A song, waited for until it is finished. Problem 404; 503 where the server stops before."""
        async for event in await self.events(owner, id):
            if event.last:
                return await self._row(owner, id)
        raise Problem(503, "the server is stopping", retry_after=RETRY_SECONDS)

    async def give_up(self, owner: str, id: str) -> None:
        """Cancels a song where it is not finished: whoever waited for it is gone."""
        track = self.dispatcher.tracks.get(id)
        if track is None or track.row.owner != owner or track.row.finished or not self.accepting:
            return
        self.dispatcher.cancel(track)

    async def events(self, owner: str, id: str, after: int = 0) -> AsyncIterator[Event]:
        """What happens to a song, from the event after the given id to the last. Problem 404."""
        row = await self._row(owner, id)
        track = self.dispatcher.tracks.get(id)
        if track is not None:
            return track.events.after(after)
        events = Events()
        last = events.add(row.status, **({"error": row.error} if row.error else {}))
        return events.after(0 if after < last.id else after)

    async def audio(self, owner: str, id: str) -> Path | GrowingAudio:
        """The sound of a song: its file where it is finished, else a stream of what there is and will be.

        Problem 404 where there is no such song, 409 where it failed or was cancelled.
        """
        row, _ = await self.song(owner, id)
        track = self.dispatcher.tracks.get(id)
        if track is not None and not track.row.finished:
            return GrowingAudio(self.dispatcher, track)
        return self._file(row, row.request["format"])

    async def codes(self, owner: str, id: str) -> Path:
        """The codes of a finished song, a safetensors file. Problem 404 and 409 as `audio`, 409 also while it is made."""
        row, _ = await self.song(owner, id)
        return self._file(row, "safetensors")

    def _file(self, row: SongRow, suffix: str) -> Path:
        if row.status != "done":
            why = f": {row.error}" if row.error else ""
            raise Problem(409, f"the song is {row.status}{why}")
        return self.folder.song(row.owner, row.id, suffix)

    async def _upload(self, owner: str, id: str) -> UploadRow:
        row = await self._stored(self.store.upload, id, owner) if is_id(id) else None
        if row is None:
            raise Problem(404, "there is no such upload")
        return row

    async def _sound(self, owner: str, asked: Source) -> dict[str, Any]:
        """A sound of the owner's as the worker is told of it. Problem 404, 409 for a song that is not done."""
        if asked.upload is not None:
            return {"upload": (await self._upload(owner, asked.upload)).id}
        row = await self._row(owner, asked.song or "")
        if row.status != "done":
            raise Problem(409, f"the song that is asked for is {row.status}, not done")
        return {"song": row.id, "format": row.request["format"]}

    async def _check_room(self, owner: str, count: int) -> None:
        queue, limits = self.dispatcher.queue, self.limits
        if len(queue) + count > limits.waiting:
            detail = f"the queue is full: {limits.waiting} songs wait"
            raise Problem(429, detail, retry_after=RETRY_SECONDS)
        if queue.count(owner) + count > limits.waiting_each:
            detail = f"{queue.count(owner)} of your songs wait, of at most {limits.waiting_each}"
            raise Problem(429, detail, retry_after=RETRY_SECONDS)
        held = await self._stored(self.store.count_songs, owner)
        if held + count > limits.stored_each:
            detail = f"{held} of your songs are kept, of at most {limits.stored_each}: remove some"
            raise Problem(429, detail, retry_after=60)

    def _again(self, held: tuple[str, list[SongRow]], digest: str) -> list[SongRow]:
        if held[0] != digest:
            raise Problem(422, "this Idempotency-Key was used for another request")
        if not held[1]:
            raise Problem(409, "the songs of this Idempotency-Key were removed")
        tracks: list[Track | None] = [self.dispatcher.tracks.get(row.id) for row in held[1]]
        pairs = zip(held[1], tracks, strict=True)
        return [row if track is None else track.row for row, track in pairs]

    async def _row(self, owner: str, id: str) -> SongRow:
        row = await self._stored(self.store.song, id, owner) if is_id(id) else None
        if row is None:
            raise Problem(404, "there is no such song")
        return row

    async def _save(self, row: SongRow) -> None:
        await self._stored(self.store.update, replace(row))

    async def _stored(self, work: Callable[..., Result], *arguments: object) -> Result:
        """Runs something of the store in its thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, work, *arguments)
