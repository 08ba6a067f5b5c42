"""What lyrics, and what a recogniser wrote down, sound like: words as phonemes in IPA.

espeak-ng reads each word by itself, as the corpus sings it, so that "sea" and "see" count as the same.
Stress, length and the tones of Mandarin are left out: what is sung has its own.
"""

import re
import unicodedata
from collections import Counter
from functools import cache

from heartlib.corpus.espeak import engine
from heartlib.corpus.lexicon import LANGUAGES, vocabulary
from heartlib.errors import UsageError

MARKER = re.compile(r"^\s*\[.*\]\s*$", re.MULTILINE)
SWITCH = re.compile(r"\([a-z-]+\)")  # espeak-ng names the language that it falls back to
NOT_SPOKEN = re.compile(r"[ˈˌːˑ‿‖|ʲ]")  # stress, length, ties, and softness that stands alone
TONE = re.compile(r"[0-9ɜ]")  # as espeak-ng writes Mandarin's tones
SYLLABLE = re.compile(r"[a-zü]+[1-5]")  # of pinyin
REDUCED = {"ᵻ": "ɪ", "ɐ": "ə"}  # English vowels that differ only in how they are reduced
READ_AS = {"ja": {"は": "わ", "へ": "え", "を": "お", "では": "でわ"}}  # particles
SOUNDS = {"en": {"a": ("ə",)}}  # the article, which espeak-ng spells when it is alone
RUN_TOGETHER = ("zh", "ja")
"""Languages that are written without spaces between all words."""


def phonemes(word: str, language: str = "en") -> tuple[str, ...]:
    """One word's phonemes. HeartlibError without espeak-ng, UsageError for another language."""
    if language not in LANGUAGES:
        raise UsageError(f"no language {language!r}; there are {', '.join(LANGUAGES)}")
    return _phonemes(word, language)


@cache
def _phonemes(word: str, language: str) -> tuple[str, ...]:
    known = SOUNDS.get(language, {}).get(word)
    if known:
        return known
    if language == "zh":
        text = pinyin(word)
        if text is None:
            return (word,)
    else:
        text = READ_AS.get(language, {}).get(word, word)
    found = SWITCH.sub("", engine().ipa(text, LANGUAGES[language]))
    symbols = [_plain(symbol, language) for symbol in re.split(r"[_\s]+", found)]
    return tuple(symbol for symbol in symbols if symbol)


def _plain(symbol: str, language: str) -> str:
    """A phoneme without what does not count."""
    symbol = NOT_SPOKEN.sub("", symbol)
    if language == "zh":
        return TONE.sub("", symbol)
    if language == "en":
        return REDUCED.get(symbol, symbol)
    if language == "ja":
        return re.sub(r"^(.+)\1$", r"\1", symbol)  # a long vowel
    return symbol


def words(text: str, language: str = "en") -> list[str]:
    """The words of lyrics or of a recogniser's text: small letters, no markers, no punctuation.

    Mandarin and Japanese are parted into words of the corpus: into those that leave the fewest
    signs over, and of these the fewest words.
    """
    text = unicodedata.normalize("NFC", MARKER.sub(" ", text)).lower().replace("’", "'")
    kept = "".join(
        c if c.isalnum() or c in "'ー" or unicodedata.combining(c) else " " for c in text
    )
    tokens = [token.strip("'") for token in kept.split()]
    if language in RUN_TOGETHER:
        tokens = [word for token in tokens for word in part(token, language)]
    return [token for token in tokens if token]


def part(token: str, language: str) -> list[str]:
    """A stretch of signs as words of the vocabulary; signs that are in none stand alone."""
    known, longest = vocabulary(language), _longest(language)
    best: list[tuple[int, int, int]] = [(0, 0, 0)]  # signs left over, words, the last word's start
    for end in range(1, len(token) + 1):
        left, count, _ = best[end - 1]
        options = [(left + 1, count + 1, end - 1)]
        for start in range(max(0, end - longest), end):
            if token[start:end] in known:
                left, count, _ = best[start]
                options.append((left, count + 1, start))
        best.append(min(options))
    found: list[str] = []
    end = len(token)
    while end:
        start = best[end][2]
        found.append(token[start:end])
        end = start
    return found[::-1]


@cache
def _longest(language: str) -> int:
    return max(map(len, vocabulary(language)))


def pinyin(word: str) -> str | None:
    """How a Mandarin word is read: as the corpus has it, else sign by sign; None where a sign is unknown."""
    known = vocabulary("zh").get(word)
    if known:
        return known.says
    readings = _readings()
    if not all(sign in readings for sign in word):
        return None
    return "".join(readings[sign] for sign in word)


@cache
def _readings() -> dict[str, str]:
    """Each sign's most frequent reading in the words of the corpus."""
    found: dict[str, Counter[str]] = {}
    for word in vocabulary("zh").values():
        syllables = SYLLABLE.findall(word.says)
        if len(syllables) == len(word.text):
            for sign, syllable in zip(word.text, syllables, strict=True):
                found.setdefault(sign, Counter())[syllable] += 1
    return {sign: counts.most_common(1)[0][0] for sign, counts in found.items()}
