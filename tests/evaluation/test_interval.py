"""Bootstrap intervals."""

import numpy as np
import pytest

from heartlib.evaluation.interval import ratio_interval


def test_equal_songs_leave_no_doubt():
    assert ratio_interval([2.0] * 5, [10.0] * 5) == (0.2, 0.2)


def test_the_interval_of_a_coin_is_the_binomial_one():
    heads = [1.0] * 50 + [0.0] * 50
    low, high = ratio_interval(heads, [1.0] * 100)
    assert (low, high) == pytest.approx((0.402, 0.598), abs=0.015)


def test_it_narrows_with_songs_and_repeats():
    rng = np.random.default_rng(0)
    parts = rng.random(400).tolist()
    few, many = ratio_interval(parts[:25], [1.0] * 25), ratio_interval(parts, [1.0] * 400)
    assert few[1] - few[0] > 3 * (many[1] - many[0])
    assert ratio_interval(parts, [1.0] * 400) == many
    assert ratio_interval(parts, [1.0] * 400, seed=1) != many


def test_no_songs():
    with pytest.raises(ValueError, match="0 parts"):
        ratio_interval([], [])
