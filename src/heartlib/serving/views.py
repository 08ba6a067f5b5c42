"""What a client is told: songs, models, problems."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Literal

from pydantic import BaseModel, Field

from heartlib.serving.store import SongRow, UploadRow


class ProblemView(BaseModel):
    """Problem details (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] | None = Field(None, description="of a body: where and what")


class Progress(BaseModel):
    """How far a song is. place: in the queue, from 1. seconds: that can be heard already."""

    place: int | None = None
    frames: int | None = None
    most: int | None = None
    seconds: float | None = None
    section: str | None = None


class SongView(BaseModel):
    """A song and what was asked for."""

    id: str
    status: Literal["waiting", "singing", "done", "failed", "cancelled"]
    created: datetime
    begun: datetime | None
    ended: datetime | None
    lyrics: str
    tags: str
    seed: int
    settings: dict[str, Any]
    format: str
    attempts: int
    extension: dict[str, Any] | None = None
    reference: dict[str, Any] | None = None
    progress: Progress | None = None
    error: str | None = None
    result: dict[str, Any] | None = None
    links: dict[str, str]

    @classmethod
    def of(cls, row: SongRow, progress: dict[str, Any]) -> SongView:
        """A row of the store as a client sees it."""
        request, here = row.request, f"/v1/songs/{row.id}"
        return cls(
            id=row.id,
            status=row.status,  # pyright: ignore[reportArgumentType]
            created=moment(row.created),
            begun=None if row.begun is None else moment(row.begun),
            ended=None if row.ended is None else moment(row.ended),
            lyrics=request["lyrics"],
            tags=request["tags"],
            seed=request["settings"]["seed"],
            settings=request["settings"],
            format=request["format"],
            attempts=row.attempts,
            extension=request.get("kept"),
            reference=request.get("reference"),
            progress=Progress(**progress) if progress and not row.finished else None,
            error=row.error,
            result=row.result,
            links={name: f"{here}/{name}" for name in ("audio", "codes", "events")},
        )


class SongsView(BaseModel):
    """Songs, the newest first; after POST the takes, the first first."""

    songs: list[SongView]


class ModelView(BaseModel):
    """A model in the form of OpenAI's, and what heartlib knows of it."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "heartlib"
    tags: dict[str, list[str]] = Field(description="by category; empty where any tag is taken")
    longest_seconds: float


class ModelsView(BaseModel):
    """The models of this server."""

    object: Literal["list"] = "list"
    data: list[ModelView]


class UploadView(BaseModel):
    """A sound that was sent; bytes: as it is kept."""

    id: str
    created: datetime
    seconds: float
    bytes: int

    @classmethod
    def of(cls, row: UploadRow) -> UploadView:
        """A row of the store as a client sees it."""
        return cls(id=row.id, created=moment(row.created), seconds=row.seconds, bytes=row.bytes)


class UploadsView(BaseModel):
    """Uploads, the newest first."""

    uploads: list[UploadView]


class TranscriptionView(BaseModel):
    """What is sung. text: in the format that was asked for (of json, its text)."""

    text: str
    format: str
    seconds: float


class FoundView(BaseModel):
    """A song that was found; score: 1 is the same, 0 nothing in common."""

    song: SongView
    score: float


class SearchView(BaseModel):
    """What was found, the best first."""

    found: list[FoundView]


def moment(seconds: float) -> datetime:
    """A time since 1970 as JSON tells it."""
    return datetime.fromtimestamp(seconds, timezone.utc)
