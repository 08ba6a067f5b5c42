"""Text in, audio out: the models put together."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heartlib.pipelines.best_of import Best, Take, Takes
    from heartlib.pipelines.listening import Listeners, SongScore
    from heartlib.pipelines.lyrics_transcription import HeartTranscriptorPipeline
    from heartlib.pipelines.music_generation import HeartMuLaGenPipeline
    from heartlib.pipelines.repair import Repaired, Repairs
    from heartlib.pipelines.settings import GenerationSettings
    from heartlib.pipelines.song import Song
    from heartlib.pipelines.streaming import SongStream
    from heartlib.pipelines.transcription import Transcription

__all__ = [
    "Best",
    "GenerationSettings",
    "HeartMuLaGenPipeline",
    "HeartTranscriptorPipeline",
    "Listeners",
    "Repaired",
    "Repairs",
    "Song",
    "SongScore",
    "SongStream",
    "Take",
    "Takes",
    "Transcription",
]

_LAZY = {
    "Best": "best_of",
    "GenerationSettings": "settings",
    "HeartMuLaGenPipeline": "music_generation",
    "HeartTranscriptorPipeline": "lyrics_transcription",
    "Listeners": "listening",
    "Repaired": "repair",
    "Repairs": "repair",
    "Song": "song",
    "SongScore": "listening",
    "SongStream": "streaming",
    "Take": "best_of",
    "Takes": "best_of",
    "Transcription": "transcription",
}


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(import_module(f"heartlib.pipelines.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'heartlib.pipelines' has no attribute {name!r}")
