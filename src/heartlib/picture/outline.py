"""A sound of any length, reduced while it is read to as many columns as a picture has.

n: samples. F: frames of 8 ms. C: columns of some frames each. M: mel bands.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heartlib.errors import HeartlibError

RATE = 32_000  # Hz; what the picture shows ends at 16 kHz
HOP = 256  # samples of a frame
N_FFT = 2048
OVERLAP = N_FFT - HOP  # samples that a frame's spectrum reaches beyond it, half to each side
BANDS = 120
LOWEST, HIGHEST = 40.0, 15_500.0  # Hz
FLOOR = 1e-10  # power of silence: -100 dB


@dataclass(frozen=True)
class Outline:
    """What is drawn of a sound: float32 [C] each, `mel` in decibels [M, C]; a column is `step` seconds."""

    low: np.ndarray
    high: np.ndarray
    rms: np.ndarray
    mel: np.ndarray
    step: float
    duration: float


class Reduction:
    """Takes blocks of a sound at RATE and keeps only columns of `per` frames."""

    def __init__(self, per: int) -> None:
        from heartlib.audio.mel import mel_filterbank

        self.per = per
        self.samples = self.frames = 0
        self.held = np.zeros(
            OVERLAP // 2, np.float32
        )  # the first frame's spectrum reaches before it
        self.filters = mel_filterbank(N_FFT, RATE, BANDS, LOWEST, HIGHEST).numpy().T
        self.window = np.hanning(N_FFT).astype(np.float32)
        self.low, self.high = np.zeros(0, np.float32), np.zeros(0, np.float32)
        self.energy, self.mel = np.zeros(0), np.zeros((0, BANDS))  # sums over the column's samples

    def add(self, block: np.ndarray) -> None:
        """Take in the next samples, float32 [n]."""
        self.samples += len(block)
        self._reduce(block)

    def outline(self) -> Outline:
        """The whole of what was added; nothing can be added after it."""
        missing = math.ceil(self.samples / HOP) * HOP - self.samples
        self._reduce(np.zeros(missing + OVERLAP // 2, np.float32))
        filled = np.full(len(self.low), self.per)
        filled[-1:] = self.frames - self.per * (len(self.low) - 1)
        power = np.maximum(self.mel / filled[:, None], FLOOR)  # [C, M]
        return Outline(
            low=self.low,
            high=self.high,
            rms=np.sqrt(self.energy / (filled * HOP)).astype(np.float32),
            mel=(10 * np.log10(power)).T.astype(np.float32),
            step=self.per * HOP / RATE,
            duration=self.samples / RATE,
        )

    def _reduce(self, block: np.ndarray) -> None:
        """Fold all frames whose spectra can be known by now into their columns."""
        held = np.concatenate((self.held, block))
        count = max(0, (len(held) - OVERLAP) // HOP)  # F
        self.held = held[count * HOP :]
        if not count:
            return
        middle = held[OVERLAP // 2 :][: count * HOP].reshape(count, HOP)
        spectra = np.lib.stride_tricks.sliding_window_view(held, N_FFT)[::HOP][:count]  # [F, N_FFT]
        spectra = np.fft.rfft(spectra * self.window) * (2 / self.window.sum())
        power = np.square(spectra.real) + np.square(spectra.imag)
        columns = (self.frames + np.arange(count)) // self.per
        self.frames += count
        self._grow(int(columns[-1]) + 1 - len(self.low))
        np.minimum.at(self.low, columns, middle.min(axis=1))
        np.maximum.at(self.high, columns, middle.max(axis=1))
        np.add.at(self.energy, columns, np.square(middle, dtype=np.float64).sum(axis=1))
        np.add.at(self.mel, columns, power @ self.filters)

    def _grow(self, more: int) -> None:
        self.low, self.high = np.pad(self.low, (0, more)), np.pad(self.high, (0, more))
        self.energy = np.pad(self.energy, (0, more))
        self.mel = np.pad(self.mel, ((0, more), (0, 0)))


def outline(song: str | Path, columns: int) -> Outline:
    """A sound file in about `columns` columns at most; raises as `audio.mono_blocks`, or where it is empty."""
    from heartlib import audio

    frames = math.ceil(audio.duration(song) * RATE / HOP)
    found = reduced(audio.mono_blocks(song, RATE), max(1, math.ceil(frames / columns)))
    if not found.duration:
        raise HeartlibError(f"{song} is empty: there is nothing to show")
    return found


def reduced(blocks: Iterable[np.ndarray], per: int) -> Outline:
    """Blocks at RATE in columns of `per` frames of 8 ms."""
    reduction = Reduction(per)
    for block in blocks:
        reduction.add(block)
    return reduction.outline()
