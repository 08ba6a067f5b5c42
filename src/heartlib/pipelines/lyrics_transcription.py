"""A song in, its words with their times out: file, windows, pieces of text, words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from itertools import accumulate, chain, islice
from pathlib import Path

import numpy as np
import torch

from heartlib import audio, checkpoints
from heartlib.errors import UsageError
from heartlib.hearttranscriptor import HeartTranscriptor
from heartlib.hearttranscriptor.given_words import spoken, sung_lines, words_of
from heartlib.hearttranscriptor.modeling_hearttranscriptor import Decoding, quiet_transformers
from heartlib.hearttranscriptor.windows import RATE, cut
from heartlib.hearttranscriptor.word_times import Word, words
from heartlib.pipelines.given_lyrics import SILENT, Follower
from heartlib.pipelines.placement import Device, Dtype, parse_device, parse_dtype
from heartlib.pipelines.transcription import Transcription

BATCH = 16  # windows; on the CPU one after another, which takes no longer
ASKED = 4  # windows that tell the language
UNSPACED = ("zh", "ja", "yue", "th", "lo", "my", "km", "bo")  # written without spaces

Window = tuple[int, np.ndarray]  # first sample, samples
Progress = Callable[[float, float], None]


class HeartTranscriptorPipeline:
    """A HeartTranscriptor and the folder that it comes from."""

    def __init__(self, model: HeartTranscriptor, folder: Path) -> None:
        self.model, self.folder = model, folder
        self.batch = 1 if model.model.device.type == "cpu" else BATCH  # windows

    @classmethod
    def from_pretrained(
        cls, path: str | Path = "nano", device: Device = None, dtype: Dtype = None
    ) -> HeartTranscriptorPipeline:
        """Find a transcriptor ("nano", its folder or a family's folder) and load it.

        transformers' own bars and warnings are turned off. device None: CUDA where there is one; dtype None: float32. Raises CheckpointError for what is missing or
        damaged, HeartlibError for a missing device or without transformers.
        """
        folder = checkpoints.find_transcriptor(path)
        quiet_transformers()
        model = HeartTranscriptor.from_pretrained(
            folder, parse_device(device), parse_dtype(dtype) or torch.float32
        )
        return cls(model, folder)

    @cached_property
    def name(self) -> dict[str, str]:
        """What the model is called, and 12 hex digits that name its weights."""
        where = "nano" if self.folder.parent == checkpoints.NANO else self.folder.resolve().name
        return {"name": where, "hash": checkpoints.weights_hash(self.folder)}

    def __call__(
        self,
        song: str | Path | np.ndarray,
        *,
        language: str | None = None,
        decoding: Decoding | None = None,
        progress: Progress | None = None,
    ) -> Transcription:
        """The words of a sound file, or of a 16 kHz waveform, float32 [n], with their times.

        language: None for the likeliest by the first four windows that are not silent. progress(seconds done,
        seconds in all). Raises UsageError for a missing file or an unknown language, HeartlibError
        for what is not sound.
        """
        told = language
        if told is not None:
            self.model.check_language(told)
        blocks, duration = _blocks(song)
        heard: list[list[Word]] = []  # by window
        end = 0.0
        if progress is not None:
            progress(end, duration)

        def sounding() -> Iterator[Window]:
            nonlocal end
            for first, wave in cut(blocks):
                end = (first + len(wave)) / RATE
                if np.abs(wave).max() >= SILENT:
                    yield first, wave

        windows = sounding()
        if language is None:
            begin = list(islice(windows, ASKED))
            language, windows = self._detect([wave for _, wave in begin]), chain(begin, windows)
        for batch in _batches(windows, self.batch):
            found = self.model.listen([wave for _, wave in batch], language, decoding)
            heard += [
                [_later(piece, first / RATE) for piece in pieces]
                for (first, _), pieces in zip(batch, found, strict=True)
            ]
            if progress is not None:
                first, wave = batch[-1]
                progress((first + len(wave)) / RATE, max(end, duration))
        texts = ["".join(piece.text for piece in pieces).strip() for pieces in heard]
        spaced = language not in UNSPACED or any(" " in text for text in texts)
        return Transcription(
            words=tuple(word for pieces in heard for word in words(pieces, spaced=spaced)),
            language=(language if any(texts) else told) or "",
            duration=end,
            spaced=spaced,
            model=self.name,
        )

    def align(
        self,
        song: str | Path | np.ndarray,
        lyrics: str,
        *,
        language: str | None = None,
        progress: Progress | None = None,
    ) -> Transcription:
        """The given words of a song with their times, line by line as in `lyrics`; none is left out.

        The song is heard first, which tells the window that each word is sung in; then the decoder
        is given the words of each window, and its attention tells when. Section markers are not
        sung. Raises as `__call__`, and UsageError for lyrics without words and for a silent song.
        """
        lines = sung_lines(lyrics)
        wave = np.concatenate([np.zeros(0, np.float32), *_blocks(song)[0]])
        heard = self(wave, language=language, progress=progress)
        sounding = [part for _, part in cut([wave]) if np.abs(part).max() >= SILENT]
        if not sounding:
            raise UsageError("the song is silent, so that its words have no times")
        language = heard.language or self._detect(sounding[:ASKED])
        spaced = language not in UNSPACED or any(" " in line for line in lines)
        by_line = [words_of(line, spaced=spaced) for line in lines]
        given = list(chain.from_iterable(by_line))
        follower = Follower(self.model, language, spaced, spoken(heard.text) == heard.text)
        return Transcription(
            words=tuple(follower.times(given, heard.words, wave, self.batch)),
            language=language,
            duration=heard.duration,
            spaced=spaced,
            model=self.name,
            ends=tuple(accumulate(map(len, by_line))),
        )

    def _detect(self, waves: list[np.ndarray]) -> str:
        return self.model.detect_language(waves) if waves and self.model.languages else "en"


def _blocks(song: str | Path | np.ndarray) -> tuple[Iterable[np.ndarray], float]:
    """A song at 16 kHz, block by block, and its seconds."""
    if not isinstance(song, np.ndarray):
        return audio.mono_blocks(song, RATE), audio.duration(song)
    if song.ndim != 1 or not np.isfinite(song).all():
        raise UsageError("a waveform is finite numbers [n], one channel at 16 kHz")
    return [np.asarray(song, np.float32)], len(song) / RATE


def _batches(windows: Iterable[Window], size: int) -> Iterator[list[Window]]:
    windows = iter(windows)
    while batch := list(islice(windows, size)):
        yield batch


def _later(piece: Word, seconds: float) -> Word:
    return Word(piece.text, piece.start + seconds, piece.end + seconds)
