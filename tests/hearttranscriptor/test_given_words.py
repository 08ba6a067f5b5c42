"""Given words beside heard ones: known letters give a known path and known times."""

from itertools import pairwise

import numpy as np
import pytest

from heartlib.errors import UsageError
from heartlib.hearttranscriptor.given_words import (
    EXTEND,
    OPEN,
    RIGHT,
    WRONG,
    Beside,
    Cut,
    gather,
    pairs,
    spoken,
    spread,
    stretches,
    sung_lines,
    words_of,
)
from heartlib.hearttranscriptor.word_times import Word


def score(found: np.ndarray, given: str, heard: str) -> int:
    """What a path is worth: its pairs and its gaps."""
    at = [(-1, -1), *((i, int(j)) for i, j in enumerate(found) if j >= 0), (len(given), len(heard))]
    total = sum(RIGHT if given[i] == heard[j] else WRONG for i, j in at[1:-1])
    for (i, j), (k, m) in pairwise(at):
        for gap in (k - i - 1, m - j - 1):
            total += OPEN + EXTEND * gap if gap else 0
    return total


def best(given: str, heard: str) -> float:
    """The worth of the best path, the slow way."""
    value: dict[tuple[int, int, str], float] = {(0, 0, "pair"): 0}
    for i in range(len(given) + 1):
        for j in range(len(heard) + 1):
            ways = {"pair": [], "given": [], "heard": []}
            for was in ways:
                if i and j:
                    worth = RIGHT if given[i - 1] == heard[j - 1] else WRONG
                    ways["pair"].append(value.get((i - 1, j - 1, was), -np.inf) + worth)
                for name, place in (("given", (i - 1, j)), ("heard", (i, j - 1))):
                    cost = EXTEND + (OPEN if was != name else 0)
                    ways[name].append(value.get((*place, was), -np.inf) + cost)
            for name, found in ways.items():
                if (i, j) != (0, 0) and found:
                    value[i, j, name] = max(found)
    return max(value.get((len(given), len(heard), name), -np.inf) for name in ways)


def test_the_path_is_the_best_one():
    rng = np.random.default_rng(0)
    for _ in range(60):
        given, heard = ("".join(rng.choice(list("abc"), rng.integers(0, 9))) for _ in range(2))
        found = pairs(given, heard)
        known = found[found >= 0]
        assert len(found) == len(given) and (np.diff(known) > 0).all()
        assert score(found, given, heard) == best(given, heard), (given, heard)


def test_a_line_that_is_not_heard_stays_together():
    found = pairs("oursongthedog", "thedog")
    assert found.tolist() == [-1] * 7 + [0, 1, 2, 3, 4, 5]
    assert pairs("abc", "").tolist() == [-1, -1, -1] and len(pairs("", "abc")) == 0


def test_lines_that_are_sung():
    lyrics = "[Verse]\nOh — sing,\n\n[Chorus x2] again!\r\n(…)\n[00:01.00]春 天\n"
    assert sung_lines(lyrics) == ["Oh — sing,", "again!", "春 天"]
    assert spoken("Don’t ＳＴＯＰ, Señor!") == "don't stop señor"
    assert words_of("春天。OK", spaced=False) == ["春", "天。OK"]
    for nothing, message in ((" \n", "are empty"), ("[Verse]\n[Outro]", "no words, only section")):
        with pytest.raises(UsageError, match=message):
            sung_lines(nothing)


def test_words_are_expected_where_they_are_heard():
    heard = [Word("oh", 1.0, 1.4), Word("sing", 2.0, 2.4), Word("again", 9.0, 30.0)]
    middles = Beside(["Oh,", "sing", "me", "a", "song", "again"], heard).expected(0.0, 40.0)
    assert middles[:2] == pytest.approx([1.2, 2.2]) and middles[5] == pytest.approx(9.625)
    assert (np.diff(middles) > 0).all()
    assert Beside(["a", "b"], []).expected(3.0, 6.0) == pytest.approx([4.0, 5.0])


def test_cuts_are_between_words_that_are_heard_rightly():
    heard = [Word(text, at, at + 1.0) for at, text in enumerate(["a", "bee", "sea", "dee", "eff"])]
    cuts = Beside(["a", "bee", "new", "sea", "dee", "off"], heard).cuts()
    assert [(cut.word, cut.time) for cut in cuts] == [(1, 0.8), (4, 2.8)]


def test_stretches_are_cut_at_rests():
    cuts = [Cut(2, 12.0, 1.0), Cut(4, 20.0, 4.0), Cut(6, 28.0, 2.0), Cut(8, 70.0, 0.5)]
    last = Cut(9, 75.0, 0.0)
    found = stretches(cuts, last, 30.0)
    assert [(a.word, b.word) for a, b in found] == [(0, 4), (4, 6), (6, 8), (8, 9)]
    assert stretches([], last, 30.0) == [(Cut(0, 0.0, 0.0), last)]


def test_pieces_give_their_times_to_words():
    pieces = [Word(" sil", 1.0, 1.6), Word("ver sea", 2.0, 3.2)]
    found = gather(["—", "Silver,", "&", "sea"], pieces, 0.5)
    assert found == [
        Word("—", 0.5, 0.5),
        Word("Silver,", 1.0, 2.6),
        Word("&", 2.6, 2.6),
        Word("sea", 2.6, 3.2),
    ]
    assert gather(["gold"], pieces, 0.0) is None
    assert spread(["a", "sea"], 0.0, 4.0) == [Word("a", 0.0, 1.0), Word("sea", 1.0, 4.0)]
