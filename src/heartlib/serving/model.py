"""The model that is served, as far as requests can be checked without its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heartlib.serving.problems import Problem
from heartlib.serving.requests import SongRequest

if TYPE_CHECKING:
    from heartlib.pipelines.music_generation import HeartMuLaGenPipeline


ROOM_FOR_TAGS = "pop,warm,female,happy,electric piano,medium"
"""As many as may be heard in a reference."""


@dataclass(frozen=True)
class ServedModel:
    """One model: the name that clients call it by, and its tags by category, none where it takes any."""

    name: str
    tags: Mapping[str, list[str]]
    longest: float  # seconds, of a song that asks for no length
    pipe: HeartMuLaGenPipeline

    @classmethod
    def find(cls, model: str, version: str | None) -> ServedModel:
        """Reads what there is beside the weights. CheckpointError where a part is missing."""
        from heartlib import checkpoints
        from heartlib.pipelines.inputs import known_tags
        from heartlib.pipelines.music_generation import HeartMuLaGenPipeline
        from heartlib.pipelines.placement import Placement
        from heartlib.pipelines.settings import LONGEST_MS

        paths = checkpoints.find(model, version)
        pipe = HeartMuLaGenPipeline(paths, Placement.resolve("cpu", None, None))
        name = "nano" if model == "nano" else paths.name
        longest = pipe.gen_config.longest_song_ms or LONGEST_MS
        return cls(name, known_tags(paths.root), min(longest, LONGEST_MS) / 1000, pipe)

    def check(self, request: SongRequest) -> tuple[str, str]:
        """Lyrics and tags as they are sung; UsageError where this model cannot sing them."""
        from heartlib.pipelines.inputs import check_lyrics, check_tags
        from heartlib.pipelines.settings import GenerationSettings

        if request.model not in (None, self.name, self.pipe.paths.name):
            raise Problem(422, f"there is no model {request.model!r}; this server has {self.name}")
        lyrics = check_lyrics(request.lyrics)
        asked = request.tags or ""
        tags = check_tags(asked, self.pipe.paths.root, optional=request.reference is not None)
        told = tags or ROOM_FOR_TAGS
        self.pipe.prepare(lyrics, told, GenerationSettings(**request.settings(0)))
        return lyrics, tags
