"""Bands that are made as loud as latents say."""

import math

import torch

from heartlib.heartcodec.configuration_heartcodec import HeartCodecConfig
from heartlib.heartcodec.models.analysis import COEFFICIENTS, MOST, SPREAD, analyse, match_levels
from heartlib.heartcodec.models.sq_codec import SQCodec, fold_weight_norm

LATENTS = 25


def noise(*, seed: int, rows: int = 2) -> torch.Tensor:
    """As loud in each octave as music is, roughly."""
    generator = torch.Generator().manual_seed(seed)
    spectrum = torch.fft.rfft(torch.randn(rows, 1, LATENTS * 1920, generator=generator))
    hertz = torch.fft.rfftfreq(LATENTS * 1920, 1 / 48000)
    return torch.fft.irfft(0.2 * spectrum / (1 + hertz / 300))


def distance(wave: torch.Tensor, latents: torch.Tensor) -> float:
    """Mean difference of the levels away from the ends, as latents tell them."""
    return float((analyse(wave) - latents)[:, COEFFICIENTS:, 1:-1].abs().mean())


def test_a_wave_of_these_levels_stays_as_it_is():
    wave = noise(seed=0)
    latents = analyse(wave)
    assert latents.abs().max() < 1
    made = match_levels(wave, latents)
    assert made.shape == wave.shape
    assert (made - wave)[..., 512:-512].abs().max() < 1e-5


def test_levels_come_close():
    told, wave = analyse(noise(seed=0)), noise(seed=1)
    swell = 10 ** (0.2 * torch.sin(torch.arange(wave.shape[-1]) / 9600))  # up to 4 dB
    before, after = wave * swell, match_levels(wave * swell, told)
    assert distance(after, told) < 0.6 * distance(before, told)
    torch.testing.assert_close(after[:1], match_levels(before[:1], told[:1]))


def test_no_band_moves_by_more_than_allowed():
    wave = noise(seed=0)
    for factor in (0.2, 5.0):
        plain = wave * factor
        made = match_levels(plain, analyse(wave))
        change = (analyse(made) - analyse(plain))[:, COEFFICIENTS:, 1:-1] * SPREAD / 2
        assert abs(abs(float(change.mean())) - math.log(MOST)) < 0.05
        assert (change.mean() > 0) == (factor < 1)
    silence = torch.zeros(1, 1, LATENTS * 1920)
    assert not match_levels(silence, analyse(wave[:1])).any()


def test_sounds_below_the_bands_stay_as_they_are():
    clock = torch.arange(LATENTS * 1920) / 48000
    low = 0.5 * torch.sin(2 * math.pi * 150 * clock)[None, None]
    made = match_levels(low + noise(seed=2, rows=1), analyse(noise(seed=3, rows=1)))
    for frequency in (150.0, 151.0):
        tone = torch.exp(2j * math.pi * frequency * clock)
        before, after = ((wave[0, 0] * tone).mean().abs() for wave in (low, made))
        assert abs(float(after - before)) < 0.01


def test_the_decoder_of_an_analysed_codec_is_matched_and_no_other():
    for kind in ("analysis", "learned"):
        torch.manual_seed(0)
        codec = fold_weight_norm(SQCodec(HeartCodecConfig(init_channel=2, scalar_encoder=kind)))
        latents = codec.quantise(analyse(noise(seed=0)))
        with torch.inference_mode():
            made, plain = codec.decode(latents), codec.decoder(latents)
        expected = match_levels(plain, latents) if kind == "analysis" else plain
        torch.testing.assert_close(made, expected, atol=1e-5, rtol=1e-3)
        assert (kind == "analysis") != torch.allclose(made, plain, atol=1e-5)
