"""Loudness, clipping and silence of waves whose values are known."""

import numpy as np
import pytest
from sounds import RATE, stereo, time_of, tone

from heartlib.evaluation import levels


def test_loudness_of_the_standards_tone():
    """BS.1770: a 997 Hz sine of -20 dBFS on two channels measures -20 LUFS (3.01 below its peak twice)."""
    sine = 10 ** (-20 / 20) * np.sin(2 * np.pi * 997 * time_of(5))
    assert levels.loudness(stereo(sine), RATE) == pytest.approx(-20.0, abs=0.1)
    assert levels.rms_db(stereo(sine)) == pytest.approx(-23.01, abs=0.01)
    assert levels.loudness(np.zeros((2, RATE), np.float32), RATE) == float("-inf")


def test_clipping_is_counted_at_any_level():
    sine = np.sin(2 * np.pi * 100 * time_of(1))
    assert levels.clipped_samples(stereo(0.9 * sine)) == 0
    cut = np.clip(1.5 * sine, -1, 1)
    assert levels.clipped_samples(stereo(cut)) == 2 * int((np.abs(cut) == 1).sum())
    assert levels.clipped_samples(stereo(0.5 * cut)) == levels.clipped_samples(stereo(cut))


def test_only_silence_inside_counts():
    sound = tone(220, 2)
    quiet = np.zeros(round(1.5 * RATE))
    song = np.concatenate([quiet, quiet, sound, quiet, sound, quiet, quiet])
    assert levels.longest_silence(stereo(song), RATE) == pytest.approx(1.5, abs=0.03)
    assert levels.longest_silence(stereo(sound), RATE) == 0
    blip = np.concatenate([sound, quiet, sound[: RATE // 20]])
    assert levels.longest_silence(stereo(blip), RATE) == 0
    assert levels.longest_silence(stereo(quiet), RATE) == pytest.approx(1.5)


def test_runs():
    flags = np.array([True, False, True, True])
    assert levels.runs(flags) == [(0, 1), (2, 4)]
