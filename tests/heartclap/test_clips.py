"""A song as clips: the same whether it comes whole or in pieces."""

import numpy as np
import pytest
import torch

from heartlib.checkpoints import NANO
from heartlib.errors import UsageError
from heartlib.heartclap import HeartCLAP
from heartlib.heartclap.clips import clips_of


@pytest.fixture(scope="module")
def clap() -> HeartCLAP:
    """nano's."""
    return HeartCLAP.from_pretrained(NANO / "HeartCLAP-oss")


@pytest.mark.parametrize(
    ("samples", "clips"), [(0, 0), (1, 1), (10, 1), (14, 1), (15, 2), (24, 2), (25, 3), (100, 10)]
)
def test_how_many_clips(samples: int, clips: int):
    wave = np.arange(1, samples + 1, dtype=np.float32)
    made = list(clips_of([wave], 10))
    assert [len(clip) for clip in made] == [10] * clips
    if made:
        whole = np.concatenate(made)
        assert np.array_equal(whole[:samples], wave[: len(whole)]) and not whole[samples:].any()
    in_threes = list(clips_of((wave[at : at + 3] for at in range(0, samples, 3)), 10))
    assert np.array_equal(in_threes, made)


def test_pieces_are_the_whole(clap: HeartCLAP):
    wave = 0.1 * np.random.default_rng(0).standard_normal((2, 26 * 44100)).astype(np.float32)
    cuts = np.split(wave, [1, 5000, 700_000], axis=1)
    whole = clap.embed_audio(wave, 44100)
    torch.testing.assert_close(clap.embed_pieces(cuts, 44100), whole, atol=1e-6, rtol=0)
    torch.testing.assert_close(whole.norm(), torch.tensor(1.0), atol=1e-5, rtol=0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_samples_of_which_nothing_comes(clap: HeartCLAP, bad: float):
    wave = np.zeros((1, 24000), np.float32)
    wave[0, 7000] = bad
    with pytest.raises(UsageError, match="not finite, or far too large"):
        clap.embed_audio(wave, 24000)
    with pytest.raises(UsageError, match="no samples"):
        clap.embed_pieces([], 24000)
