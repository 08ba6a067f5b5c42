"""Songs as the transcriptor's recipe hears them: log-mel frames, words and phonemes with their times.

Legend: B crops, F mel frames of 10 ms, W = 3000 of them in a window of 30 s, L tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from heartlib.audio.resampling import resample
from heartlib.training.alignment import read_truth
from heartlib.training.corpus_audio import read_each, read_song, read_voices

RATE, HOP, N_FFT, MELS = 16000, 160, 400, 80
FRAME_RATE = 100  # mel frames a second; the encoder has half as many
WINDOW = 3000
FLOOR = -10.0  # log10 of the least power
SHORTEST = 5.0  # seconds of a crop
MOST_WORDS = 6  # of a spliced piece
PAUSE = 0.3  # seconds around it at most


@dataclass(frozen=True)
class Lyrics:
    """Where a song is among the frames, its words' times and their tokens."""

    first: int
    frames: int
    starts: np.ndarray  # seconds
    ends: np.ndarray
    tokens: tuple[tuple[int, ...], ...]
    language: str = "en"


@dataclass(frozen=True)
class Recordings:
    """Songs end to end: log10 mel power float16 [F, 80] and phonemes int16 [F] on the device.

    Of a song with stems of its voices `mel` is the voices alone: what plays along is in `band` float16 [G, 80],
    and any other can be put in its place. `behind` int64 [F] is the frame of the band at each moment, −1 in a song
    without stems, which is heard as it was mixed.
    """

    mel: Tensor
    band: Tensor
    behind: Tensor
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
        parts = [
            cls.of(heard, symbols, tokenizer, filters)
            for _, heard in read_each(ids, partial(hearing, folder))
        ]
        return cls.join(parts)

    @classmethod
    def of(
        cls,
        heard: tuple[np.ndarray, dict[str, Any]],
        symbols: list[str],
        tokenizer: Tokenizer,
        filters: Tensor,
    ) -> Recordings:
        """One song, as `hearing` gives it."""
        low, truth = heard
        number = {symbol: i for i, symbol in enumerate(symbols)}
        mels = [log_mel(row, filters).half() for row in torch.from_numpy(low).to(filters)]
        frames = len(mels[0])
        labels = np.zeros(frames, np.int16)
        for symbol, start, end in truth["phonemes"]:
            labels[round(start * FRAME_RATE) : round(end * FRAME_RATE)] = number.get(symbol, 0)
        words = truth["words"]
        song = Lyrics(
            0,
            frames,
            np.array([word["start"] for word in words]),
            np.array([word["end"] for word in words]),
            tuple(
                tuple(tokenizer.encode(word["word"].lower(), add_special_tokens=False).ids)
                for word in words
            ),
            truth.get("language", "en"),
        )
        band = mels[1] if len(mels) > 1 else mels[0][:0]
        behind = torch.arange(frames, device=filters.device)
        if not len(band):
            behind = torch.full_like(behind, -1)
        return cls(mels[0], band, behind, torch.from_numpy(labels).to(filters.device), [song])

    @classmethod
    def join(cls, parts: list[Recordings]) -> Recordings:
        """Several recordings, one behind the other."""
        songs, first = list[Lyrics](), 0
        behind, bands = list[Tensor](), 0
        for part in parts:
            songs += [replace(song, first=song.first + first) for song in part.songs]
            behind.append(torch.where(part.behind < 0, part.behind, part.behind + bands))
            first, bands = first + len(part.mel), bands + len(part.band)
        return cls(
            torch.cat([part.mel for part in parts]),
            torch.cat([part.band for part in parts]),
            torch.cat(behind),
            torch.cat([part.phonemes for part in parts]),
            songs,
        )


def hearing(folder: Path, name: str) -> tuple[np.ndarray, dict[str, Any]]:
    """A song of a corpus at 16 kHz, mixed down: [1, n], or [2, n] its voices and its band; its truth."""
    song, truth = read_song(folder, name, 48000), read_truth(folder, name)
    voices = read_voices(folder, name, song.shape[1], truth)
    parts = [song] if voices is None else [voices, song - voices]
    return resample(torch.stack(parts).mean(1).numpy(), 48000, RATE), truth


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
    """What to hear and what to write.

    at: int64 [B, W], the frame heard at each moment, the last one repeated behind the end; frames [B],
    how many there are; spliced [B], whether the row is of pieces that no band plays to; tokens int64
    [B, L], −100 behind the end.
    """

    at: np.ndarray
    frames: np.ndarray
    spliced: np.ndarray
    tokens: np.ndarray


class Cutter:
    """Draws crops of 5 to 30 s, cut between words: stretches of songs, or words of several spliced together.

    Splicing makes sentences that no song has, so that nothing can be written down from memory. A row is
    in one language. prefixes: by language the ids before the words; end: the id behind them.
    """

    def __init__(
        self, prefixes: dict[str, tuple[int, ...]], end: int, most_tokens: int, spliced: float = 0.0
    ) -> None:
        self.prefixes, self.end, self.most_tokens = prefixes, end, most_tokens
        self.spliced = spliced

    def __call__(self, songs: list[Lyrics], count: int, rng: np.random.Generator) -> Crops:
        """So many crops, long songs more often."""
        weight = np.array([song.frames for song in songs], float)
        chosen = rng.choice(len(songs), count, p=weight / weight.sum())
        at, frames = np.zeros((count, WINDOW), np.int64), np.zeros(count, np.int64)
        tokens = np.full((count, self.most_tokens), -100, np.int64)
        spliced = (rng.random(count) < self.spliced) & [len(songs[i].tokens) > 0 for i in chosen]
        by_language: dict[str, list[int]] = {}
        if spliced.any():
            for index, song in enumerate(songs):
                if song.tokens:
                    by_language.setdefault(song.language, []).append(index)
        for row, index in enumerate(chosen):
            song, length = songs[index], max(SHORTEST, WINDOW / FRAME_RATE * rng.random() ** 0.5)
            prefix = self.prefixes[song.language]
            most = self.most_tokens - len(prefix) - 1
            if spliced[row]:
                others = by_language[song.language]
                pieces, text = splice(songs, others, length, most, rng)
            else:
                begin, stop, text = cut(song, length, most, rng)
                pieces = [span(song, begin, stop)]
            heard = np.concatenate([first + np.arange(n) for first, n in pieces])[:WINDOW]
            at[row], frames[row] = np.pad(heard, (0, WINDOW - len(heard)), "edge"), len(heard)
            ids = [*prefix, *text, self.end]
            tokens[row, : len(ids)] = ids
        return Crops(at, frames, spliced, tokens)


def span(song: Lyrics, begin: float, stop: float) -> tuple[int, int]:
    """First frame and frames from `begin` to `stop` seconds of a song, inside it and not empty."""
    first = min(round(begin * FRAME_RATE), song.frames - 1)
    return song.first + first, max(1, min(round(stop * FRAME_RATE), song.frames) - first)


def splice(
    songs: list[Lyrics],
    others: list[int],
    length: float,
    most_tokens: int,
    rng: np.random.Generator,
) -> tuple[list[tuple[int, int]], list[int]]:
    """Pieces (first frame, frames) of a few words each, at most `length` seconds, and their tokens."""
    pieces, text, left = list[tuple[int, int]](), list[int](), length
    while True:
        song = songs[others[rng.integers(len(others))]]
        first = int(rng.integers(len(song.tokens)))
        last = min(first + int(rng.integers(1, MOST_WORDS + 1)), len(song.tokens)) - 1
        begin = max(middle(song, first), song.starts[first] - PAUSE, 0.0)
        stop = song.ends[last] + PAUSE
        if last + 1 < len(song.tokens):
            stop = min(stop, max(middle(song, last + 1), song.ends[last]))
        ids = [i for word in song.tokens[first : last + 1] for i in word]
        if pieces and (stop - begin > left or len(text) + len(ids) > most_tokens):
            return pieces, text
        pieces.append(span(song, begin, stop))
        text, left = (text + ids)[:most_tokens], left - (stop - begin)


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
