"""The fitted classifiers, and how often they were right on songs with a known truth."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from heartlib.errors import HeartlibError
from heartlib.evaluation.linear import Choice, Classifier
from heartlib.evaluation.perceptron import Perceptron

FILE = Path(__file__).with_name("judges.json")


@dataclass(frozen=True)
class Judges:
    """voice, singer, instrument: classes. tempo, key: a choice among candidates.

    made: what they were fitted on. calibration: rate right on held-out true songs, by name.
    """

    voice: Classifier
    singer: Classifier
    instrument: Perceptron
    tempo: Choice
    key: Choice
    made: dict[str, Any]
    calibration: dict[str, float]

    def save(self, path: str | Path) -> None:
        """Writes them as JSON."""
        data: dict[str, Any] = {"made": self.made, "calibration": self.calibration}
        for name in ("voice", "singer", "instrument", "tempo", "key"):
            data[name] = getattr(self, name).to_dict()
        lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(data[key])}" for key in data)
        Path(path).write_text(f"{{\n{lines}\n}}\n")

    @classmethod
    def load(cls, path: str | Path = FILE) -> "Judges":
        """Reads what `save` wrote; HeartlibError where that is missing or damaged."""
        try:
            data = json.loads(Path(path).read_text())
            return cls(
                voice=Classifier.from_dict(data["voice"]),
                singer=Classifier.from_dict(data["singer"]),
                instrument=Perceptron.from_dict(data["instrument"]),
                tempo=Choice.from_dict(data["tempo"]),
                key=Choice.from_dict(data["key"]),
                made=data["made"],
                calibration=data["calibration"],
            )
        except FileNotFoundError:
            raise HeartlibError(
                f"there is no {path}: fit it with `python -m heartlib.evaluation.fit --data CORPUS`"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise HeartlibError(f"{path} is damaged: {error!r}") from error


@cache
def shipped() -> Judges:
    """The judges that come with heartlib."""
    return Judges.load()
