"""The windowed sinc against its formula, term by term, and against torchaudio's values."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from heartlib.audio.sinc import resample_sinc, sinc_kernel

GOLDEN = Path(__file__).parents[1] / "golden" / "heartcodec_encoder" / "io.safetensors"


def sample_at(wave: np.ndarray, place: float, cutoff: float) -> float:
    """The wave at `place` samples from its start: every sample times its sinc under its Hann window."""
    total = 0.0
    for index, value in enumerate(wave):
        t = (index - place) * cutoff
        if abs(t) < 6:
            sinc = 1.0 if t == 0 else math.sin(math.pi * t) / (math.pi * t)
            total += value * sinc * math.cos(math.pi * t / 12) ** 2 * cutoff
    return total


@pytest.mark.parametrize(
    ("rate_in", "rate_out"), [(24000, 16000), (48000, 24000), (8000, 24000), (44100, 24000)]
)
def test_every_sample_is_the_formulas(rate_in: int, rate_out: int):
    wave = np.random.default_rng(3).uniform(-1, 1, 301)
    made = resample_sinc(torch.from_numpy(wave)[None].float(), rate_in, rate_out)[0]
    assert len(made) == math.ceil(301 * rate_out / rate_in)
    cutoff = 0.99 * min(1, rate_out / rate_in)  # in samples of the input
    true = [sample_at(wave, j * rate_in / rate_out, cutoff) for j in range(len(made))]
    assert np.abs(made.numpy() - true).max() < 1e-6


def test_torchaudios_values():
    io = load_file(GOLDEN)
    made = resample_sinc(io["audio_24k"], 24000, 16000)
    torch.testing.assert_close(made, io["audio_16k"], atol=1e-6, rtol=0)


def test_the_kernel_is_made_on_the_cpu_in_float32():
    with torch.device("meta"):
        kernel, reach = sinc_kernel(5, 4)
    assert kernel.device.type == "cpu" and kernel.dtype == torch.float32
    assert kernel.shape == (4, 1, 2 * reach + 5)
