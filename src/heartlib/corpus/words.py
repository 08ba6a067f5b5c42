"""Lines of lyrics from a small grammar: singable, clean, rhymed in couplets.

Source: our own; the vocabulary is `lexicon.py`.
"""

import random
from dataclasses import dataclass
from functools import cache

from heartlib.corpus import lexicon

TEMPLATES = (
    "I will {verb} the {adj} {noun}",
    "we are {doing} in the {noun}",
    "the {noun} is {adj} and the {noun} is {adj}",
    "{act} with me {adverb}",
    "{plural} {act} in the {adj} {noun}",
    "you are my {adj} {noun}",
    "{exclaim} I can {verb} your {noun}",
    "let the {noun} {act} {adverb}",
    "under the {noun} we {act}",
    "all the {plural} {act} {adverb}",
    "here in the {noun} I {act}",
    "take my {noun} and {act}",
    "I hear the {noun} {doing}",
    "never {verb} the {noun}",
    "{verb} me and {act} {adverb}",
    "we {act} and we {act} {adverb}",
    "every {noun} will {act}",
    "my {noun} is {doing} {how}",
    "where the {adj} {plural} {act}",
    "and the {noun} is {adj}",
    "like a {noun} in the {noun}",
    "{adverb} I {verb} the {plural}",
    "{number} {plural} in the {noun}",
    "over the {noun} and the {noun}",
    "you {verb} me like a {noun}",
    "can you {verb} the {noun} {adverb}",
    "{doing} down the {adj} {noun}",
    "they {how} {verb} my {noun}",
    "so many {adj} {plural}",
    "through the {noun} to the {noun}",
    "{exclaim} the {noun} is {adj}",
    "I {verb} your {noun} {adverb}",
    "until the {noun} is {adj}",
    "there was a {noun} by the {noun}",
    "she is {doing} for {plural}",
    "he could {verb} a {adj} {noun}",
    "when you {act} I {act}",
    "{adj} {noun} {adj} {noun}",
    "your {noun} must {act} {adverb}",
    "some {plural} are {adj} and {adj}",
    "{verb} the {noun} before we {act}",
    "who will {verb} the {plural}",
    "not too {adj} not too {adj}",
    "we had {number} {adj} {plural}",
)
"""Lines; a name in braces is a part of speech, `adj` follows the mood."""


@dataclass(frozen=True)
class Word:
    """One lexicon entry: its text, how many notes it takes, its rhyme class (`-` for none)."""

    text: str
    syllables: int
    rhyme: str


@cache
def parts() -> dict[str, tuple[Word, ...]]:
    """The lexicon by part of speech (lower case)."""
    names = [name for name in dir(lexicon) if name.isupper()]
    return {name.lower(): _parse(getattr(lexicon, name)) for name in names}


@cache
def vocabulary() -> dict[str, Word]:
    """Every singable word by its text."""
    return {word.text: word for words in parts().values() for word in words}


def line_syllables(line: str) -> int:
    """Notes that a line takes. KeyError names a word outside the vocabulary."""
    return sum(vocabulary()[word].syllables for word in line.split())


class Poet:
    """Writes the lines of one song; no line is written twice."""

    def __init__(self, rng: random.Random, mood: str) -> None:
        self.rng = rng
        bank = parts()
        tint = bank["sad"] if mood == "sad" else bank["happy"]
        self.slots = {**bank, "adj": bank["plain"] + tint * 2}
        self.seen: set[str] = set()

    def couplet(self, shortest: int, longest: int) -> list[str]:
        """Two rhyming lines of `shortest` to `longest` syllables each."""
        for _ in range(200):
            first = self._line(shortest, longest, rhyme=None)
            last = vocabulary()[first.split()[-1]]
            if last.rhyme == "-":
                continue
            second = self._line(shortest, longest, rhyme=last)
            if second:
                self.seen.update((first, second))
                return [first, second]
        raise AssertionError("the lexicon has no rhymes left")

    def lines(self, count: int, shortest: int, longest: int) -> list[str]:
        """`count` lines (even) in couplets."""
        return [line for _ in range(count // 2) for line in self.couplet(shortest, longest)]

    def _line(self, shortest: int, longest: int, rhyme: Word | None) -> str:
        for _ in range(400):
            template = self.rng.choice(TEMPLATES).split()
            if rhyme is None:
                words = [self._word(item) for item in template]
            else:
                ends = [
                    word.text
                    for word in self.slots.get(template[-1].strip("{}"), ())
                    if word.rhyme == rhyme.rhyme and word.text != rhyme.text
                ]
                if not ends:
                    continue
                words = [self._word(item) for item in template[:-1]] + [self.rng.choice(ends)]
            line = " ".join(_articles(words))
            repeats = len(set(words)) < len(words) and "{adj} {noun} {adj}" in " ".join(template)
            if (
                shortest <= line_syllables(line) <= longest
                and line not in self.seen
                and not repeats
            ):
                return line
        return ""

    def _word(self, item: str) -> str:
        return self.rng.choice(self.slots[item[1:-1]]).text if item[0] == "{" else item


def _articles(words: list[str]) -> list[str]:
    """`a` before a vowel letter becomes `an`."""
    pairs = zip(words, [*words[1:], ""], strict=True)
    return ["an" if w == "a" and after[:1] in "aeio" else w for w, after in pairs]


def _parse(block: str) -> tuple[Word, ...]:
    rows = (entry.split(".") for entry in block.split())
    return tuple(Word(text, int(count), rhyme) for text, count, rhyme in rows)
