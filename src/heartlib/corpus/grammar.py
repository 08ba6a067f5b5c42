"""What a poet draws from: line templates with their chances, words by slot, words by rhyme."""

from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from statistics import fmean
from zlib import crc32

from heartlib.corpus.lexicon import Word, parts, templates, vocabulary

FREE_SHARE = 0.12
"""Of all lines, those that put any words next to each other, so that word order is not predictable."""
TINTS = ("happy", "sad")
LONG = 1.4
"""How much likelier each further syllable makes a word, because long words fit into fewer lines."""
ROUNDS, RAREST = 30, 0.5
"""Rounds of fitting the templates' chances, and the least, where they start from 1."""
NOT_CONTENT = {"function", "particle"}


@dataclass(frozen=True)
class Grammar:
    """`slots` has the words of each `{part}` and their summed chances; `ends` the words that a line
    may end with, by the last item of its template and by rhyme; `order` all content words in a
    fixed mixed order, `homes` the slots of each."""

    templates: tuple[tuple[str, ...], ...]
    chances: tuple[float, ...]
    slots: dict[str, tuple[tuple[Word, ...], tuple[float, ...]]]
    ends: dict[str, dict[str, tuple[Word, ...]]]
    words: dict[str, Word]
    order: tuple[str, ...]
    homes: dict[str, tuple[str, ...]]


@cache
def grammar(language: str, mood: str, unseen: bool) -> Grammar:
    """The grammar of a language; a slot prefers held-out words with `unseen`, else has none."""
    words = vocabulary(language)
    every = _slots(language, mood)
    seen = {slot: tuple(word for word in bank if not word.unseen) for slot, bank in every.items()}
    held = {slot: tuple(word for word in bank if word.unseen) for slot, bank in every.items()}
    slots = {slot: held[slot] or seen[slot] for slot in every} if unseen else seen
    lines = templates(language)
    ends: dict[str, dict[str, tuple[Word, ...]]] = {}
    for item in {line[-1] for line in lines}:
        bank = (every if unseen else seen)[item] if item[0] == "{" else (words[item],)
        rhymes: dict[str, list[Word]] = {}
        for word in dict.fromkeys(bank):
            rhymes.setdefault(word.rhyme, []).append(word)
        ends[item] = {rhyme: tuple(group) for rhyme, group in rhymes.items()}
    weighed = {slot: (bank, _weigh(bank)) for slot, bank in slots.items()}
    used = {item for line in lines for item in line if item[0] == "{"}
    homes: dict[str, tuple[str, ...]] = {}
    for slot in sorted(used):
        for text in dict.fromkeys(word.text for word in slots[slot]):
            homes[text] = (*homes.get(text, ()), slot)
    content = [word.text for word in words.values() if not NOT_CONTENT & {*word.parts}]
    order = sorted(content, key=lambda text: crc32(text.encode()))
    return Grammar(lines, _chances(lines, seen), weighed, ends, words, tuple(order), homes)


def _weigh(bank: tuple[Word, ...]) -> tuple[float, ...]:
    return tuple(accumulate(LONG ** (word.syllables - 1) for word in bank))


def _slots(language: str, mood: str) -> dict[str, tuple[Word, ...]]:
    """The words of each slot. `adj`, with its endings, is plain or, more often, of the mood."""
    tint, other = TINTS[::-1] if mood == "sad" else TINTS
    banks = {part: bank for part, bank in parts(language).items() if part not in NOT_CONTENT}
    slots = {f"{{{part}}}": bank for part, bank in banks.items()}
    for part, bank in banks.items():
        if part.startswith("plain"):
            ending = part.removeprefix("plain")
            slots[f"{{adj{ending}}}"] = bank + banks[tint + ending] * 4
    fitting = (bank for part, bank in banks.items() if not part.startswith(other))
    slots["{any}"] = tuple(dict.fromkeys(word for bank in fitting for word in bank))
    return slots


def _chances(
    lines: tuple[tuple[str, ...], ...], slots: dict[str, tuple[Word, ...]]
) -> tuple[float, ...]:
    """A chance for each template, fitted so that words of all slots come up about alike."""
    sizes = {slot: sum(1 / len(word.parts) for word in bank) for slot, bank in slots.items()}
    needs = [[item for item in line if item[0] == "{"] for line in lines]
    chances = [1.0] * len(lines)
    for _ in range(ROUNDS):
        rates = {item: 0.0 for items in needs for item in items}
        for chance, items in zip(chances, needs, strict=True):
            for item in items:
                rates[item] += chance / sizes[item]
        middle = sum(rates.values()) / len(rates)
        chances = [
            max(chance * (middle / fmean(rates[item] for item in items)) ** 0.5, RAREST)
            for chance, items in zip(chances, needs, strict=True)
        ]
    free = ["{any}" in line for line in lines]
    bound = sum(chance for chance, is_free in zip(chances, free, strict=True) if not is_free)
    share = FREE_SHARE / (1 - FREE_SHARE) * bound / sum(free)
    return tuple(
        share if is_free else chance for chance, is_free in zip(chances, free, strict=True)
    )
