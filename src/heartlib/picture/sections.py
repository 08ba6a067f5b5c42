"""When each section of the lyrics is sung, by the words that were heard.

N: words of the lyrics. M: words heard. G: pairs of letters that occur.
"""

import re
from dataclasses import dataclass

import numpy as np

from heartlib.errors import UsageError
from heartlib.hearttranscriptor.word_times import Word

MOST = 16_000_000  # pairs of words: 0.3 GB
ALIKE = 0.5  # the least share of letter pairs that two words have in common to be the same
MARKER = re.compile(r"^\s*\[([^\[\]]+)\]\s*$")
UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # kana and Han: every sign a word
UNIT = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+(?:['’][^\W_{UNSPACED}]+)*")


@dataclass(frozen=True)
class Band:
    """A section of the song; start and end in seconds. `name` is "Verse" for [verse]."""

    name: str
    start: float
    end: float


def read_sections(lyrics: str) -> list[tuple[str, list[str]]]:
    """Name and words of each section; the name is "" for words before the first marker."""
    sections: list[tuple[str, list[str]]] = [("", [])]
    for line in lyrics.splitlines():
        if marker := MARKER.match(line):
            sections.append((marker[1].strip().capitalize(), []))
        else:
            sections[-1][1].extend(_units(line))
    return [(name, words) for name, words in sections if name or words]


def bands(lyrics: str, words: list[Word], duration: float) -> list[Band]:
    """The lyrics' sections by time; none where no word of them was heard.

    A section starts with its first word that was heard, or with as many misheard words before that as the lyrics
    have; so it ends too, or where the next one starts. Sections of which nothing was heard lie between their neighbours'
    words, as one band: nothing tells one from another.
    """
    sections = read_sections(lyrics)
    sung = [unit for _, units in sections for unit in units]
    heard = [(unit, word) for word in words for unit in _units(word.text)]
    pairs = match(sung, [unit for unit, _ in heard])
    if sung and not pairs:
        return []
    found: list[Band] = []
    silent: list[str] = []
    first, rest = 0, 0.0  # the section's first word; where the last band's words end
    before = (-1, -1)  # the last pair of the sections before
    for name, units in sections:
        own = [pair for pair in pairs if first <= pair[0] < first + len(units)]
        if not own:
            silent.append(name)
        else:
            start = heard[own[0][1] - _misheard(first, own[0], before)][1].start
            if found:
                end = min(rest, start) if silent else start
                found[-1] = Band(found[-1].name, found[-1].start, end)
            if silent:
                _add(found, Band(" · ".join(filter(None, silent)), rest, start))
            silent, before = [], own[-1]
            after = _after(first + len(units), own[-1], pairs, len(heard))
            rest = max(word.end for _, word in heard[own[0][1] : after])
            found.append(Band(name, start, rest))
        first += len(units)
    if silent:
        _add(found, Band(" · ".join(filter(None, silent)), rest, duration))
    elif found:
        found[-1] = Band(found[-1].name, found[-1].start, max(word.end for word in words))
    return [band for band in found if band.name]


def _misheard(first: int, pair: tuple[int, int], before: tuple[int, int]) -> int:
    """How many words heard before a section's first pair are its own, by the words that the lyrics have there."""
    leading, unsure = pair[0] - first, pair[0] - before[0] - 1
    if not leading:
        return 0
    return min(leading, round((pair[1] - before[1] - 1) * leading / unsure))


def _after(end: int, pair: tuple[int, int], pairs: list[tuple[int, int]], heard: int) -> int:
    """The place after a section's last word heard: misheard ones behind its last pair are its own as well."""
    following = next((j for i, j in pairs if i > pair[0]), heard)
    return min(following, pair[1] + end - pair[0])


def match(sung: list[str], heard: list[str]) -> list[tuple[int, int]]:
    """Places of words that are the same or alike, in order on both sides; long words count for more.

    UsageError for more pairs than MOST.
    """
    if not sung or not heard:
        return []
    if len(sung) * len(heard) > MOST:
        raise UsageError(
            f"{len(sung)} words of lyrics are too many to find among {len(heard)} that are heard; "
            "leave them out with --no-words"
        )
    same = _likeness(sung, heard)  # [N, M]
    best = np.zeros((len(sung) + 1, len(heard) + 1), np.float32)
    for i, row in enumerate(same):
        paired = np.maximum(best[i, 1:], best[i, :-1] + row)
        best[i + 1, 1:] = np.maximum.accumulate(paired)
    pairs = []
    i, j = len(sung), len(heard)
    while i and j:
        gain = same[i - 1, j - 1]
        if gain and best[i, j] == best[i - 1, j - 1] + gain:  # the latest: next to what follows
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif best[i, j] == best[i, j - 1]:
            j -= 1
        else:
            i -= 1
    return pairs[::-1]


def _likeness(sung: list[str], heard: list[str]) -> np.ndarray:
    """float32 [N, M]: the share of letter pairs in common times the length; 0 below ALIKE."""
    pairs = [[_letter_pairs(word) for word in words] for words in (sung, heard)]
    names = {name: at for at, name in enumerate(sorted({x for a in pairs for b in a for x in b}))}
    marks = [np.zeros((len(words), len(names)), np.float32) for words in pairs]  # [N, G], [M, G]
    for table, words in zip(marks, pairs, strict=True):
        for row, word in zip(table, words, strict=True):
            row[[names[name] for name in word]] = 1
    sizes = marks[0].sum(1)[:, None] + marks[1].sum(1)
    share = 2 * (marks[0] @ marks[1].T) / sizes
    return np.where(share >= ALIKE, share * sizes / 2, 0).astype(np.float32)


def _letter_pairs(word: str) -> set[str]:
    padded = f"<{word}>"
    return {padded[at : at + 2] for at in range(len(padded) - 1)}


def _units(text: str) -> list[str]:
    return UNIT.findall(text.casefold().replace("’", "'"))


def _add(found: list[Band], band: Band) -> None:
    """A band between its neighbours, where there is room for it."""
    if band.end > band.start and band.name:
        found.append(band)
