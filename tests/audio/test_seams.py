"""A seam keeps what it must keep, and its level does not dip."""

import numpy as np
import pytest

from heartlib.audio.seams import cross_fade, join, level_gain, likeness

RNG = np.random.default_rng(0)
LONG = 48_000


def noise(samples: int = LONG, level: float = 0.1) -> np.ndarray:
    return (level * RNG.standard_normal((2, samples))).astype(np.float32)


def rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))


def test_the_same_sound_is_faded_into_itself_unchanged():
    wave = noise()
    assert likeness(wave, wave) == pytest.approx(1)
    np.testing.assert_allclose(cross_fade(wave, wave), wave, atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_no_dip_whatever_the_likeness(share: float):
    before, other = noise(), noise()
    after = (share * before + np.sqrt(1 - share**2) * other).astype(np.float32)
    assert likeness(before, after) == pytest.approx(share, abs=0.02)
    faded = cross_fade(before, after)
    assert faded.dtype == np.float32
    assert np.array_equal(faded[:, 0], before[:, 0])
    np.testing.assert_allclose(faded[:, -1], after[:, -1], rtol=1e-6)
    for tenth in np.split(faded, 10, axis=1):
        assert rms(tenth) == pytest.approx(0.1, rel=0.05)


def test_opposite_sounds_and_silence():
    wave = noise(100)
    assert likeness(wave, -wave) == 0
    assert likeness(wave, wave * 0) == 1
    assert np.isfinite(cross_fade(wave, -wave)).all()
    assert not cross_fade(wave * 0, wave * 0).any()


def test_gain():
    wave = noise()
    assert level_gain(wave, wave * 2) == pytest.approx(0.5)
    assert level_gain(wave, wave * 0) == level_gain(wave * 0, wave) == 1
    assert level_gain(wave, wave * 100) == 0.25 and level_gain(wave[:, :0], wave[:, :0]) == 1


def test_the_kept_part_is_kept_and_the_level_goes_on():
    song = noise(2 * LONG)
    kept, made = song[:, :LONG], song * np.float32(1.5)
    joined = join(kept, made, fade=4800, listen=LONG)
    assert joined.shape == made.shape and joined.dtype == np.float32
    assert np.array_equal(joined[:, : LONG - 4800], kept[:, : LONG - 4800])
    np.testing.assert_allclose(joined, song, atol=1e-6)  # the same sound, only louder


@pytest.mark.parametrize("fade", [0, 1, LONG, 2 * LONG])
def test_any_length_of_fade(fade: int):
    kept, made = noise(), noise(2 * LONG)
    joined = join(kept, made, fade=fade, listen=LONG)
    exact = max(0, LONG - fade)
    assert joined.shape == made.shape and np.array_equal(joined[:, :exact], kept[:, :exact])


def test_loud_continuations_stay_below_the_peak_of_what_is_kept():
    kept, made = noise(level=0.2), noise(2 * LONG, level=0.2)
    made[:, LONG + 5000] = 3.0
    made[0, LONG - 100] = 3.0
    joined = join(kept, made, fade=4800, listen=LONG)
    assert np.abs(joined).max() <= max(10 ** (-1 / 20), np.abs(kept).max()) + 1e-6
    assert np.array_equal(joined[:, : LONG - 4800], kept[:, : LONG - 4800])
