"""What a song's truth says at each 25 Hz latent frame: the phoneme sung and its pitch."""

import json
from pathlib import Path
from typing import Any

import numpy as np

LATENT_RATE = 25.0
SILENCE = "_"
PITCHES = 128  # MIDI numbers; 0 stands for no pitch


def inventory(truths: list[dict[str, Any]]) -> list[str]:
    """The phonemes of these songs, sorted, silence first."""
    return [SILENCE, *sorted({p[0] for t in truths for p in t["phonemes"]} - {SILENCE})]


def frame_labels(spans: list[tuple[int, float, float]], frames: int) -> np.ndarray:
    """(label, start, end) in seconds → the label at the middle of each frame, int16 [frames], 0 elsewhere."""
    labels = np.zeros(frames, np.int16)
    for label, start, end in spans:
        first, last = (max(0, round(t * LATENT_RATE)) for t in (start, end))
        labels[first : max(last, first + 1)] = label
    return labels


def phoneme_frames(truth: dict[str, Any], symbols: list[str], frames: int) -> np.ndarray:
    """Phoneme numbers int16 [frames]; phonemes not in `symbols` count as silence."""
    number = {symbol: i for i, symbol in enumerate(symbols)}
    return frame_labels([(number.get(p, 0), s, e) for p, s, e in truth["phonemes"]], frames)


def pitch_frames(truth: dict[str, Any], frames: int) -> np.ndarray:
    """MIDI pitch of the sung melody int16 [frames], 0 where nobody sings."""
    return frame_labels([(int(p), s, e) for p, s, e in truth["notes"]], frames)


def read_truth(folder: Path, song: str) -> dict[str, Any]:
    """The truth of one song of a corpus folder."""
    return json.loads((folder / "truth" / f"{song}.json").read_text(encoding="utf-8"))
