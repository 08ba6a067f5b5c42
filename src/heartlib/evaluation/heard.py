"""What one song showed, to whoever writes the table or the report."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from heartlib.evaluation.measures import SongMeasures
from heartlib.evaluation.truth import Truth

SUNG, MIX, VOICE, CODEC = "sung", "mix", "voice", "codec"
"""By the model; a true song as it is, its voices alone, and the song through the codec."""


@dataclass(frozen=True)
class Heard:
    """One way of hearing one song.

    source: SUNG, MIX, VOICE or CODEC. group: the set, of true songs their language ("" where nobody
    sings). text: what the recogniser wrote. ended: whether a model's song came to its end by
    itself. mel_distance: decibels from the true song. likest: of each category the tag whose
    text is nearest, by HeartCLAP; place: where the song is among texts, a unit vector.
    """

    source: str
    group: str
    name: str
    truth: Truth | None = None
    measures: SongMeasures | None = None
    text: str | None = None
    ended: bool | None = None
    mel_distance: float | None = None
    likest: dict[str, str] | None = None
    place: np.ndarray | None = None

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: what was measured, and the truth that it is held against."""
        told: dict[str, Any] = {"source": self.source, "group": self.group, "name": self.name}
        if self.truth:
            told |= {
                "language": self.truth.language,
                "expected_duration": round(self.truth.duration, 2),
                "words": " ".join(self.truth.words),
                "tags": self.truth.tags,
                "mode": self.truth.mode,
            }
        for name in ("text", "ended", "mel_distance", "likest"):
            if getattr(self, name) is not None:
                told[name] = getattr(self, name)
        if self.measures:
            told["measures"] = self.measures.to_dict()
        return told
