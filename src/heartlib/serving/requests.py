"""What a client may ask for: every field has bounds, and nothing else is taken."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.json_schema import SkipJsonSchema
from typing_extensions import Self

Id = Annotated[str, Field(pattern=r"^[0-9a-f]{24}$")]
Format = Literal["mp3", "wav", "flac", "ogg"]
LONGEST_LYRICS, LONGEST_TAGS = 20_000, 2_000
MOST_SONGS = 8
SEEDS = 2**63


def _printable(text: str) -> str:
    if any(ord(sign) < 32 and sign not in "\n\r\t" for sign in text):
        raise ValueError("control characters are not allowed")
    return text


Lyrics = Annotated[str, Field(min_length=1, max_length=LONGEST_LYRICS), AfterValidator(_printable)]
Tags = Annotated[str, Field(min_length=1, max_length=LONGEST_TAGS), AfterValidator(_printable)]
Text = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"\S")]
Seconds = Annotated[float, Field(ge=0.08, le=600)]
Seed = Annotated[int, Field(ge=0, lt=SEEDS)]


class Strict(BaseModel):
    """Unknown fields, and numbers that are none, are errors."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Source(Strict):
    """A sound of yours: one of `song` and `upload`."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["song"]}, {"required": ["upload"]}]}
    )

    song: Id | SkipJsonSchema[None] = Field(None, description="id of a finished song")
    upload: Id | SkipJsonSchema[None] = Field(None, description="id of an upload")

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = self.model_fields_set & {"song", "upload"}
        if len(given) != 1 or (self.song or self.upload) is None:
            raise ValueError("give one of song and upload")
        return self


class Extension(Source):
    """Another sound that is kept up to a moment, after which the song goes on: one of `song` and `upload`."""

    start: Seconds | None = Field(
        None, alias="from", description="seconds that are kept; all of it where it is left out"
    )


class TranscriptionRequest(Source):
    """What is sung, with times; of given lyrics the times alone."""

    language: str | None = Field(None, pattern=r"^[a-z]{2,3}$", description="heard if left out")
    lyrics: Lyrics | None = Field(None, description="the words, whose times are wanted")
    format: Literal["json", "txt", "srt", "lrc"] = "json"


class SearchRequest(Strict):
    """Finished songs of yours that sound like a text, like a sound, or like both."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["text"]}, {"required": ["like"]}]}
    )

    text: Text | None = Field(None, description="what they sound like")
    like: Source | None = None
    count: int = Field(10, ge=1, le=100)

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.like is None and not (self.text or "").strip():
            raise ValueError("give text, like, or both")
        return self


class SongRequest(Strict):
    """A song, or several takes of it: of tags, of a reference, or of both."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["tags"]}, {"required": ["reference"]}]}
    )

    lyrics: Lyrics = Field(description="lines with section markers such as [Verse] between them")
    tags: Tags | SkipJsonSchema[None] = Field(
        None, description="the style, with commas: pop,female,piano"
    )
    length: Seconds | None = Field(None, description="most seconds that the song may have")
    temperature: float = Field(1.0, gt=0, le=10)
    topk: int = Field(50, ge=1, le=100_000)
    cfg_scale: float = Field(1.5, ge=1, le=100)
    steps: int | None = Field(None, ge=1, le=100, description="of the codec's flow matching")
    guidance: float | None = Field(None, ge=1, le=100, description="of the codec's flow matching")
    seed: Seed | None = Field(None, description="of the first take; drawn where it is left out")
    count: int = Field(1, ge=1, le=MOST_SONGS, description="takes, each with the next seed")
    format: Format = "mp3"
    model: str | None = Field(None, max_length=200, description="as GET /v1/models tells")
    extension: Extension | None = None
    reference: Source | None = Field(None, description="a sound whose style to take after")

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.tags is None and self.reference is None:
            raise ValueError("give tags, a reference, or both")
        return self

    def settings(self, seed: int) -> dict[str, Any]:
        """The pipeline's settings for one take."""
        length = None if self.length is None else round(self.length * 1000)
        return {
            "max_audio_length_ms": length,
            "temperature": self.temperature,
            "topk": self.topk,
            "cfg_scale": self.cfg_scale,
            "num_steps": self.steps,
            "guidance_scale": self.guidance,
            "seed": seed,
        }
