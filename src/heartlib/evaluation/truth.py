"""What is true about a song of the corpus, as far as evaluation asks: from its score or its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from heartlib.corpus.score import Score

INSTRUMENTAL = 8.0
"""Seconds without a line that a listener would call instrumental."""


@dataclass(frozen=True)
class Part:
    """A section: its marker's name, seconds, and the words that are sung in it."""

    name: str
    start: float
    end: float
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Truth:
    """One song. language "" where nobody sings; facts: each category of tags and its value."""

    seed: int
    language: str
    duration: float
    tempo: float
    key: str
    mode: str
    facts: tuple[tuple[str, str], ...]
    parts: tuple[Part, ...]

    @classmethod
    def of_score(cls, score: Score) -> Truth:
        """What will be true of a composed song when it is sung."""
        style = score.style
        return cls(
            seed=score.seed,
            language=style.language if score.words else "",
            duration=score.duration,
            tempo=score.tempo,
            key=score.key,
            mode=score.mode,
            facts=(
                ("genre", style.genre),
                ("timbre", style.timbre),
                ("singer", style.singer),
                ("mood", style.mood),
                ("instrument", style.instrument),
                ("tempo", style.tempo_class),
            ),
            parts=tuple(
                Part(part.name, part.start, part.end, tuple(" ".join(part.lines).split()))
                for part in score.sections
            ),
        )

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Truth:
        """From truth/ID.json of a corpus folder; a word belongs where most of it is sung."""
        words = [(0.5 * (word["start"] + word["end"]), word["word"]) for word in data["words"]]
        parts = []
        for section in data["sections"]:
            start, end = section["start"], section["end"]
            inside = tuple(word for middle, word in words if start <= middle < end)
            parts.append(Part(section["name"], start, end, inside))
        return cls(
            seed=data["seed"],
            language=data["language"] if words else "",
            duration=data["duration"],
            tempo=data["tempo"],
            key=data["key"],
            mode=data["mode"],
            facts=(
                ("genre", data["genre"]),
                ("timbre", data["timbre"]),
                ("singer", data["singer"]),
                ("mood", data["mood"]),
                ("instrument", data["main_instrument"]),
                ("tempo", data["tempo_class"]),
            ),
            parts=tuple(parts),
        )

    @property
    def tags(self) -> dict[str, str]:
        """Of every category the tag that is true; of the singer `instrumental` where nobody sings."""
        found = dict(self.facts)
        if found["singer"] == "none":
            return found | {"timbre": "none", "singer": "instrumental"}
        return found

    @property
    def words(self) -> list[str]:
        """Every word in the order of singing."""
        return [word for part in self.parts for word in part.words]

    @property
    def told(self) -> str:
        """Every tag, in the order in which the corpus tells them."""
        return ",".join(tag for tag in self.tags.values() if tag != "none")

    @property
    def instrumental(self) -> float:
        """Seconds of long stretches without lines: of sections of 8 s and more that are not sung."""
        lengths = [part.end - part.start for part in self.parts if not part.words]
        return sum(length for length in lengths if length >= INSTRUMENTAL)
