"""Attention that is known gives times that are known."""

import numpy as np
import pytest

from heartlib.hearttranscriptor.windows import RATE, cut, windows
from heartlib.hearttranscriptor.word_times import Word, spans, words


def test_tokens_take_the_frames_that_are_looked_at():
    looks = np.zeros((3, 20))
    looks[0, 2:5] = looks[1, 5:8] = looks[2, 14:18] = 0.3
    starts, ends = spans(looks)
    assert starts.tolist() == [2, 5, 14]
    assert ends.tolist() == [5, 8, 18]


def test_order_is_kept_where_attention_goes_back():
    rng = np.random.default_rng(0)
    for count, frames in ((1, 1), (4, 4), (7, 30), (200, 1500)):
        looks = rng.dirichlet(np.full(frames, 0.1), size=count)
        starts, ends = spans(looks)
        assert (ends > starts).all() and (starts[1:] >= ends[:-1]).all()
        assert starts[0] >= 0 and ends[-1] <= frames


def test_the_best_path_is_found():
    """Against every monotone path of two tokens in six frames."""
    looks = np.random.default_rng(1).random((2, 6)) * 0.02
    starts, ends = spans(looks)

    def gain(a: int, b: int, c: int, d: int) -> float:
        return looks[0, a:b].sum() + looks[1, c:d].sum() + 0.005 * (6 - (b - a) - (d - c))

    every = [
        (a, b, c, d)
        for a in range(6)
        for b in range(a + 1, 6)
        for c in range(b, 6)
        for d in range(c + 1, 7)
    ]
    found = (starts[0], ends[0], starts[1], ends[1])
    assert gain(*map(int, found)) == pytest.approx(max(gain(*path) for path in every))


def test_words_of_pieces():
    pieces = [Word(" sil", 1.0, 1.5), Word("ver,", 1.5, 2.5), Word(" sea", 3.0, 4.0)]
    assert words(pieces, spaced=True) == [Word("silver,", 1.0, 2.5), Word("sea", 3.0, 4.0)]
    signs = words([Word("春天", 0.0, 1.0), Word("。OK", 1.0, 1.3)], spaced=False)
    assert [sign.text for sign in signs] == ["春", "天。OK"]
    assert [sign.start for sign in signs] == [0.0, 0.5]
    assert words([], spaced=True) == []


def test_windows_of_blocks_are_those_of_the_whole():
    rng = np.random.default_rng(2)
    wave = rng.standard_normal(70 * RATE).astype(np.float32)
    blocks = np.split(wave, np.sort(rng.integers(0, len(wave), 9)))
    found = [(first, first + len(part)) for first, part in cut(blocks)]
    assert found == windows(wave)
    assert found[0][0] == 0 and found[-1][1] == len(wave)
    assert all(24 * RATE < end - first <= 30 * RATE for first, end in found[:-1])
    assert windows(wave[:0]) == []
