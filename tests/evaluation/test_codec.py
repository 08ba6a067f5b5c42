"""A sound through a tiny codec, and how far two sounds are apart."""

import numpy as np
import pytest
import torch
from sounds import RATE, stereo, tone

from heartlib.errors import CheckpointError
from heartlib.evaluation.codec import RoundTrip, mel_distance
from heartlib.heartcodec import HeartCodec
from heartlib.heartcodec.models.query_transformer import MelEncoder, MelEncoderConfig


@pytest.fixture(scope="module")
def codec(tiny_checkpoint) -> HeartCodec:
    return HeartCodec.from_pretrained(tiny_checkpoint / "HeartCodec-oss")


def test_a_song_keeps_its_length(codec: HeartCodec):
    torch.manual_seed(0)
    encoder = MelEncoder(MelEncoderConfig(width=32, num_heads=2, num_layers=1, dim=32)).eval()
    trip = RoundTrip(encoder, codec)
    wave = stereo(tone(220, 1.01))
    made = trip(wave, seed=3)
    assert made.shape == wave.shape and np.abs(made).max() < 1
    assert np.array_equal(made, trip(wave, seed=3)) and not np.array_equal(made, trip(wave, seed=4))


def test_an_encoder_that_is_missing(codec: HeartCodec, tmp_path):
    with pytest.raises(CheckpointError, match=r"encoder_config\.json is missing"):
        RoundTrip.from_pretrained(tmp_path, codec)


def test_distance_in_decibels():
    noise = 0.05 * np.random.default_rng(0).standard_normal((2, RATE)).astype(np.float32)
    assert mel_distance(noise, noise) == 0
    assert mel_distance(noise, 0.5 * noise) == pytest.approx(6.02, abs=0.05)
