"""How late words are, where those that are given are cut elsewhere than those that are sung."""

import numpy as np

from heartlib.evaluation.word_times import errors, parted_alike
from heartlib.hearttranscriptor.word_times import Word


def test_words_are_parted_where_both_are():
    sung = [
        Word("雪", 0.0, 0.4),
        Word("音乐", 1.0, 2.0),
        Word("かのじょ", 3.0, 3.5),
        Word("は", 3.5, 4.0),
    ]
    given = [
        Word("雪,", 0.1, 0.4),
        Word("音", 1.0, 1.5),
        Word("乐", 1.5, 1.9),
        Word("かのじょは", 3.2, 3.9),
    ]
    told, found = parted_alike(sung, given)
    assert [word.text for word in told] == ["雪", "音乐", "かのじょは"]
    np.testing.assert_allclose(
        errors(told, found), [[0.1, 0.0], [0.0, -0.1], [0.2, -0.1]], atol=1e-9
    )


def test_the_same_words_stay():
    words = [Word("ah", 0.0, 1.0), Word("oh", 1.0, 2.0)]
    assert parted_alike(words, words) == (words, words)
