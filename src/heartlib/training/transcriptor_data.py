"""Songs as the transcriptor's recipe hears them: log-mel frames, words and phonemes with their times.

Legend: B crops, F mel frames of 10 ms, W = 3000 of them in a window of 30 s, L tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from tokenizers import Tokenizer
from torch import Tensor

from heartlib.audio.resampling import resample
from heartlib.errors import HeartlibError
from heartlib.training.alignment import read_truth
from heartlib.training.corpus_audio import read_songs

RATE, HOP, N_FFT, MELS = 16000, 160, 400, 80
FRAME_RATE = 100  # mel frames a second; the encoder has half as many
WINDOW = 3000
FLOOR = -10.0  # log10 of the least power


@dataclass(frozen=True)
class Lyrics:
    """Where a song is among the frames, its words' times and their tokens."""

    first: int
    frames: int
    starts: np.ndarray  # seconds
    ends: np.ndarray
    tokens: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Recordings:
    """Songs end to end: log10 mel power float16 [F, 80] and phonemes int16 [F] on the device.

    Where the corpus has stems of the voices, `band` is what plays along, else None: then the voices
    are in `mel` alone, and any band can be put behind them.
    """

    mel: Tensor
    band: Tensor | None
    phonemes: Tensor
    songs: list[Lyrics]

    @property
    def hours(self) -> float:
        return len(self.mel) / FRAME_RATE / 3600

    @classmethod
    def load(
        cls,
        folder: Path,
        ids: list[str],
        symbols: list[str],
        tokenizer: Tokenizer,
        filters: Tensor,
    ) -> Recordings:
        """Read the songs, mixed down to one channel; `filters` [201, 80] on the device."""
        mels, bands, phonemes, songs, first = [], [], [], [], 0
        number = {symbol: i for i, symbol in enumerate(symbols)}
        for name, wave in read_songs(folder, ids, 48000, "songs"):
            mono = [wave.mean(0).numpy()]
            truth = read_truth(folder, name)
            if (folder / "stems" / name).is_dir():
                check_stems(folder / "stems" / name, truth)
                voices = sung_alone(folder / "stems" / name, len(mono[0]))
                mono = [voices, mono[0] - voices]
            low = torch.from_numpy(resample(np.stack(mono), 48000, RATE)).to(filters)
            for part, rows in zip((mels, bands), low, strict=False):
                part.append(log_mel(rows, filters).half())
            frames = len(mels[-1])
            labels = np.zeros(frames, np.int16)
            for symbol, start, end in truth["phonemes"]:
                labels[round(start * FRAME_RATE) : round(end * FRAME_RATE)] = number.get(symbol, 0)
            phonemes.append(torch.from_numpy(labels))
            words = truth["words"]
            songs.append(
                Lyrics(
                    first,
                    frames,
                    np.array([word["start"] for word in words]),
                    np.array([word["end"] for word in words]),
                    tuple(tuple(tokenizer.encode(word["word"].lower()).ids) for word in words),
                )
            )
            first += frames
        if bands and len(bands) < len(mels):
            raise HeartlibError(f"some songs of {folder} have stems and some do not: make them all")
        band = torch.cat(bands) if bands else None
        return cls(torch.cat(mels), band, torch.cat(phonemes).to(filters.device), songs)

    @classmethod
    def join(cls, parts: list[Recordings]) -> Recordings:
        """Several corpora, one behind the other."""
        songs, first = list[Lyrics](), 0
        for part in parts:
            songs += [replace(song, first=song.first + first) for song in part.songs]
            first += len(part.mel)
        bands = [part.band for part in parts if part.band is not None]
        if 0 < len(bands) < len(parts):
            raise HeartlibError("some corpora have stems of their songs and some do not")
        return cls(
            torch.cat([part.mel for part in parts]),
            torch.cat(bands) if bands else None,
            torch.cat([part.phonemes for part in parts]),
            songs,
        )


def check_stems(folder: Path, truth: dict[str, Any]) -> None:
    """HeartlibError where the stems of a song lack a voice that it has."""
    wanted = {"voice": truth["words"], "second": truth.get("doubled")}
    for part, sung in wanted.items():
        if sung and not (folder / f"{part}.flac").is_file():
            raise HeartlibError(
                f"{folder} has no {part}.flac: make the corpus with --stems voice second"
            )


def sung_alone(folder: Path, length: int) -> np.ndarray:
    """The voices of a song's stems together, float32 [length]; silence where nobody sings."""
    voices = np.zeros(length, np.float32)
    for part in ("voice", "second"):
        if (folder / f"{part}.flac").is_file():
            voices += soundfile.read(folder / f"{part}.flac", dtype="float32")[0].mean(1)[:length]
    return voices


def log_mel(wave: Tensor, filters: Tensor) -> Tensor:
    """A 16 kHz waveform [n] → log10 mel power [n // 160, 80], as Whisper's features before scaling."""
    window = torch.hann_window(N_FFT, device=wave.device)
    spectrum = torch.stft(wave, N_FFT, HOP, window=window, return_complex=True)
    power = spectrum[:, :-1].abs().square()  # [201, F]
    return (power.T @ filters).clamp_min(1e-10).log10()


def scaled(mel: Tensor) -> Tensor:
    """Log10 mel power [B, W, 80] → Whisper's input [B, 80, W]: 80 dB below the loudest, about −1 to 1."""
    loudest = mel.amax((1, 2), keepdim=True)
    return ((torch.maximum(mel, loudest - 8) + 4) / 4).transpose(1, 2)


@dataclass(frozen=True)
class Crops:
    """What to hear and what to write: first frame and length [B], tokens int64 [B, L], −100 behind the end."""

    first: np.ndarray
    frames: np.ndarray
    tokens: np.ndarray


def draw_crops(
    songs: list[Lyrics],
    count: int,
    most_tokens: int,
    prefix: tuple[int, ...],
    end: int,
    rng: np.random.Generator,
) -> Crops:
    """Crops of 5 to 30 s cut between words, long songs more often; rows are prefix, words, end."""
    weight = np.array([song.frames for song in songs], float)
    first, frames = np.zeros(count, np.int64), np.zeros(count, np.int64)
    tokens = np.full((count, most_tokens), -100, np.int64)
    for row, index in enumerate(rng.choice(len(songs), count, p=weight / weight.sum())):
        song, length = songs[index], rng.uniform(5, WINDOW / FRAME_RATE)
        begin, stop, text = cut(song, length, most_tokens - len(prefix) - 1, rng)
        first[row] = song.first + round(begin * FRAME_RATE)
        frames[row] = min(round((stop - begin) * FRAME_RATE), WINDOW)
        ids = [*prefix, *text, end]
        tokens[row, : len(ids)] = ids
    return Crops(first, frames, tokens)


def cut(
    song: Lyrics, length: float, most_tokens: int, rng: np.random.Generator
) -> tuple[float, float, list[int]]:
    """Start and end in seconds of at most `length`, between words, and the tokens of the words inside."""
    duration, count = song.frames / FRAME_RATE, len(song.tokens)
    first = int(rng.integers(-1, count))  # word; −1: from anywhere before the first one
    if first < 0:
        begin = rng.uniform(0, song.starts[0] if count else max(duration - length, 0.0))
    else:
        begin = max(middle(song, first), song.starts[first] - rng.uniform(0, 1))
    stop, text = min(begin + length, duration), list[int]()
    for word in range(max(first, 0), count):
        ids = song.tokens[word]
        if song.ends[word] > stop or len(text) + len(ids) > most_tokens:
            stop = min(stop, max(middle(song, word), begin + 0.1))
            break
        text += ids
    return begin, stop, text


def middle(song: Lyrics, word: int) -> float:
    """Half-way between a word and the one before, in seconds."""
    return ((song.ends[word - 1] if word else 0.0) + song.starts[word]) / 2
