"""What a server does for its clients, without HTTP: the routes and the studio call the same methods.

Every method takes the owner first: a name that tells whose songs they are. Nobody reaches another owner's songs.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from heartlib.outputs import write_text
from heartlib.serving.folder import new_id
from heartlib.serving.listening import Listening
from heartlib.serving.problems import Problem
from heartlib.serving.requests import SearchRequest, Source, TranscriptionRequest
from heartlib.serving.settings import ServiceSettings
from heartlib.serving.songs import RETRY_SECONDS, Songs
from heartlib.serving.store import SongRow, UploadRow
from heartlib.serving.uploads import Uploads


class Service(Songs):
    """Songs (see `Songs`), and what else may be sent and asked: uploads, transcriptions, word times, search."""

    def __init__(self, settings: ServiceSettings) -> None:
        super().__init__(settings)
        self._uploading: Counter[str] = Counter()

    async def start(self) -> None:
        """As `Songs.start`; what listens is started when it is needed."""
        await super().start()
        worker = self.settings.worker()
        self.listening = Listening(worker, self.limits, self.settings.idle)
        self._taking = Uploads(self.folder, self.limits)
        self._taking.get_ready()

    async def stop(self) -> None:
        """As `Songs.stop`; whoever waits for what is heard is told."""
        await asyncio.gather(super().stop(), self.listening.close(), self._taking.close())

    async def upload(self, owner: str, body: AsyncIterator[bytes]) -> UploadRow:
        """Takes in a sound file: wav, flac, mp3 or ogg, as it comes.

        Problem 413 where it is too large, 408 where it comes too slowly, 415 where it is not sound that is taken, 429 where the
        owner's uploads take too much already.
        """
        held = sum(upload.bytes for upload in await self.uploads(owner))
        if held >= self.limits.uploads_each:
            most = self.limits.uploads_each
            detail = f"your uploads take {held} bytes, of at most {most}: remove some"
            raise Problem(429, detail, retry_after=60)
        if self._uploading[owner] >= self.limits.uploading_each:
            detail = f"{self._uploading[owner]} of your uploads arrive already"
            raise Problem(429, detail, retry_after=RETRY_SECONDS)
        id = new_id()
        self._uploading[owner] += 1
        try:
            seconds, size = await self._taking.take(id, body)
        finally:
            self._uploading -= Counter([owner])
        row = UploadRow(id, owner, time.time(), seconds, size)
        await self._stored(self.store.add_upload, row)
        return row

    async def uploads(self, owner: str) -> list[UploadRow]:
        """An owner's uploads, the newest first."""
        return await self._stored(self.store.uploads, owner)

    async def remove_upload(self, owner: str, id: str) -> UploadRow:
        """Removes an upload; songs that are to go on from it fail. Problem 404."""
        row = await self._upload(owner, id)
        self.folder.upload(id).unlink(missing_ok=True)
        await self._stored(self.store.remove_upload, id)
        return row

    async def transcribe(self, owner: str, request: TranscriptionRequest) -> dict[str, Any]:
        """What is sung in a song or an upload: `text` in the format that is asked for, and `seconds`.

        Problem 404 and 409 as `audio`, 429 where too much waits, 503 where it takes too long.
        """
        task = {
            "sound": str(await self._source(owner, request)),
            "language": request.language,
            "format": request.format,
        }
        if request.lyrics is None:
            return await self.listening.ask(owner, "transcribe", **task)
        return await self.listening.ask(owner, "align", lyrics=request.lyrics, **task)

    async def lyrics(self, owner: str, id: str) -> Path:
        """The lyrics of a finished song with the time of every word, an LRC file; it is made once. Raises as `transcribe`."""
        row, _ = await self.song(owner, id)
        sound, path = self._file(row, row.request["format"]), self._file(row, "lrc")
        if not path.exists():
            task = {"sound": str(sound), "language": None, "format": "lrc"}
            found = await self.listening.ask(owner, "align", lyrics=row.request["lyrics"], **task)
            if not sound.exists():
                raise Problem(404, "there is no such song")
            await asyncio.to_thread(write_text, path, found["text"], overwrite=True)
        return path

    async def copy(self, owner: str, id: str, format: str) -> Path:
        """The sound of a finished song in a format: its own, or mp3, wav, flac or ogg made from it once. Raises as `transcribe`."""
        row, _ = await self.song(owner, id)
        sound, path = self._file(row, row.request["format"]), self.folder.copy(id, format)
        if sound.suffix == path.suffix:
            return sound
        if not path.exists():
            await self.listening.ask(owner, "copy", sound=str(sound), to=str(path))
            if not sound.exists():
                path.unlink(missing_ok=True)
                raise Problem(404, "there is no such song")
        return path

    async def search(self, owner: str, request: SearchRequest) -> list[tuple[SongRow, float]]:
        """An owner's finished songs that sound like a text or a sound, and how much: the cosine, the best first.

        Songs that are new are listened to first. Raises as `transcribe`.
        """
        like = None if request.like is None else str(await self._source(owner, request.like))
        found = await self.listening.ask(
            owner,
            "search",
            folder=str(self.folder.songs_of(owner)),
            index=str(self.folder.index_of(owner)),
            text=request.text,
            like=like,
            count=request.count,
        )
        rows = [
            (await self._stored(self.store.song, song["id"], owner), song["score"])
            for song in found["songs"]
        ]
        return [(row, score) for row, score in rows if row is not None and row.status == "done"]

    async def _source(self, owner: str, source: Source) -> Path:
        """The file of a song or an upload of an owner."""
        if source.upload is not None:
            return self.folder.upload((await self._upload(owner, source.upload)).id)
        row, _ = await self.song(owner, source.song or "")
        return self._file(row, row.request["format"])
