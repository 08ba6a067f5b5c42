"""One process's models and judges: sings a piece or takes a true song, and says what it hears."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from heartlib import audio
from heartlib.evaluation.codec import RoundTrip, mel_distance
from heartlib.evaluation.heard import CODEC, MIX, SUNG, VOICE, Heard
from heartlib.evaluation.likeness import Likeness
from heartlib.evaluation.measures import RATE, measure
from heartlib.evaluation.pieces import Piece
from heartlib.evaluation.singing import ended, sing
from heartlib.evaluation.true_songs import TrueSong
from heartlib.heartcodec import HeartCodec
from heartlib.hearttranscriptor import HeartTranscriptor
from heartlib.hearttranscriptor.modeling_hearttranscriptor import quiet_transformers
from heartlib.hearttranscriptor.windows import RATE as HEARING_RATE
from heartlib.pipelines import HeartMuLaGenPipeline
from heartlib.pipelines.placement import parse_device


@dataclass(frozen=True)
class Setup:
    """What an examiner loads. songs: where the model's songs are kept, with their `codes` or not; the other
    folders None: without. quantization: of the language model, None for none."""

    model: str
    version: str | None
    device: str | None
    dtype: str | None
    songs: Path
    transcriptor: Path | None = None
    clap: Path | None = None
    encoder: Path | None = None
    codes: bool = False
    quantization: str | None = None

    def pipeline(self, lazy_load: bool = False) -> HeartMuLaGenPipeline:
        """The model that sings. Raises as `HeartMuLaGenPipeline.from_pretrained`."""
        return HeartMuLaGenPipeline.from_pretrained(
            self.model,
            device=self.device,
            dtype=self.dtype,
            version=self.version,
            lazy_load=lazy_load,
            quantization=self.quantization,
        )


class Examiner:
    """Loads each model when it is first needed."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def __call__(self, song: Piece | TrueSong) -> list[Heard]:
        """Every way of hearing a song. Raises as `sing` does."""
        return [self._sung(song)] if isinstance(song, Piece) else self._true(song)

    @cached_property
    def pipe(self) -> HeartMuLaGenPipeline:
        return self.setup.pipeline()

    @cached_property
    def transcriptor(self) -> HeartTranscriptor | None:
        folder = self.setup.transcriptor
        if folder is None:
            return None
        quiet_transformers()
        return HeartTranscriptor.from_pretrained(folder, device=parse_device(self.setup.device))

    @cached_property
    def likeness(self) -> Likeness | None:
        folder = self.setup.clap
        device = parse_device(self.setup.device)
        return Likeness.from_pretrained(folder, device) if folder else None

    @cached_property
    def round_trip(self) -> RoundTrip | None:
        if self.setup.encoder is None:
            return None
        codec = self.pipe.codec or HeartCodec.from_pretrained(
            self.pipe.paths.codec, device=self.pipe.placement.codec_device
        )
        return RoundTrip.from_pretrained(self.setup.encoder, codec)

    def _sung(self, piece: Piece) -> Heard:
        path = sing(self.pipe, piece, self.setup.songs, self.setup.codes)
        wave, rate = audio.read(path)
        measures = measure(wave, rate)
        language = piece.truth.language if piece.truth else ""
        likest, place = self._like(wave, rate)
        return Heard(
            source=SUNG,
            group=piece.group,
            name=piece.name,
            truth=piece.truth,
            measures=measures,
            text=self._write(wave, rate, language),
            ended=ended(path, measures.duration),
            likest=likest,
            place=place,
        )

    def _true(self, song: TrueSong) -> list[Heard]:
        wave, rate = song.mix()
        language = song.truth.language
        likest, place = self._like(wave, rate)
        found = [
            Heard(
                source=MIX,
                group=song.group,
                name=song.name,
                truth=song.truth,
                measures=measure(wave, rate),
                text=self._write(wave, rate, language),
                likest=likest,
                place=place,
            )
        ]
        voices = song.voices() if self.transcriptor and language else None
        if voices:
            text = self._write(*voices, language)
            found.append(Heard(VOICE, song.group, song.name, song.truth, text=text))
        if song.recoded and self.round_trip:
            wave = wave if rate == RATE else audio.resample(wave, rate, RATE)
            made = self.round_trip(wave, seed=song.truth.seed)
            found.append(
                Heard(
                    source=CODEC,
                    group=song.group,
                    name=song.name,
                    truth=song.truth,
                    measures=measure(made, RATE),
                    text=self._write(made, RATE, language),
                    mel_distance=mel_distance(made, wave),
                )
            )
        return found

    def _write(self, wave: np.ndarray, rate: int, language: str) -> str | None:
        """What the recogniser hears; None without one, without words, or in a language that it was not taught."""
        hearer = self.transcriptor
        if hearer is None or not language:
            return None
        if hearer.languages and language not in hearer.languages:
            return None
        mono = audio.resample(wave, rate, HEARING_RATE).mean(axis=0)
        return hearer.transcribe(np.ascontiguousarray(mono, np.float32), language=language)

    def _like(self, wave: np.ndarray, rate: int) -> tuple[dict[str, str] | None, np.ndarray | None]:
        return self.likeness(wave, rate) if self.likeness else (None, None)
