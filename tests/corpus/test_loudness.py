"""The mix's loudness meter, which weights spectra, against a meter that filters."""

import numpy as np
import pytest

pytest.importorskip("scipy")
pyloudnorm = pytest.importorskip("pyloudnorm")

from heartlib.corpus.mix import RATE, loudness  # noqa: E402


@pytest.mark.parametrize("tilt", [-0.5, 0.0, 1.0])
def test_it_is_the_standards(tilt: float):
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.standard_normal((2, 8 * RATE)))
    lines = np.maximum(np.fft.rfftfreq(8 * RATE, 1 / RATE), 20.0)
    wave = np.fft.irfft(spectrum * (lines / 1000) ** tilt)
    swell = 0.2 + np.sin(np.linspace(0, 3 * np.pi, wave.shape[1])) ** 2
    wave = 0.1 * wave / wave.std() * swell
    expected = pyloudnorm.Meter(RATE).integrated_loudness(wave.T)
    assert loudness(wave) == pytest.approx(expected, abs=0.1)


def test_silence_has_none():
    assert loudness(np.zeros((2, RATE), np.float32)) == -120.0
