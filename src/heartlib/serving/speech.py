"""Songs in the form of OpenAI's speech API: input is the lyrics, instructions the tags."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Literal

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from heartlib.serving.growing import GrowingAudio
from heartlib.serving.ranges import RangedFile
from heartlib.serving.requests import Lyrics, Seconds, Seed, SongRequest, Strict, Tags
from heartlib.serving.routes_songs import BINARY, SOUND_TYPES, Owner, Serving, problems

router = APIRouter(prefix="/v1/audio", tags=["speech"])
VOICES = ("female", "male")
USUAL_TAGS = "pop"


class SpeechRequest(Strict):
    """What speech clients send. voice: "female" and "male" become tags, every other name is passed over."""

    model: str = Field(max_length=200)
    input: Lyrics = Field(description="lyrics with section markers such as [Verse] between them")
    instructions: Tags | None = Field(None, description="tags: pop,female,piano")
    voice: str = Field("alloy", max_length=100)
    response_format: Literal["mp3", "wav", "flac", "pcm"] = "mp3"
    speed: float = Field(1.0, ge=1, le=1, description="songs have a tempo by their tags")
    stream: bool = Field(True, description="whether sound is sent while it is made")
    stream_format: Literal["audio", "sse"] = "audio"
    length: Seconds | None = Field(None, description="most seconds that the song may have")
    seed: Seed | None = None

    def song(self) -> SongRequest:
        """The same as a song."""
        tags = [self.instructions] if self.instructions else []
        tags += [self.voice] if self.voice in VOICES else []
        return SongRequest.model_validate(
            {
                "lyrics": self.input,
                "tags": ",".join(tags or [USUAL_TAGS]),
                "length": self.length,
                "seed": self.seed,
                "format": "wav" if self.response_format == "pcm" else self.response_format,
                "model": self.model,
            }
        )


SPOKEN = {kind: {"schema": BINARY} for kind in (*SOUND_TYPES.values(), "audio/pcm")}


@router.post(
    "/speech",
    response_class=StreamingResponse,
    responses=problems(409, 415, 429, 503)
    | {
        200: {
            "description": "the sound",
            "content": SPOKEN | {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
)
async def speech(request: SpeechRequest, service: Serving, owner: Owner) -> Response:
    """Makes a song and sends its sound, while it is made where the format allows: mp3, wav, pcm (24 kHz, one channel).

    The song is one like any other, named in X-Song-Id. Whoever leaves before its end cancels it.
    """
    kind = request.response_format
    live = kind if kind in ("mp3", "wav", "pcm") else None
    row = (await service.submit(owner, request.song(), live=live))[0]
    headers = {"X-Song-Id": row.id}
    found = await service.audio(owner, row.id)
    try:
        if isinstance(found, GrowingAudio):
            if live is None or not (request.stream or kind == "pcm"):
                found.close()
                await service.finished(owner, row.id)
                found = await service.audio(owner, row.id)
            else:
                await found.begin()
    except BaseException:
        await service.give_up(owner, row.id)
        raise
    if not isinstance(found, GrowingAudio):
        return RangedFile(found, media_type=SOUND_TYPES[kind], headers=headers)
    pieces = _heard(found, service, owner, row.id)
    if request.stream_format == "sse":
        return StreamingResponse(_told(pieces), media_type="text/event-stream", headers=headers)
    return StreamingResponse(pieces, media_type=found.media_type, headers=headers)


async def _heard(
    sound: GrowingAudio, service: Serving, owner: str, id: str
) -> AsyncIterator[bytes]:
    try:
        async for piece in sound:
            yield piece
    finally:
        sound.close()
        await service.give_up(owner, id)


async def _told(pieces: AsyncIterator[bytes]) -> AsyncIterator[str]:
    async for piece in pieces:
        delta = {"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()}
        yield f"data: {json.dumps(delta)}\n\n"
    usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    yield f"data: {json.dumps({'type': 'speech.audio.done', 'usage': usage})}\n\n"
