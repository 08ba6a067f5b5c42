"""What a song is like, in HeartCLAP's space: the nearest tag of each category, and retrieval by text.

N songs, D the space's width.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from heartlib.corpus.styles import tags_by_category
from heartlib.heartclap import HeartCLAP
from heartlib.heartclap.descriptions import NAMES, describe


class Likeness:
    """A HeartCLAP and the places of all tags in it."""

    def __init__(self, model: HeartCLAP) -> None:
        self.model = model
        self.tags = tags_by_category()
        self.places = {
            name: model.embed_text([f"{tag}" for tag in tags]) for name, tags in self.tags.items()
        }

    @classmethod
    def from_pretrained(cls, folder: Path, device: torch.device) -> Likeness:
        """Loads a `HeartCLAP-oss` folder. CheckpointError where it is none."""
        return cls(HeartCLAP.from_pretrained(folder, device=device))

    def __call__(self, wave: np.ndarray, rate: int) -> tuple[dict[str, str], np.ndarray]:
        """A song [2, n] -> of each category the tag whose text is nearest, and the song's place [D]."""
        place = self.model.embed_audio(wave, rate)
        likest = {
            name: self.tags[name][int((texts @ place).argmax())]
            for name, texts in self.places.items()
        }
        return likest, place.float().cpu().numpy()


def recall(
    model: HeartCLAP, known: Sequence[dict[str, str]], songs: np.ndarray, most: Sequence[int]
) -> list[float]:
    """Text -> audio: how often a song [N, D] is among the `most` nearest to what is said of it.

    known: each song's facts by category, with its language.
    """
    rng = random.Random(0)
    facts = [{name: NAMES.get(value, value) for name, value in row.items()} for row in known]
    texts = model.embed_text([describe(row, rng, 0.0) for row in facts]).float().cpu().numpy()
    nearest = (-(texts @ songs.T)).argsort(axis=1, kind="stable")
    rank = (nearest == np.arange(len(songs))[:, None]).argmax(axis=1)
    return [float(np.mean(rank < count)) for count in most]
