"""The vocoder: pulses where the pitch says, power as the envelope says, noise where there is no voice."""

import numpy as np
import pytest

pytest.importorskip("scipy")

from heartlib.corpus.vocoder import STEP, minimum_phase, pulses, synthesize
from heartlib.corpus.voice_bank import FFT, RATE

BINS = FFT // 2 + 1


def power_at(wave: np.ndarray, frequency: float) -> float:
    """Power of a wave in 200 Hz around a frequency."""
    spectrum = np.abs(np.fft.rfft(wave)) ** 2 / len(wave) ** 2 * 2
    lines = np.fft.rfftfreq(len(wave), 1 / RATE)
    return float(spectrum[np.abs(lines - frequency) < 100].sum())


def test_a_pulse_a_period():
    at, period = pulses(np.full(400, 200.0))
    assert len(at) == pytest.approx(400 * STEP / RATE * 200, abs=1)
    np.testing.assert_allclose(np.diff(at), RATE / 200, atol=1e-6)
    np.testing.assert_allclose(period, RATE / 200)


def test_no_pulse_without_voice():
    f0 = np.concatenate([np.full(100, 150.0), np.zeros(100), np.full(100, 150.0)])
    at, _ = pulses(f0)
    assert not ((at > 101 * STEP) & (at < 199 * STEP)).any()
    assert len(pulses(np.zeros(50))[0]) == 0


@pytest.mark.parametrize("aperiodicity", [0.0, 1.0])
def test_power_is_the_envelopes_whatever_the_pitch(aperiodicity):
    envelope = np.full((600, BINS), 1e-4)
    envelope[:, 100:120] = 1e-2  # around 2.6 kHz
    for pitch in (110.0, 220.0):
        wave = synthesize(np.full(600, pitch), envelope, np.full((600, BINS), aperiodicity))
        assert len(wave) == 600 * STEP
        assert wave.var() == pytest.approx(envelope[0].mean(), rel=0.2)
        assert power_at(wave, 2580) > 20 * power_at(wave, 8000)


def test_a_voice_is_harmonic_and_breath_is_not():
    envelope = np.full((600, BINS), 1e-3)
    f0 = np.full(600, 240.0)
    for aperiodicity, least, most in ((0.0, 0.95, 1.0), (1.0, -0.2, 0.2)):
        wave = synthesize(f0, envelope, np.full((600, BINS), aperiodicity))[STEP:-STEP]
        lag = RATE // 240
        likeness = np.corrcoef(wave[:-lag], wave[lag:])[0, 1]
        assert least <= likeness <= most


def test_minimum_phase_keeps_the_power_and_comes_early():
    rng = np.random.default_rng(0)
    power = np.exp(
        rng.standard_normal((3, 12)) @ np.cos(np.outer(np.arange(12), np.linspace(0, 3, BINS)))
    )
    spectrum = minimum_phase(power.astype(np.float32))
    np.testing.assert_allclose(np.abs(spectrum) ** 2, power, rtol=1e-2)
    impulse = np.fft.irfft(spectrum, FFT) ** 2
    assert (impulse[:, : FFT // 4].sum(1) > 0.99 * impulse.sum(1)).all()


def test_the_same_voice_twice_is_the_same_sound():
    envelope, rough = np.full((50, BINS), 1e-3), np.full((50, BINS), 0.5)
    np.testing.assert_array_equal(
        synthesize(np.full(50, 200.0), envelope, rough),
        synthesize(np.full(50, 200.0), envelope, rough),
    )
