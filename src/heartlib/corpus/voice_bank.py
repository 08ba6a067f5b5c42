"""Spoken words taken apart by the WORLD vocoder, kept on disk by voice, language and word.

Source: Morise et al., WORLD (2016), through `pyworld`. F frames of 5 ms at 24 kHz.
"""

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from urllib.parse import quote

import numpy as np
import soxr

from heartlib.corpus.espeak import engine, is_vowel
from heartlib.corpus.lexicon import spoken_form
from heartlib.corpus.voices import Voice, espeak_voice
from heartlib.errors import HeartlibError

RATE = 24000
HOP = 0.005
FFT = 1024
ENVELOPE = 60
LEVEL = -20.0
"""Power of the loudest vowel of every word, in dB: the envelope summed over its bins."""

_UNVOICED = {
    name
    for names in (
        "p t k f T s S tS h ? x C",  # English, Spanish
        "S; X kh ph s. tS; tS;h th ts ts. ts.h tsh",  # Mandarin
        "p\\ s\\ t_s t_s\\",  # Japanese
        "d- k- p- q q- s- t- tS;-",  # Korean
    )
    for name in names.split()
}
"""Phonemes that may be without voice: the spoken pitch decides."""


def world() -> ModuleType:
    """pyworld, or a HeartlibError that says how to get it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pyworld  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise HeartlibError(
            f"the corpus needs pyworld ({error}): pip install 'heartlib[corpus]'"
        ) from error
    return pyworld


@dataclass(frozen=True)
class Spoken:
    """A word: coded envelope [F, ENVELOPE], coded aperiodicity [F, bands], voiced [F] (bool),
    and (phoneme, first frame, end frame) in order."""

    envelope: np.ndarray
    aperiodicity: np.ndarray
    voiced: np.ndarray
    phonemes: tuple[tuple[str, int, int], ...]


class VoiceBank:
    """The words of one voice in one language: read from `folder`, else spoken and analysed."""

    def __init__(self, voice: Voice, folder: Path, language: str = "en") -> None:
        self.voice = voice
        self.language = language
        self.folder = folder / voice.name / language
        self.words: dict[str, Spoken] = {}

    def word(self, text: str) -> Spoken:
        """A word's analysis; takes about 35 ms the first time ever."""
        if text not in self.words:
            path = self.folder / f"{quote(text, safe='')}.npz"
            if not path.is_file():
                self.folder.mkdir(parents=True, exist_ok=True)
                voice = espeak_voice(self.voice, self.language)
                _keep(path, analyse(spoken_form(text, self.language), voice))
            self.words[text] = _fetch(path)
        return self.words[text]


def analyse(text: str, voice: str) -> Spoken:
    """Speaks a word and takes it apart."""
    pw = world()
    wave, spans = engine().say(text, voice)
    wave = soxr.resample(wave, engine().sample_rate, RATE)
    f0, times = pw.dio(wave, RATE, f0_floor=60.0, f0_ceil=420.0, frame_period=HOP * 1000)
    f0 = pw.stonemask(wave, f0, times, RATE)
    pitch = float(np.median(f0[f0 > 0])) if (f0 > 0).any() else 120.0
    phonemes = tuple(
        (name, round(start / HOP), min(round(end / HOP), len(f0))) for name, start, end in spans
    )
    voiced = np.zeros(len(f0), bool)
    for name, start, end in phonemes:
        voiced[start:end] = True if name not in _UNVOICED else f0[start:end] > 0
    settled = np.where((f0 > 0.75 * pitch) & (f0 < 1.35 * pitch), f0, pitch)
    f0 = np.where(voiced, settled, 0.0)
    envelope = pw.cheaptrick(wave, f0, times, RATE, fft_size=FFT)
    aperiodicity = _breath(wave, f0, times)
    envelope = envelope * 10 ** ((LEVEL - _level(envelope, phonemes)) / 10)
    return Spoken(
        pw.code_spectral_envelope(np.maximum(envelope, 1e-16), RATE, ENVELOPE),
        aperiodicity,
        voiced,
        phonemes,
    )


def _breath(wave: np.ndarray, f0: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Coded aperiodicity [F, bands], measured every 20 ms, which takes most of an analysis, and joined by lines."""
    pw = world()
    at = np.unique(np.append(np.arange(0, len(f0), 4), len(f0) - 1))
    measured = pw.d4c(wave, f0[at], times[at], RATE, fft_size=FFT)
    coded = pw.code_aperiodicity(measured, RATE)
    frames = np.arange(len(f0))
    return np.stack([np.interp(frames, at, band) for band in coded.T], axis=1)


def _level(envelope: np.ndarray, phonemes: tuple[tuple[str, int, int], ...]) -> float:
    """The power of the loudest vowel in dB, the reference that makes words equally loud."""
    power = envelope.sum(axis=1)
    vowels = [power[a:b].mean() for name, a, b in phonemes if is_vowel(name) and b > a]
    return float(10 * np.log10(max(vowels or [power.mean()]) + 1e-12))


def _keep(path: Path, word: Spoken) -> None:
    draft = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    np.savez(
        draft,
        envelope=word.envelope.astype(np.float16),
        aperiodicity=word.aperiodicity.astype(np.float16),
        voiced=word.voiced,
        names=np.array([name for name, _, _ in word.phonemes]),
        spans=np.array([[start, end] for _, start, end in word.phonemes], np.int32),
    )
    os.replace(draft, path)


def _fetch(path: Path) -> Spoken:
    with np.load(path, allow_pickle=False) as data:
        spans = zip(data["names"].tolist(), data["spans"].tolist(), strict=True)
        return Spoken(
            data["envelope"].astype(np.float64),
            data["aperiodicity"].astype(np.float64),
            data["voiced"],
            tuple((name, start, end) for name, (start, end) in spans),
        )
