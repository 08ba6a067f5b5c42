"""The scalar codec against the published layout, the golden values and itself."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from heartlib.heartcodec.configuration_heartcodec import HeartCodecConfig
from heartlib.heartcodec.models import sq_codec
from heartlib.heartcodec.models.sq_codec import SQCodec, fold_weight_norm

GOLDEN = Path(__file__).parent.parent / "golden" / "heartcodec"
PREFIX = "scalar_model."


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors: a second thread only waits, for seconds on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return load_file(GOLDEN / "io.safetensors")


def golden_codec() -> SQCodec:
    values = json.loads((GOLDEN / "config.json").read_text())
    codec = SQCodec(HeartCodecConfig.from_dict(values))
    weights = load_file(GOLDEN / "model.safetensors")
    mine = {k.removeprefix(PREFIX): v for k, v in weights.items() if k.startswith(PREFIX)}
    codec.load_state_dict(mine, strict=True)
    return codec


def random_codec(**fields) -> SQCodec:
    torch.manual_seed(1)
    return SQCodec(HeartCodecConfig(init_channel=2, **fields))


@torch.inference_mode()
def test_encoder_matches_golden(golden: dict[str, Tensor]) -> None:
    latents = fold_weight_norm(golden_codec()).encode(golden["scalar.wav"])
    torch.testing.assert_close(latents, golden["scalar.latent"], atol=1e-3, rtol=0)


@torch.inference_mode()
@pytest.mark.parametrize("source", ["scalar.latent", "scalar.quantised"])
@pytest.mark.parametrize("folded", [True, False])
def test_decoder_matches_golden(golden: dict[str, Tensor], source: str, folded: bool) -> None:
    codec = golden_codec()
    if folded:
        fold_weight_norm(codec)
    expected = golden["scalar.decoded"]
    error = codec.decode(golden[source]) - expected
    assert 10 * torch.log10(expected.square().mean() / error.square().mean().clamp_min(1e-20)) > 40
    assert error.abs().max() < 1e-3


@torch.inference_mode()
def test_quantise_matches_golden_and_changes_nothing_twice(golden: dict[str, Tensor]) -> None:
    codec = random_codec()
    once = codec.quantise(golden["scalar.latent"])
    assert torch.equal(once, golden["scalar.quantised"])
    assert torch.equal(codec.quantise(once), once)


def test_quantise_passes_the_gradient_straight_through() -> None:
    latents = torch.linspace(-1, 1, 7, requires_grad=True)
    quantised = random_codec().quantise(latents)
    quantised.square().sum().backward()
    assert latents.grad is not None
    torch.testing.assert_close(latents.grad, 2 * quantised.detach())


def test_decoding_in_chunks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    codec, latents = random_codec(), torch.rand(2, 128, 9) * 2 - 1
    whole = codec.decode(latents).detach()  # with gradients: in one piece
    for samples in (24 * 7, 24 * 100, 10**9):
        monkeypatch.setattr(sq_codec, "CHUNK_SAMPLES", samples)
        with torch.no_grad():
            torch.testing.assert_close(codec.decode(latents), whole, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_audio_depends_on_exactly_the_latents_it_says() -> None:
    codec = random_codec().double()
    for unit in codec.decoder.modules():
        if isinstance(unit, nn.PReLU):
            unit.weight.fill_(1.0)  # linear, so that an impulse is seen wherever it reaches
    config, at = codec.config, 60
    base = torch.zeros(1, 128, at + codec.lookbehind + 4, dtype=torch.float64)
    changed = base.clone()
    changed[:, 0, at] = 1.0
    difference = (codec.decode(changed) - codec.decode(base))[0, 0].abs()
    touched = difference.nonzero().flatten()
    assert touched[0] // config.samples_per_latent == at - codec.lookahead
    assert touched[-1] // config.samples_per_latent <= at + codec.lookbehind
    assert touched[-1] // config.samples_per_latent >= at + codec.lookbehind - 1


@torch.inference_mode()
def test_rows_are_independent() -> None:
    codec, wave = random_codec(), torch.randn(3, 1, 3840)
    alone = torch.cat([codec(row[None]) for row in wave])
    torch.testing.assert_close(codec(wave), alone, atol=1e-5, rtol=1e-5)


def test_config_survives_json_and_ignores_the_rest() -> None:
    config = HeartCodecConfig(init_channel=12)
    values = json.loads(json.dumps({**config.to_dict(), "unknown": 1}))
    assert HeartCodecConfig.from_dict(values) == config
    assert config.samples_per_latent == 1920


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"causal": False}, "causal"),
        ({"upsample_factors": (5, 4, 4, 3)}, "pair up"),
        ({"upsample_factors": (5, 4, 4, 4, 2)}, "cancel out"),
        ({"delay_kernel_size": 4}, "odd"),
        ({"init_channel": 0}, "init_channel"),
        ({"num_steps": 0}, "num_steps"),
        ({"guidance_scale": 0.5}, "guidance_scale"),
        ({"guidance_from": 1.0}, "guidance_from"),
    ],
)
def test_impossible_configs_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HeartCodecConfig(**fields)


def test_audio_of_a_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="1920"):
        random_codec().encode(torch.zeros(1, 1, 1921))
