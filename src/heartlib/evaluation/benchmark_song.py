"""One song of a benchmark: sung once, heard, and what was heard of it kept beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from heartlib.evaluation.alignment import Count
from heartlib.evaluation.benchmark_file import item_of
from heartlib.evaluation.examiner import Setup
from heartlib.evaluation.pieces import Piece
from heartlib.evaluation.singing import sing, song_file
from heartlib.evaluation.song_report import SongReport, Wanted, report
from heartlib.outputs import write_text
from heartlib.pipelines import HeartMuLaGenPipeline
from heartlib.pipelines.listening import Listeners
from heartlib.pipelines.placement import parse_device


@dataclass(frozen=True)
class SongResult:
    """What one song showed.

    units: errors of the lyrics in phonemes, words and characters, as far as they are counted; none
    without words. sections: each section that has words, in order, in the finest unit. text: what the
    recogniser wrote. tags: cosine to the tags. measures: those of `SongMeasures`. aesthetics: by
    axis, None where the package was not there.
    """

    item: str
    name: str
    language: str
    seed: int
    units: dict[str, Count]
    sections: tuple[tuple[str, Count], ...]
    text: str | None
    tags: float | None
    ended: bool | None
    measures: dict[str, Any]
    aesthetics: dict[str, float] | None = None

    @classmethod
    def of(cls, piece: Piece, found: SongReport) -> SongResult:
        """From what was heard of a piece, whose set is its language."""
        return cls(
            item=item_of(piece),
            name=piece.name,
            language=piece.group,
            seed=piece.seed,
            units={unit: kept.whole for unit, kept in found.units.items()},
            sections=found.score.lyrics.parts if found.score.lyrics else (),
            text=found.score.text,
            tags=found.score.tags,
            ended=found.ended,
            measures=found.measures.to_dict(),
        )

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; a count is [errors, symbols]."""
        return self.__dict__ | {
            "units": {unit: [count.errors, count.phonemes] for unit, count in self.units.items()},
            "sections": [[name, count.errors, count.phonemes] for name, count in self.sections],
        }

    @classmethod
    def of_dict(cls, data: Mapping[str, Any]) -> SongResult:
        """What `to_dict` made. TypeError, KeyError or ValueError for another."""
        units = {unit: Count(*count) for unit, count in data["units"].items()}
        sections = tuple((name, Count(errors, of)) for name, errors, of in data["sections"])
        return cls(**{**data, "units": units, "sections": sections})


class Judge:
    """Sings a piece where it is not there yet, and listens; loads each model when it is first needed.

    root: the family whose HeartTranscriptor and HeartCLAP listen; what it lacks is nano's, and
    `setup.transcriptor` comes before both.
    """

    def __init__(self, setup: Setup, root: Path) -> None:
        self.setup, self.root = setup, root

    @cached_property
    def pipe(self) -> HeartMuLaGenPipeline:
        return self.setup.pipeline()

    @cached_property
    def listeners(self) -> Listeners:
        return Listeners(self.root, parse_device(self.setup.device), self.setup.transcriptor)

    def __call__(self, piece: Piece) -> SongResult:
        """What is heard of a piece's song. Raises as `sing` and `report`."""
        path = song_file(self.setup.songs, piece.name)
        if not path.is_file():
            sing(self.pipe, piece, self.setup.songs)
        wanted = Wanted(piece.lyrics, piece.tags, round(piece.length * 1000))
        return SongResult.of(piece, report(path, self.listeners, wanted, piece.group))


class Kept:
    """The results beside the songs of a folder, as long as these songs and those who hear them are the same.

    by: who listens, ready for JSON.
    """

    def __init__(self, folder: Path, by: Mapping[str, Any]) -> None:
        self.folder, self.by = folder, dict(by)

    def read(self, piece: Piece) -> SongResult | None:
        """What was found for a piece's song; None where nothing was, or it may be another now."""
        try:
            data = json.loads(self._file(piece.name).read_text(encoding="utf-8"))
            if data["by"] != self.by or data["song"] != self._song(piece.name):
                return None
            found = SongResult.of_dict(data["result"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return found if found.language == piece.group else None

    def write(self, found: SongResult) -> None:
        """Keep a result. HeartlibError where it cannot be written."""
        data = {"by": self.by, "song": self._song(found.name), "result": found.to_dict()}
        text = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
        write_text(self._file(found.name), text, overwrite=True)

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _song(self, name: str) -> str:
        return hashlib.sha256(song_file(self.folder, name).read_bytes()).hexdigest()[:16]


def with_aesthetics(found: SongResult, scores: dict[str, float]) -> SongResult:
    """The same result with the four scores."""
    return replace(found, aesthetics=scores)
