"""How well lyrics are kept: what was heard against what was to be sung, whole and by section.

One alignment counts the errors of the song and of its sections, in phonemes, characters or words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from heartlib.corpus.espeak import engine
from heartlib.corpus.lexicon import LANGUAGES, vocabulary
from heartlib.errors import HeartlibError
from heartlib.evaluation.alignment import Count, align
from heartlib.evaluation.phonemes import MARKER, phonemes, words

PHONEMES, CHARACTERS, WORDS = "phonemes", "characters", "words"
SCRIPTS = (
    ("ja", re.compile("[\u3041-\u30ff]")),  # kana
    ("ko", re.compile("[\u1100-\u11ff\uac00-\ud7a3]")),  # hangul
    ("zh", re.compile("[\u4e00-\u9fff]")),
)
"""The signs that tell a language, in the order in which they are looked for."""
LATIN = ("en", "es")


@dataclass(frozen=True)
class Section:
    """A stretch of lyrics under one marker; name "" for what stands before the first."""

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Adherence:
    """Errors in one unit: of the whole song, and of each section that has words."""

    unit: str
    whole: Count
    parts: tuple[tuple[str, Count], ...]


def sections(lyrics: str, language: str = "en") -> list[Section]:
    """The sections of lyrics that have words, in order."""
    names, texts = [""], [""]
    for line in lyrics.splitlines():
        if MARKER.match(line):
            names.append(line.strip()[1:-1].strip())
            texts.append("")
        else:
            texts[-1] += line + "\n"
    found = [
        Section(name, tuple(words(text, language))) for name, text in zip(names, texts, strict=True)
    ]
    return [section for section in found if section.words]


def language_of(lyrics: str) -> str:
    """The likeliest language: by its signs, else the one of whose words the corpus knows the most."""
    for language, signs in SCRIPTS:
        if signs.search(MARKER.sub(" ", lyrics)):
            return language
    told = words(lyrics)
    return max(LATIN, key=lambda language: sum(word in vocabulary(language) for word in told))


def finest_unit(language: str) -> str:
    """Phonemes where espeak-ng is installed and the language is one of the corpus, else characters."""
    if language not in LANGUAGES:
        return CHARACTERS
    try:
        engine()
    except HeartlibError:
        return CHARACTERS
    return PHONEMES


def adherence(lyrics: str, heard: str, language: str, unit: str) -> Adherence:
    """Lyrics against a recogniser's text. HeartlibError without jiwer; for phonemes, without espeak-ng."""
    given = sections(lyrics, language)
    told = [_symbols(section.words, language, unit) for section in given]
    whole, counts = align(told, _symbols(words(heard, language), language, unit))
    names = [section.name for section in given]
    return Adherence(unit, whole, tuple(zip(names, counts, strict=True)))


def _symbols(told: list[str] | tuple[str, ...], language: str, unit: str) -> list[str]:
    if unit == PHONEMES:
        return [symbol for word in told for symbol in phonemes(word, language)]
    return list(told) if unit == WORDS else list("".join(told))
