"""/v1/songs: ask for songs, follow them, hear them, cancel or remove them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from heartlib.serving.events import Event
from heartlib.serving.growing import GrowingAudio
from heartlib.serving.problems import MEDIA_TYPE
from heartlib.serving.ranges import RangedFile
from heartlib.serving.requests import SongRequest
from heartlib.serving.service import Service
from heartlib.serving.views import ProblemView, SongsView, SongView

router = APIRouter(prefix="/v1/songs", tags=["songs"])
SOUND_TYPES = {"mp3": "audio/mpeg", "wav": "audio/wav", "flac": "audio/flac", "ogg": "audio/ogg"}
ALIVE_SECONDS = 15.0  # between two signs of life of a stream of events


def service_of(request: Request) -> Service:
    """The service that the application was made for."""
    return request.app.state.service


def owner_of(request: Request) -> str:
    """Who asks, as the guard found."""
    return request.state.owner


Serving = Annotated[Service, Depends(service_of)]
Owner = Annotated[str, Depends(owner_of)]
SongId = Annotated[str, Path(pattern=r"^[0-9a-f]{24}$")]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Declares problem details with these statuses, and those that every request may get."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemView"}}}
    every = sorted({400, 401, 403, 408, 413, 421, 422, 500, *statuses})
    return {status: {"description": "problem details", "content": content} for status in every}


BINARY = {"type": "string", "format": "binary"}
SOUND = {media: {"schema": BINARY} for media in SOUND_TYPES.values()}


@router.post("", status_code=202, responses=problems(404, 409, 415, 429, 503))
async def create(
    request: SongRequest,
    service: Serving,
    owner: Owner,
    response: Response,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
) -> SongsView:
    """Accepts a song, or several takes of it; they are made in turn with those of others."""
    rows = await service.submit(owner, request, key=idempotency_key)
    response.headers["Location"] = f"/v1/songs/{rows[0].id}"
    found = [await service.song(owner, row.id) for row in rows]
    return SongsView(songs=[SongView.of(*song) for song in found])


@router.get("", responses=problems(404))
async def index(
    service: Serving,
    owner: Owner,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[str | None, Query(pattern=r"^[0-9a-f]{24}$")] = None,
    status: Literal["waiting", "singing", "done", "failed", "cancelled"] | None = None,
) -> SongsView:
    """Your songs, the newest first; `before` an id for those before it."""
    found = await service.songs(owner, limit=limit, before=before, status=status)
    return SongsView(songs=[SongView.of(*song) for song in found])


@router.get("/{id}", responses=problems(404))
async def show(id: SongId, service: Serving, owner: Owner) -> SongView:
    """One song, and how far it is."""
    return SongView.of(*await service.song(owner, id))


@router.delete("/{id}", responses=problems(404))
async def remove(id: SongId, service: Serving, owner: Owner) -> SongView:
    """Cancels a song that is not finished; removes one that is."""
    return SongView.of(await service.remove(owner, id), {})


@router.get(
    "/{id}/events",
    response_class=StreamingResponse,
    responses=problems(404)
    | {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def events(
    id: SongId,
    service: Serving,
    owner: Owner,
    last_event_id: Annotated[str | None, Header(max_length=40)] = None,
) -> StreamingResponse:
    """What happens to a song, as server-sent events: queued, begun, frames, sound; at last done, failed or cancelled."""
    after = (
        int(last_event_id)
        if last_event_id and last_event_id.isascii() and last_event_id.isdecimal()
        else 0
    )
    told = await service.events(owner, id, after)
    return StreamingResponse(_lines(told), media_type="text/event-stream")


HEARD = problems(404, 409, 416, 503) | {
    200: {"description": "the sound", "content": SOUND},
    206: {
        "description": "a part of a finished song",
        "content": SOUND | {"multipart/byteranges": {"schema": BINARY}},
    },
}


@router.get("/{id}/audio", response_class=RangedFile, responses=HEARD)
@router.head("/{id}/audio", response_class=RangedFile, responses=HEARD, operation_id="audio_head")
async def audio(id: SongId, request: Request, service: Serving, owner: Owner) -> Response:
    """The sound: of a finished song its file, with ranges; while it is made a stream that grows (mp3, or wav)."""
    found = await service.audio(owner, id)
    if not isinstance(found, GrowingAudio):
        name = f"{id}{found.suffix}"
        kind = SOUND_TYPES[found.suffix.lstrip(".")]
        return RangedFile(found, media_type=kind, filename=name, content_disposition_type="inline")
    headers = {"Accept-Ranges": "none"}
    if request.method == "HEAD":
        found.close()
        return Response(media_type=found.media_type, headers=headers)
    try:
        await found.begin()
    except BaseException:
        found.close()
        raise
    return StreamingResponse(found, media_type=found.media_type, headers=headers)


@router.get(
    "/{id}/codes",
    response_class=RangedFile,
    responses=problems(404, 409, 416)
    | {
        status: {
            "description": "codes",
            "content": {"application/octet-stream": {"schema": BINARY}},
        }
        for status in (200, 206)
    },
)
async def codes(id: SongId, service: Serving, owner: Owner) -> RangedFile:
    """The codes of a finished song: a safetensors file with one tensor, `codes`."""
    path = await service.codes(owner, id)
    return RangedFile(path, media_type="application/octet-stream", filename=path.name)


async def _lines(told: AsyncIterator[Event]) -> AsyncIterator[str]:
    coming = asyncio.ensure_future(anext(told, None))
    try:
        while True:
            done, _ = await asyncio.wait({coming}, timeout=ALIVE_SECONDS)
            if not done:
                yield ": alive\n\n"
                continue
            event = coming.result()
            if event is None:
                return
            yield f"id: {event.id}\nevent: {event.kind}\ndata: {json.dumps(event.data)}\n\n"
            coming = asyncio.ensure_future(anext(told, None))
    finally:
        coming.cancel()


__all__ = ["ProblemView", "router"]
