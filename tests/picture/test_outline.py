"""A sound in columns: the same by blocks and whole, and as it is."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from heartlib.audio.mel import hertz_to_mel
from heartlib.picture.outline import BANDS, HIGHEST, HOP, LOWEST, RATE, outline, reduced


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(samples).astype(np.float32) * 0.1


@pytest.mark.parametrize("samples", [1, HOP, 10 * HOP, 50_001])
def test_by_blocks_and_whole_are_the_same(samples: int):
    wave = noise(samples)
    cuts = [1, 2, 255, 256, 3000, 3001, 40_000]
    whole, parts = reduced([wave], per=3), reduced(np.split(wave, cuts), per=3)
    assert whole.duration == parts.duration == samples / RATE
    for name in ("low", "high", "rms", "mel"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-5, atol=1e-5)


def test_peaks_and_power_of_each_column():
    per = 4
    wave = noise(10 * per * HOP)
    found = reduced([wave], per)
    columns = wave.reshape(10, -1)
    np.testing.assert_array_equal(found.low, columns.min(axis=1))
    np.testing.assert_array_equal(found.high, columns.max(axis=1))
    np.testing.assert_allclose(found.rms, np.sqrt(np.square(columns).mean(axis=1)), rtol=1e-5)
    assert found.mel.shape == (BANDS, 10) and found.step == per * HOP / RATE


def test_a_tone_is_in_its_band_at_its_level():
    tone = 0.5 * np.sin(2 * np.pi * 2000 * np.arange(RATE) / RATE).astype(np.float32)
    found = reduced([tone], per=5)
    low, high = hertz_to_mel(LOWEST), hertz_to_mel(HIGHEST)
    band = (hertz_to_mel(2000) - low) / (high - low) * (BANDS + 1) - 1
    middle = found.mel[:, 10]
    assert abs(int(middle.argmax()) - band) <= 1
    assert -9 < middle.max() < -3 and np.median(middle) < middle.max() - 60


def test_a_long_file_has_no_more_columns_than_asked_for(tmp_path: Path):
    path = tmp_path / "long.wav"
    soundfile.write(path, np.repeat(noise(120 * 8000)[:, None], 3, axis=1), 8000)
    found = outline(path, 200)
    assert 150 < len(found.low) <= 201
    assert found.duration == pytest.approx(120, abs=0.01)
    assert len(found.low) * found.step == pytest.approx(120, abs=found.step)
