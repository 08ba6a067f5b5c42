"""What a poet draws from: line templates with their chances, words by slot, words by rhyme."""

from collections import Counter
from dataclasses import dataclass
from functools import cache

from heartlib.corpus.lexicon import Word, parts, templates, vocabulary

FREE_SHARE = 0.12
"""Of all lines, those that put any words next to each other, so that word order is not predictable."""
TINTS = ("happy", "sad")
NOT_CONTENT = {"function", "particle"}


@dataclass(frozen=True)
class Grammar:
    """`slots` has the words of each `{part}`; `ends` those of a slot or word that share a rhyme."""

    templates: tuple[tuple[str, ...], ...]
    chances: tuple[float, ...]
    slots: dict[str, tuple[Word, ...]]
    ends: dict[str, dict[str, tuple[Word, ...]]]
    words: dict[str, Word]


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
    return Grammar(lines, _chances(lines, seen), slots, ends, words)


def _slots(language: str, mood: str) -> dict[str, tuple[Word, ...]]:
    """The words of each slot. `adj`, with its endings, is plain or, twice as often, of the mood."""
    tint, other = TINTS[::-1] if mood == "sad" else TINTS
    banks = {part: bank for part, bank in parts(language).items() if part not in NOT_CONTENT}
    slots = {f"{{{part}}}": bank for part, bank in banks.items()}
    for part, bank in banks.items():
        if part.startswith("plain"):
            ending = part.removeprefix("plain")
            slots[f"{{adj{ending}}}"] = bank + banks[tint + ending] * 2
    fitting = (bank for part, bank in banks.items() if not part.startswith(other))
    slots["{any}"] = tuple(dict.fromkeys(word for bank in fitting for word in bank))
    return slots


def _chances(
    lines: tuple[tuple[str, ...], ...], slots: dict[str, tuple[Word, ...]]
) -> tuple[float, ...]:
    """A chance for each template, such that words of large and of small parts come up alike."""
    uses = Counter(item for line in lines for item in line if item[0] == "{")
    chances = []
    for line in lines:
        needs = [len(slots[item]) / uses[item] for item in line if item[0] == "{"]
        chances.append(sum(needs) / len(needs))
    free = ["{any}" in line for line in lines]
    bound = sum(chance for chance, is_free in zip(chances, free, strict=True) if not is_free)
    share = FREE_SHARE / (1 - FREE_SHARE) * bound / sum(free)
    return tuple(share if is_free else chance for chance, is_free in zip(chances, free, strict=True))
