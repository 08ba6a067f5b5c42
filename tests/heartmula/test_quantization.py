"""Weights that stay int8: the products are right, the file comes back, float checkpoints are left alone."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from heartlib import checkpoints
from heartlib.errors import UsageError
from heartlib.heartmula import HeartMuLa, HeartMuLaConfig, Prompt, generate
from heartlib.heartmula import modeling_heartmula as modeling
from heartlib.heartmula.generation import (
    SamplingSettings,
    embed_prompt,
    frame_step,
    new_state,
)
from heartlib.heartmula.quantization import FEW_ROWS, Int8Linear, int8_works

CODEBOOKS, CODES, TEXT = 4, 33, 40
STACK = {"num_layers": 1, "num_heads": 4, "num_kv_heads": 2, "embed_dim": 256}
CONFIG = HeartMuLaConfig.from_dict(
    {
        "backbone_flavor": "custom",
        "decoder_flavor": "custom",
        "backbone_config": STACK | {"intermediate_dim": 512, "max_seq_len": 64},
        "decoder_config": STACK | {"intermediate_dim": 512, "max_seq_len": 16},
        "text_vocab_size": TEXT,
        "audio_vocab_size": CODES,
        "audio_num_codebooks": CODEBOOKS,
        "muq_dim": 16,
    }
)

needs_int8 = pytest.mark.skipif(not int8_works(), reason="torch has no int8 product for this CPU")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of nano's kind, int8 on disk."""
    torch.manual_seed(0)
    model = HeartMuLa(CONFIG)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, 0, 0.1)
    path = tmp_path_factory.mktemp("mula") / "int8"
    model.save_pretrained(path, dtype=torch.int8)
    return path


@pytest.fixture(scope="module")
def prompt() -> Prompt:
    tokens = torch.zeros(6, CODEBOOKS + 1, dtype=torch.long)
    tokens[:, -1] = torch.tensor([1, 7, 9, 8, 3, 2])
    mask = torch.zeros(6, CODEBOOKS + 1, dtype=torch.bool)
    mask[:, -1] = True
    return Prompt(tokens, mask, None, 2)


def int8_layers(model: nn.Module) -> set[str]:
    found = {name for name, layer in model.named_modules() if isinstance(layer, Int8Linear)}
    return {name for name in found if not name.endswith((".qkv", ".w13"))}


def sing(model: HeartMuLa, prompt: Prompt) -> torch.Tensor:
    return generate(model, prompt, max_frames=12, seed=3, audio_eos_id=CODES)


@needs_int8
@pytest.mark.parametrize("shape", [(1,), (2, 1), (2, 2), (FEW_ROWS,), (FEW_ROWS + 1,), (2, 300)])
def test_the_product_is_that_of_the_weight(shape):
    torch.manual_seed(0)
    weight = torch.randint(-127, 128, (70, 48), dtype=torch.int8)
    layer = Int8Linear(weight, torch.rand(70) / 100)
    x = torch.randn(*shape, 48)
    true = x @ (weight.float() * layer.int8_scale[:, None]).t()
    found = layer(x)
    few = x.shape[:-1].numel() <= FEW_ROWS
    assert found.dtype == torch.float32 and found.shape == (*shape, 70)
    assert (found - true).abs().max() <= (8e-3 if few else 1e-6) * true.abs().max()
    assert few == bool((found - true).abs().max() > 1e-5)  # and each way is taken in its place


@needs_int8
def test_only_what_is_int8_on_disk_stays_so(folder, tmp_path):
    model = HeartMuLa.from_pretrained(folder)
    kept = checkpoints.kept_as_int8(folder)
    linear = {f"{name}.weight" for name in int8_layers(model)}
    assert linear == {name for name in kept if not name.startswith("audio_")}
    assert len(linear) == 15 and model.dtype == torch.float32
    plain = HeartMuLa.from_pretrained(folder, int8=False)
    assert not int8_layers(plain)
    assert not int8_layers(HeartMuLa.from_pretrained(folder, dtype=torch.bfloat16))
    for dtype in (torch.float32, torch.bfloat16):
        plain.save_pretrained(tmp_path / "plain", dtype=dtype)
        assert not int8_layers(HeartMuLa.from_pretrained(tmp_path / "plain"))


def test_without_the_product_weights_are_multiplied_out(folder, monkeypatch):
    monkeypatch.setattr(modeling, "int8_works", lambda: False)
    model, plain = HeartMuLa.from_pretrained(folder), HeartMuLa.from_pretrained(folder, int8=False)
    assert not int8_layers(model)
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


@needs_int8
def test_saved_is_loaded(folder, prompt, tmp_path):
    model = HeartMuLa.from_pretrained(folder)
    stored = load_file(folder / "model.safetensors")
    model.save_pretrained(tmp_path / "int8", dtype=torch.int8)
    again = load_file(tmp_path / "int8" / "model.safetensors")
    assert again.keys() == stored.keys()
    for name in int8_layers(model):
        for stored_name in (f"{name}.weight", f"{name}.weight{checkpoints.INT8_SCALE}"):
            assert torch.equal(again[stored_name], stored[stored_name]), stored_name
    model.save_pretrained(tmp_path / "as_it_is")
    loaded = HeartMuLa.from_pretrained(tmp_path / "as_it_is")
    assert torch.equal(sing(loaded, prompt), sing(model, prompt))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
    model.save_pretrained(tmp_path / "float", dtype=torch.float32)
    out = HeartMuLa.from_pretrained(tmp_path / "float").state_dict()
    for name, tensor in HeartMuLa.from_pretrained(folder, int8=False).state_dict().items():
        assert torch.equal(tensor, out[name]), name


@needs_int8
def test_joined_layers_give_what_they_give_apart(folder, prompt):
    joined, apart = HeartMuLa.from_pretrained(folder), HeartMuLa.from_pretrained(folder)
    for stack in (apart.backbone, apart.decoder):
        for block in stack.layers:
            assert block.attn.qkv is not None and block.mlp.w13 is not None
            block.attn.qkv = block.mlp.w13 = None
    assert joined.state_dict().keys() == apart.state_dict().keys()
    assert torch.equal(sing(joined, prompt), sing(apart, prompt))


@needs_int8
def test_a_song_is_the_same_again_and_with_more_threads(folder, prompt):
    threads, songs = torch.get_num_threads(), []
    for count in (1, 1, 2):
        torch.set_num_threads(count)
        songs.append(sing(HeartMuLa.from_pretrained(folder), prompt))
    torch.set_num_threads(threads)
    assert torch.equal(songs[0], songs[1]) and torch.equal(songs[0], songs[2])


@needs_int8
def test_it_cannot_be_trained(folder):
    with pytest.raises(UsageError, match="int8=False"):
        HeartMuLa.from_pretrained(folder).train()
    assert HeartMuLa.from_pretrained(folder, int8=False).train().training


@needs_int8
def test_nano_expects_the_same_codes(prompt):
    """Both hear the float model's frames; the divergence of what each expects next, in nats."""
    mula = checkpoints.find("nano").mula
    true, small = HeartMuLa.from_pretrained(mula, int8=False), HeartMuLa.from_pretrained(mula)
    assert len(int8_layers(small)) == 57
    codebooks, settings = true.config.audio_num_codebooks, SamplingSettings(audio_eos_id=513)
    tokens = prompt.tokens[:, -1:].new_zeros(6, codebooks + 1)
    tokens[:, -1] = prompt.tokens[:, -1] + 100
    mask = torch.arange(codebooks + 1).expand(6, -1) == codebooks
    prompt = Prompt(tokens, mask, None, 2)
    states = [new_state(model, settings, positions=40, seed=0) for model in (true, small)]
    divergence = []
    with torch.inference_mode():
        x = embed_prompt(true, prompt, settings.rows)
        for _ in range(25):
            expected, found = (
                frame_step(model, x, state, settings)
                for model, state in zip((true, small), states, strict=True)
            )
            p, q = (frame.logits[0].log_softmax(-1) for frame in (expected, found))
            divergence.append((p.exp() * (p - q)).sum(-1).mean())
            x = true.embed_frame(expected.codes).expand(settings.rows, 1, -1)
    assert 0 < sum(divergence) / len(divergence) < 1e-3
