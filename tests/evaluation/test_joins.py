"""Clicks and jumps that were put there are found, and none where there are none."""

import numpy as np
import pytest
from sounds import RATE, drums, stereo, tone

from heartlib.evaluation import joins

BPM = 125.0


@pytest.fixture(scope="module")
def song() -> np.ndarray:
    return stereo(drums(BPM, 34) + tone(220, 34))


def test_positions_of_the_cross_fades():
    assert joins.join_positions(372 * 3840) == []
    assert joins.join_positions(373 * 3840) == [320 * 3840, 372 * 3840]
    assert joins.join_positions(700 * 3840)[2:] == [640 * 3840, 692 * 3840]


def test_drums_are_no_clicks_but_a_step_is(song: np.ndarray):
    assert len(joins.clicks(song)) == 0
    broken = song.copy()
    broken[1, 100_000:] += 0.05
    broken[0, 700_000] += 0.1
    assert joins.clicks(broken) == pytest.approx([100_000, 700_000], abs=2)


def test_a_fall_of_level_at_a_join_stands_out(song: np.ndarray):
    edges = joins.join_positions(song.shape[1])
    quiet = joins.jump_percentiles(song, edges, 60 / BPM)
    assert len(quiet) == 2 and max(quiet) < 99
    broken = song.copy()
    broken[:, edges[0] :] *= 0.2
    assert joins.jump_percentiles(broken, edges, 60 / BPM)[0] == 100


def test_too_short_for_a_comparison():
    assert joins.jump_percentiles(np.zeros((2, RATE), np.float32), [1000], 0.5) == []
