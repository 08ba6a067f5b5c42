"""espeak-ng through its C library: a word's sound and its phonemes with their times."""

import ctypes
import ctypes.util
import re
from functools import cache

import numpy as np

from heartlib.errors import HeartlibError

_RETRIEVAL, _PHONEME_EVENTS = 1, 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_PHONEME_EVENT, _SAMPLE_LIMIT = 7, 1 << 20
_CHARS_UTF8_PHONEMES = 0x101
_UTF8, _SEPARATOR = 1, "\t"
_IPA = ord("_") << 8 | 2  # of TextToPhonemes: IPA, parted by "_"
_VOWEL = re.compile(r"^[aAeEiIoOuUyV03@]|^n-$|^N\\$")
_PAUSES = {"_", "_:", "_::", "_|", "|", ";", ""}
_STRESS = "',%="

WORDS_A_MINUTE = 120


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def is_vowel(symbol: str) -> bool:
    """Whether an espeak mnemonic takes a note: a vowel, a syllabic n, the moraic nasal of Japanese."""
    return bool(_VOWEL.match(symbol))


class Espeak:
    """The engine of this process; get it from `engine()`, because the library holds global state."""

    def __init__(self) -> None:
        name = ctypes.util.find_library("espeak-ng") or "libespeak-ng.so.1"
        try:
            self._library = ctypes.CDLL(name)
        except OSError as error:
            raise HeartlibError(
                "espeak-ng is not installed; the corpus sings with it (Debian: apt install espeak-ng)"
            ) from error
        self.sample_rate = self._library.espeak_Initialize(_RETRIEVAL, 0, None, _PHONEME_EVENTS)
        if self.sample_rate <= 0:
            raise HeartlibError("espeak-ng did not start: its data files are missing")
        self._chunks: list[np.ndarray] = []
        self._events: list[tuple[int, str]] = []
        self._callback = _CALLBACK(self._receive)
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p

    def say(self, word: str, voice: str) -> tuple[np.ndarray, list[tuple[str, float, float]]]:
        """Speaks a word in monotone: float64 [n] at `sample_rate`, and (phoneme, start, end) in s."""
        self._choose(voice)
        for parameter, value in ((_RATE, WORDS_A_MINUTE), (_RANGE, 0), (_PITCH, 50)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._chunks.clear()
        self._events.clear()
        text = word.encode() + b"\0"
        self._library.espeak_Synth(text, len(text), 0, 1, 0, _CHARS_UTF8_PHONEMES, None, None)
        self._library.espeak_Synchronize()
        if not self._chunks:
            raise HeartlibError(f"espeak-ng says nothing for {word!r}")
        wave = np.concatenate(self._chunks).astype(np.float64) / 32768.0
        return wave, self._phonemes(len(wave))

    def spell(self, word: str, voice: str) -> list[tuple[str, bool]]:
        """The phonemes of a word as written, with whether each is stressed; nothing is spoken."""
        self._choose(voice)
        text = ctypes.pointer(ctypes.c_char_p(word.encode()))
        found = self._library.espeak_TextToPhonemes(text, _UTF8, ord(_SEPARATOR) << 8)
        names = (found or b"").decode().split()
        return [(name.strip(_STRESS), name[0] in "',") for name in names if name.strip(_STRESS)]

    def _choose(self, voice: str) -> None:
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise HeartlibError(f"espeak-ng has no voice {voice!r}")

    def ipa(self, text: str, voice: str) -> str:
        """How a text sounds, in IPA: phonemes of a word joined by `_`, words by spaces."""
        self._choose(voice)
        rest, found = ctypes.pointer(ctypes.c_char_p(text.encode())), list[str]()
        while rest.contents.value:  # a clause at a time
            found.append((self._library.espeak_TextToPhonemes(rest, _UTF8, _IPA) or b"").decode())
        return " ".join(found)

    def _phonemes(self, length: int) -> list[tuple[str, float, float]]:
        ends = [sample for sample, _ in self._events[1:]] + [length]
        rows = zip(self._events, ends, strict=True)
        rate = self.sample_rate
        spans = [(name, start / rate, end / rate) for (start, name), end in rows]
        return [span for span in spans if span[0] not in _PAUSES and span[2] > span[1]]

    def _receive(self, wave, count: int, events) -> int:
        if count > 0 and wave:
            self._chunks.append(np.ctypeslib.as_array(wave, (count,)).copy())
        for index in range(_SAMPLE_LIMIT):
            event = events[index]
            if event.type == 0:
                break
            if event.type == _PHONEME_EVENT:
                name = bytes(event.id.string).split(b"\0")[0].decode("utf-8", "replace")
                self._events.append((event.sample, name))
        return 0


@cache
def engine() -> Espeak:
    """The one engine of this process, started at the first call. HeartlibError when absent."""
    return Espeak()
