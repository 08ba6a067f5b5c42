"""Sounds of clients, and what is heard in sounds: /v1/uploads, /v1/transcriptions, /v1/search."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Path, Request

from heartlib.serving.guard import drain
from heartlib.serving.problems import Problem
from heartlib.serving.ranges import RangedFile
from heartlib.serving.requests import Format, SearchRequest, TranscriptionRequest
from heartlib.serving.routes_songs import (
    BINARY,
    SOUND,
    SOUND_TYPES,
    Owner,
    Serving,
    SongId,
    problems,
)
from heartlib.serving.views import (
    FoundView,
    SearchView,
    SongView,
    TranscriptionView,
    UploadsView,
    UploadView,
)

router = APIRouter(prefix="/v1", tags=["sounds"])
UploadId = Annotated[str, Path(pattern=r"^[0-9a-f]{24}$")]
UPLOAD_TYPES = ("application/octet-stream", *SOUND_TYPES.values())
UPLOADED = {
    "required": True,
    "content": {kind: {"schema": BINARY} for kind in UPLOAD_TYPES},
}


@router.post(
    "/uploads",
    status_code=201,
    responses=problems(415, 429),
    openapi_extra={"requestBody": UPLOADED},
)
async def upload(request: Request, service: Serving, owner: Owner) -> UploadView:
    """Takes a sound file in: the body is the file itself, wav, flac, mp3 or ogg."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    length = request.headers.get("content-length", "")
    most, ended = service.limits.upload_bytes, False

    async def body() -> AsyncIterator[bytes]:
        nonlocal ended
        async for piece in request.stream():
            yield piece
        ended = True

    try:
        if kind not in UPLOAD_TYPES and not kind.startswith("audio/"):
            raise Problem(415, "send the file itself, with Content-Type application/octet-stream")
        if length.isascii() and length.isdecimal() and int(length[:20]) > most:
            raise Problem(413, f"an upload has at most {most} bytes")
        return UploadView.of(await service.upload(owner, body()))
    except Problem:
        if not ended:
            await drain(request.receive)
        raise


@router.get("/uploads", responses=problems())
async def uploads(service: Serving, owner: Owner) -> UploadsView:
    """Your uploads, the newest first."""
    return UploadsView(uploads=[UploadView.of(row) for row in await service.uploads(owner)])


@router.delete("/uploads/{id}", responses=problems(404))
async def remove_upload(id: UploadId, service: Serving, owner: Owner) -> UploadView:
    """Removes an upload."""
    return UploadView.of(await service.remove_upload(owner, id))


@router.post("/transcriptions", responses=problems(404, 409, 415, 429, 503))
async def transcribe(
    request: TranscriptionRequest, service: Serving, owner: Owner
) -> TranscriptionView:
    """Writes down what is sung in a song or an upload, with times; the answer comes when it is done."""
    heard = await service.transcribe(owner, request)
    return TranscriptionView(format=request.format, **heard)


@router.post("/search", responses=problems(404, 409, 415, 429, 503))
async def search(request: SearchRequest, service: Serving, owner: Owner) -> SearchView:
    """Finds your songs by words, or by a sound."""
    found = await service.search(owner, request)
    return SearchView(
        found=[FoundView(song=SongView.of(row, {}), score=score) for row, score in found]
    )


@router.get(
    "/songs/{id}/lyrics.lrc",
    response_class=RangedFile,
    responses=problems(404, 409, 429, 503)
    | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def lyrics(id: SongId, service: Serving, owner: Owner) -> RangedFile:
    """The lyrics of a finished song with the time of every word, as enhanced LRC."""
    path = await service.lyrics(owner, id)
    return RangedFile(path, media_type="text/plain; charset=utf-8", filename=path.name)


@router.get(
    "/songs/{id}/audio.{format}",
    response_class=RangedFile,
    responses=problems(404, 409, 416, 429, 503)
    | {status: {"description": "the sound", "content": SOUND} for status in (200, 206)},
)
async def copy(id: SongId, format: Format, service: Serving, owner: Owner) -> RangedFile:
    """The sound of a finished song in another format, made from its own file."""
    path = await service.copy(owner, id, format)
    return RangedFile(path, media_type=SOUND_TYPES[format], filename=f"{id}.{format}")
