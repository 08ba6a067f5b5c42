"""Listen to a song: which of its words are understood, and how near it is to its tags.

n: samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from heartlib import audio, checkpoints
from heartlib.errors import CheckpointError, HeartlibError
from heartlib.evaluation.adherence import Adherence, adherence, finest_unit, language_of, sections
from heartlib.heartclap import HeartCLAP
from heartlib.heartclap.index import clap_folder
from heartlib.hearttranscriptor import HeartTranscriptor
from heartlib.hearttranscriptor.modeling_hearttranscriptor import quiet_transformers
from heartlib.hearttranscriptor.windows import RATE, windows
from heartlib.hearttranscriptor.word_times import Word, words
from heartlib.pipelines.lyrics_transcription import UNSPACED

TAGS_WEIGHT = 0.1
"""What a similarity of 1 is worth in errors: 0.1 nearer to the tags makes up for 1 % of the phonemes."""
EXTRAS = {"transformers": "transcribe", "jiwer": "evaluation"}


@dataclass(frozen=True)
class SongScore:
    """What was heard of a song.

    lyrics: None where it has no words to sing, as are `text`, what the recogniser wrote, and
    `language`. tags: the cosine between the song and its tags; None without tags.
    """

    lyrics: Adherence | None
    tags: float | None
    text: str | None = None
    language: str | None = None

    @property
    def value(self) -> float:
        """One number, lower is better: errors a symbol, less TAGS_WEIGHT times the similarity."""
        errors = self.lyrics.whole.rate if self.lyrics else 0.0
        return errors - TAGS_WEIGHT * (self.tags or 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON and for a file's tags."""
        told: dict[str, Any] = {"score": round(self.value, 4)}
        if self.lyrics:
            told["lyrics_error"] = round(self.lyrics.whole.rate, 4)
            told["unit"] = self.lyrics.unit
            told["language"] = self.language
        if self.tags is not None:
            told["tag_similarity"] = round(self.tags, 4)
        return told


@dataclass(frozen=True)
class Hearing:
    """The words that were heard of a song, as `text` and with their times, and the lyrics' errors."""

    lyrics: Adherence
    text: str
    words: tuple[Word, ...]


def transcriptor_of(family: Path) -> Path:
    """The HeartTranscriptor folder of a family, else nano's."""
    try:
        return checkpoints.find_transcriptor(family)
    except CheckpointError:
        return checkpoints.find_transcriptor("nano")


def check_extras() -> None:
    """HeartlibError, with what to install, where a package is missing that listening to words needs."""
    missing = [name for name in EXTRAS if find_spec(name) is None]
    if missing:
        extras = ",".join(EXTRAS[name] for name in missing)
        raise HeartlibError(
            f"listening to lyrics needs {' and '.join(missing)}: pip install 'heartlib[{extras}]'"
        )


class Listeners:
    """A HeartCLAP, and a HeartTranscriptor that is loaded when there are words to hear.

    root: "nano" or a family's folder; what that lacks is taken from nano. transcriptor: the folder of another
    HeartTranscriptor. CheckpointError where root is no folder, or HeartCLAP cannot be loaded.
    """

    def __init__(
        self,
        root: str | Path = "nano",
        device: torch.device | str = "cpu",
        transcriptor: Path | None = None,
    ) -> None:
        self.device = device
        family = checkpoints.NANO if str(root) == "nano" else Path(root).expanduser()
        if not family.is_dir():
            raise CheckpointError(f"no checkpoint folder at {str(root)!r}; give a folder or 'nano'")
        self.transcriptor_folder = transcriptor or transcriptor_of(family)
        clap = family / "HeartCLAP-oss"
        self.clap_folder = clap_folder(clap if clap.is_dir() else "nano")
        self.clap = HeartCLAP.from_pretrained(self.clap_folder, device)

    @cached_property
    def transcriptor(self) -> HeartTranscriptor:
        quiet_transformers()
        return HeartTranscriptor.from_pretrained(self.transcriptor_folder, self.device)

    def prepare(self, lyrics: str, language: str | None = None) -> str | None:
        """The language of lyrics, None where they have no words to sing; loads what will be needed.

        language: None guesses it. UsageError for one that the recogniser was not taught,
        HeartlibError where an extra is missing.
        """
        language = language or language_of(lyrics)
        if not sections(lyrics, language):
            return None
        check_extras()
        self.transcriptor.check_language(language)
        return language

    def __call__(
        self, wave: np.ndarray, rate: int, lyrics: str, tags: str, language: str | None = None
    ) -> SongScore:
        """Score a song, float32 [channels, n]. Raises as `prepare`."""
        language = self.prepare(lyrics, language)
        likeness = self._likeness(wave, rate, tags) if tags.strip(" ,\n") else None
        if language is None:
            return SongScore(None, likeness)
        mono = audio.resample(wave, rate, RATE).mean(axis=0)
        text = self.transcriptor.transcribe(
            np.ascontiguousarray(mono, np.float32), language=language
        )
        kept = adherence(lyrics, text, language, finest_unit(language))
        return SongScore(kept, likeness, text, language)

    def hear(self, wave: np.ndarray, rate: int, lyrics: str, language: str) -> Hearing:
        """The words of a song, float32 [channels, n], when each is sung, and the errors that `__call__` counts.

        lyrics: with words, language: told to the recogniser, both as `prepare` has checked them.
        """
        mono = np.ascontiguousarray(audio.resample(wave, rate, RATE).mean(axis=0), np.float32)
        spans = windows(mono)
        texts = [
            self.transcriptor.transcribe(mono[start:end], language=language) for start, end in spans
        ]
        spaced = language not in UNSPACED or any(" " in text for text in texts)
        timed: list[Word] = []
        for (start, end), text in zip(spans, texts, strict=True):
            if text and self.transcriptor.fits(text):
                pieces = self.transcriptor.follow([mono[start:end]], [text], language)[0]
                timed += [
                    Word(word.text, word.start + start / RATE, word.end + start / RATE)
                    for word in words(pieces, spaced=spaced)
                ]
        text = " ".join(text for text in texts if text)
        return Hearing(adherence(lyrics, text, language, finest_unit(language)), text, tuple(timed))

    def _likeness(self, wave: np.ndarray, rate: int, tags: str) -> float:
        """The cosine of a song and its tags, told as HeartCLAP learned them: parted by ", "."""
        told = ", ".join(tag.strip() for tag in tags.replace("\n", ",").split(",") if tag.strip())
        place = self.clap.embed_audio(wave, rate)
        return float((self.clap.embed_text([told])[0] @ place).float())
