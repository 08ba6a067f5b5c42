"""True recordings to measure the measures with: a corpus folder of held-out songs."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heartlib import audio
from heartlib.errors import UsageError
from heartlib.evaluation.truth import Truth

MOST = {"en": 64, "es": 16, "zh": 16, "ja": 16, "ko": 16, "": 16}
"""Songs of each language that are listened to; "" are those without a singer."""


@dataclass(frozen=True)
class TrueSong:
    """One song of a corpus folder. recoded: whether it is to be heard through the codec as well."""

    folder: Path
    name: str
    group: str
    truth: Truth
    recoded: bool

    def mix(self) -> tuple[np.ndarray, int]:
        """The song, float32 [2, n], and its rate."""
        return audio.read(self.folder / "audio" / f"{self.name}.flac")

    def voices(self) -> tuple[np.ndarray, int] | None:
        """Its voices alone, where the folder has them."""
        stems = [
            audio.read(path)
            for part in ("voice", "second")
            if (path := self.folder / "stems" / self.name / f"{part}.flac").is_file()
        ]
        if not stems:
            return None
        length = max(wave.shape[1] for wave, _ in stems)
        padded = [np.pad(wave, ((0, 0), (0, length - wave.shape[1]))) for wave, _ in stems]
        return np.asarray(np.sum(padded, axis=0), np.float32), stems[0][1]


def true_songs(folder: Path, most: int | None = None) -> list[TrueSong]:
    """The first songs of each language in a corpus folder, at most MOST and `most`.

    English ones are to be heard through the codec too. UsageError where it is no corpus folder.
    """
    for part in ("songs.jsonl", "audio", "truth"):
        if not (folder / part).exists():
            raise UsageError(
                f"{folder} is not a corpus folder: it has no {part}; "
                f"make one with `heartlib corpus make --out {folder}`"
            )
    counts: Counter[str] = Counter()
    found: list[TrueSong] = []
    for line in (folder / "songs.jsonl").read_text(encoding="utf-8").splitlines():
        name = json.loads(line)["id"]
        truth = Truth.of_json(json.loads((folder / "truth" / f"{name}.json").read_text()))
        group = truth.language
        if counts[group] < min(MOST.get(group, 0), most or MOST.get(group, 0)):
            counts[group] += 1
            found.append(TrueSong(folder, name, group, truth, group == "en"))
    if not found:
        raise UsageError(f"{folder}/songs.jsonl names no songs")
    return found
