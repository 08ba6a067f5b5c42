"""Sounds that clients send: read within limits, decoded by a process that can be lost, kept as flac."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from heartlib.serving.folder import DataFolder
from heartlib.serving.limits import Limits
from heartlib.serving.problems import Problem

DECODER = "heartlib.serving.decode_upload"
DECODE_SECONDS = 60.0
DECODED_AT_ONCE = 2
MAGIC = 12  # bytes that tell what a file is


def looks_like_sound(head: bytes) -> bool:
    """Whether a file that begins so may be wav, flac, ogg or mp3."""
    if head[:4] == b"RIFF":
        return head[8:12] == b"WAVE"
    mpeg = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 in (0xE2, 0xE4, 0xE6)
    return head[:4] in (b"fLaC", b"OggS") or head[:3] == b"ID3" or mpeg


class Uploads:
    """Takes files in; what is kept was written by this server's own encoder."""

    def __init__(self, folder: DataFolder, limits: Limits) -> None:
        self._folder, self._limits = folder, limits
        self._decoding = asyncio.Semaphore(DECODED_AT_ONCE)
        self._spare: asyncio.Future[asyncio.subprocess.Process] | None = None
        self._closed = False

    async def take(self, id: str, body: AsyncIterator[bytes]) -> tuple[float, int]:
        """Keeps what comes as the upload `id`; its seconds, and bytes as it is kept.

        Problem 413 where it is too large, 408 where it comes too slowly, 415 where it is not sound that is taken.
        """
        raw, copy = self._folder.arriving / id, self._folder.arriving / f"{id}.flac"
        try:
            try:
                await asyncio.wait_for(self._receive(raw, body), self._limits.body_seconds)
            except asyncio.TimeoutError:
                seconds = self._limits.body_seconds
                raise Problem(408, f"an upload takes at most {seconds:g} s to come") from None
            async with self._decoding:
                seconds = await self._decode(raw, copy)
            size = copy.stat().st_size
            os.replace(copy, self._folder.upload(id))
            return seconds, size
        finally:
            raw.unlink(missing_ok=True)
            copy.unlink(missing_ok=True)

    async def _receive(self, raw: Path, body: AsyncIterator[bytes]) -> None:
        most, size, head = self._limits.upload_bytes, 0, b""
        with raw.open("xb") as file:
            async for piece in body:
                size += len(piece)
                if size > most:
                    raise Problem(413, f"an upload has at most {most} bytes")
                if len(head) < MAGIC:
                    head += piece[: MAGIC - len(head)]
                    if len(head) >= MAGIC and not looks_like_sound(head):
                        raise not_sound()
                file.write(piece)
        if not looks_like_sound(head):
            raise not_sound()

    async def _decode(self, raw: Path, copy: Path) -> float:
        process = await self._ready()
        asked = json.dumps([str(raw), str(copy), self._limits.upload_seconds]) + "\n"
        try:
            line, _ = await asyncio.wait_for(process.communicate(asked.encode()), DECODE_SECONDS)
        except asyncio.TimeoutError:
            raise Problem(415, "the file takes too long to decode") from None
        finally:
            await _end(process)
        try:
            told = json.loads(line)
        except ValueError:
            raise Problem(415, "the file takes too much to decode") from None
        if "error" in told:
            raise Problem(415, told["error"])
        return float(told["seconds"])

    def get_ready(self) -> None:
        """Starts the process that decodes the next file, of which there is one for each, so that nobody waits for it."""
        if self._spare is None and not self._closed:
            self._spare = asyncio.ensure_future(_start())

    async def close(self) -> None:
        """Ends the process that waits for a file."""
        self._closed = True
        if self._spare is not None:
            await _end(await self._spare)

    async def _ready(self) -> asyncio.subprocess.Process:
        self.get_ready()
        assert self._spare is not None
        mine, self._spare = self._spare, None
        self.get_ready()
        return await mine


async def _start() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        DECODER,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        start_new_session=True,
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def not_sound() -> Problem:
    """For what is of another kind."""
    return Problem(415, "this is not a sound file that is taken: send wav, flac, mp3 or ogg")
