"""Lines of lyrics from a grammar: singable, clean, rhymed.

Source: our own; words and line templates are the data of `lexicon`.
"""

import random
from itertools import accumulate, pairwise

from heartlib.corpus.grammar import grammar
from heartlib.corpus.lexicon import Word, held_out, vocabulary

__all__ = ["Poet", "Word", "held_out", "line_syllables", "vocabulary", "written"]

SCHEMES = ("AABB", "AABB", "ABAB", "ABCB")
"""How four lines rhyme; two lines are a couplet."""
TRIES = 200
CHOICE = 4
"""Templates that a line is chosen from, for words that have their turn."""
TURN = 10
"""Words that have their turn in a song: the next song has the next ones."""
EAGER = 0.9
"""How often a slot takes a word that has its turn, where one fits."""


def line_syllables(line: str, language: str = "en") -> int:
    """Notes that a line takes. KeyError names a word outside the vocabulary."""
    return sum(vocabulary(language)[word].syllables for word in line.split())


def written(line: str, language: str = "en") -> str:
    """A line as people write it: Mandarin without spaces, particles joined to the word before."""
    words = line.split()
    if language == "zh":
        return "".join(words)
    joined = [i > 0 and "particle" in vocabulary(language)[w].parts for i, w in enumerate(words)]
    return "".join(word if i == 0 or joined[i] else f" {word}" for i, word in enumerate(words))


class Poet:
    """Writes the lines of one song; no line is written twice.

    With `unseen`, words held out of the corpus (`held_out`) come wherever a part of speech has
    some; without, they never do. `turn`, a song's number in its corpus, lets every word have its
    turn in some song. Lines have spaces between words in every language.
    """

    def __init__(
        self,
        rng: random.Random,
        mood: str,
        language: str = "en",
        unseen: bool = False,
        turn: int | None = None,
    ) -> None:
        self.rng = rng
        self.grammar = grammar(language, mood, unseen)
        self.totals = list(accumulate(self.grammar.chances))
        self.written: set[str] = set()
        self.due: dict[str, list[Word]] = {}
        order = self.grammar.order
        for number in range(0 if turn is None else TURN):
            text = order[((turn or 0) * TURN + number) % len(order)]
            for slot in self.grammar.homes.get(text, ()):
                self.due.setdefault(slot, []).append(self.grammar.words[text])

    def lines(self, count: int, shortest: int, longest: int) -> list[str]:
        """`count` lines of `shortest` to `longest` syllables each: stanzas of four, a couplet last.

        ValueError for an odd count, AssertionError where no words fit.
        """
        if count % 2:
            raise ValueError(f"{count} lines do not rhyme in pairs: give an even count")
        lines: list[str] = []
        while len(lines) < count:
            scheme = self.rng.choice(SCHEMES) if count - len(lines) >= 4 else "AA"
            lines += self._stanza(scheme, shortest, longest)
        return lines

    def _stanza(self, scheme: str, shortest: int, longest: int) -> list[str]:
        """Lines whose ends rhyme where the scheme has the same letter, and only there.

        Words that have their turn give it up where no stanza is found with them.
        """
        for attempt in range(2 * TRIES):
            if attempt == TRIES:
                self.due = {}
            due = dict(self.due)
            ends: dict[str, Word] = {}
            lines: list[str] = []
            for letter in scheme:
                words = self._line(shortest, longest, ends.get(letter))
                last = words[-1] if words else None
                line = " ".join(word.text for word in words)
                others = {end.rhyme for key, end in ends.items() if key != letter}
                if last is None or line in self.written | set(lines) or last.rhyme in others:
                    break
                ends.setdefault(letter, last)
                lines.append(line)
                self._strike({word.text for word in words})
            else:
                self.written.update(lines)
                return lines
            self.due = due
        raise AssertionError("the lexicon has no rhymes left")

    def _line(self, shortest: int, longest: int, rhyme: Word | None) -> list[Word]:
        """A line that ends with a rhyme, on any word without one; empty when none was found."""
        for _ in range(TRIES):
            template = self._template()
            words = [self._word(item) for item in template[:-1]]
            if rhyme is None:
                words.append(self._word(template[-1]))
            else:
                group = self.grammar.ends[template[-1]].get(rhyme.rhyme, ())
                ends = [word for word in group if not _same(word.text, rhyme.text)]
                if not ends:
                    continue
                words.append(self.rng.choice(ends))
            content = [w.text for w, i in zip(words, template, strict=True) if i[0] == "{"]
            fits = shortest <= sum(word.syllables for word in words) <= longest
            if fits and len(set(content)) == len(content):
                return self._agree(words)
        return []

    def _template(self) -> tuple[str, ...]:
        """Of a few templates the one with most room for words that have their turn."""
        few = self.rng.choices(self.grammar.templates, cum_weights=self.totals, k=CHOICE)
        return max(few, key=lambda line: sum(bool(self.due.get(item)) for item in line))

    def _word(self, item: str) -> Word:
        if item[0] == "{":
            due = self.due.get(item)
            if due and self.rng.random() < EAGER:
                return self.rng.choice(due)
            bank, sums = self.grammar.slots[item]
            return self.rng.choices(bank, cum_weights=sums)[0]
        return self.grammar.words[item]

    def _strike(self, used: set[str]) -> None:
        """Words that were written have had their turn."""
        for slot, due in self.due.items():
            self.due[slot] = [word for word in due if word.text not in used]

    def _agree(self, words: list[Word]) -> list[Word]:
        """`a` before a vowel's sound becomes `an`."""
        an = self.grammar.words.get("an")
        agreed = [
            an if an and word.text == "a" and after.opens else word
            for word, after in pairwise(words)
        ]
        return [*agreed, words[-1]]


def _same(word: str, other: str) -> bool:
    """Whether a rhyme would only repeat a word, as `light` and `moonlight` do."""
    return word.endswith(other) or other.endswith(word)
