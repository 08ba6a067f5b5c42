"""`measure` refuses what it cannot measure, and does not depend on level or sample rate."""

import numpy as np
import pytest
from sounds import RATE, chords, drums, stereo

from heartlib.audio import resample
from heartlib.errors import UsageError
from heartlib.evaluation import measure


@pytest.fixture(scope="module")
def song() -> np.ndarray:
    return stereo(0.5 * drums(107.14, 12) + chords(7, minor=False, seconds=12))


@pytest.mark.parametrize(
    ("wave", "message"),
    [
        (np.zeros(RATE * 3), r"\[2, samples\], not \[144000\]"),
        (np.zeros((1, RATE * 3)), r"\[2, samples\], not \[1, 144000\]"),
        (np.zeros((2, RATE // 20)), "0.05 s is too short"),
        (np.full((2, RATE * 3), np.nan), "not finite"),
    ],
)
def test_what_cannot_be_measured(wave: np.ndarray, message: str):
    with pytest.raises(UsageError, match=message):
        measure(wave)


def test_silence_is_measured():
    measures = measure(np.zeros((2, RATE * 3), np.float32))
    assert measures.silence == 3 and measures.peak == 0 and measures.loudness == float("-inf")
    assert measures.to_dict()["loudness"] is None  # JSON has no infinity
    assert not measures.sung and measures.singer == "none"


def test_a_tenth_of_a_second_is_enough(song: np.ndarray):
    measures = measure(song[:, RATE : RATE + RATE // 10])
    assert measures.duration == 0.1 and measures.peak > 0 and measures.join_jumps == ()


def test_drums_and_chords(song: np.ndarray):
    measures = measure(song)
    assert measures.tempo == pytest.approx(107.14, abs=0.01) and measures.tempo_class == "medium"
    assert (measures.key, measures.mode) == ("G", "major")
    assert measures.clipped == 0 and measures.clicks == 0
    assert not measures.sung


def test_level_and_rate_change_only_the_levels(song: np.ndarray):
    loud, quiet = measure(song), measure(0.5 * song)
    assert quiet.loudness == pytest.approx(loud.loudness - 6.02, abs=0.05)
    assert quiet.instruments == pytest.approx(loud.instruments, abs=0.01)
    slow = measure(resample(song, RATE, 44100), 44100)
    assert (slow.tempo, slow.key, slow.mode) == (loud.tempo, loud.key, loud.mode)
    assert slow.duration == pytest.approx(loud.duration, abs=0.001)
