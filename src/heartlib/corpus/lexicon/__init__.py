"""The singable words of each language: what they sound like, where they fit, how lines are built.

A language is a folder: `words.txt` (written by people: words by part of speech), `lines.txt` (line
templates) and `entries.txt` (made from both by `python -m heartlib.corpus.lexicon`, with espeak-ng:
each word's notes and rhyme), so that composing needs no espeak-ng.
"""

from dataclasses import dataclass
from functools import cache
from importlib import resources

from heartlib.errors import UsageError

LANGUAGES = {"en": "en-us", "es": "es", "zh": "cmn-latn-pinyin", "ja": "ja", "ko": "ko"}
"""The languages of the corpus and their voices in espeak-ng."""


@dataclass(frozen=True)
class Word:
    """One word: its text, how many notes it takes and how it sounds.

    `rhyme` has the sounds that rhyming words share, `says` is what espeak-ng is given, `opens` tells
    whether it begins with a vowel, `unseen` whether it belongs to the words held out of the corpus.
    """

    text: str
    syllables: int
    rhyme: str
    says: str
    opens: bool
    unseen: bool
    parts: tuple[str, ...]


@cache
def vocabulary(language: str = "en") -> dict[str, Word]:
    """Every singable word by its text, the held-out ones too."""
    rows = (line.split("\t") for line in read(language, "entries").splitlines())
    return {
        text: Word(
            text,
            int(count),
            rhyme,
            text if says == "-" else says,
            "o" in marks,
            "u" in marks,
            tuple(parts.split()),
        )
        for text, count, rhyme, says, marks, parts in rows
    }


@cache
def parts(language: str = "en") -> dict[str, tuple[Word, ...]]:
    """The vocabulary by part of speech; `function` has the words that stand in line templates."""
    banks: dict[str, list[Word]] = {}
    for word in vocabulary(language).values():
        for part in word.parts:
            banks.setdefault(part, []).append(word)
    return {part: tuple(words) for part, words in banks.items()}


@cache
def templates(language: str = "en") -> tuple[tuple[str, ...], ...]:
    """The line templates as words and `{part}` slots."""
    rows = (line.split() for line in read(language, "lines").splitlines())
    return tuple(tuple(row) for row in rows if row and row[0] != "#")


def held_out(language: str = "en") -> frozenset[str]:
    """The words that no song has unless a poet is asked for them: for measures on unseen words.

    About one content word in twenty, chosen by a hash of its base form, so that all forms of a word
    are held out together.
    """
    return frozenset(word.text for word in vocabulary(language).values() if word.unseen)


def spoken_form(text: str, language: str = "en") -> str:
    """What espeak-ng is given for a word; a word outside the vocabulary is given as it is."""
    word = vocabulary(language).get(text)
    return word.says if word else text


def read(language: str, name: str) -> str:
    """A data file of a language. UsageError names the languages."""
    if language not in LANGUAGES:
        raise UsageError(
            f"no language {language!r} in the corpus; there are {', '.join(LANGUAGES)}"
        )
    path = resources.files("heartlib.corpus.lexicon") / language / f"{name}.txt"
    return path.read_text(encoding="utf-8")
