"""The reference's frames and logits on small random weights, and the full-size names and shapes."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from heartlib.heartmula import HeartMuLa, HeartMuLaConfig, Prompt, generate
from heartlib.heartmula.generation import SamplingSettings, embed_prompt, frame_step, new_state

GOLDEN = Path(__file__).parents[1] / "golden"
FRAMES = 24


@pytest.fixture(scope="module")
def model() -> HeartMuLa:
    return HeartMuLa.from_pretrained(GOLDEN / "heartmula")


@pytest.fixture(scope="module")
def io() -> dict[str, torch.Tensor]:
    return load_file(GOLDEN / "heartmula" / "io.safetensors")


@pytest.fixture(scope="module")
def prompt(io) -> Prompt:
    return Prompt(io["prompt_tokens"], io["prompt_mask"], io["muq_embed"], 11)


@pytest.mark.parametrize("cfg_scale", [1.0, 1.5, 3.0])
def test_greedy_frames_are_the_references(model, io, prompt, cfg_scale):
    codes = generate(model, prompt, max_frames=FRAMES, cfg_scale=cfg_scale, topk=1)
    assert torch.equal(codes.T, io[f"cfg{cfg_scale}.frames"])


@pytest.mark.parametrize("cfg_scale", [1.0, 1.5, 3.0])
def test_logits_are_the_references(model, io, prompt, cfg_scale):
    settings = SamplingSettings(cfg_scale, topk=1)
    state = new_state(model, settings, positions=len(prompt.tokens) + FRAMES, seed=0)
    logits = []
    with torch.inference_mode():
        x = embed_prompt(model, prompt, settings.rows)
        for _ in range(FRAMES):
            frame = frame_step(model, x, state, settings)
            logits.append(frame.logits)
            x = model.embed_frame(frame.codes).expand(settings.rows, 1, -1)
    expected = io[f"cfg{cfg_scale}.logits"]
    assert torch.stack(logits).shape == expected.shape
    assert (torch.stack(logits) - expected).abs().max() < 1e-3


def full_size_shapes() -> dict[str, dict[str, list[int]]]:
    """The published tensors by model: {"llama-3B,llama-300M": {name: shape}}."""
    models: dict[str, dict[str, list[int]]] = {}
    current: dict[str, list[int]] = {}
    for line in (GOLDEN / "tensors.tsv").read_text().splitlines():
        if line.startswith("#"):
            current = models.setdefault(line.partition("(")[2].partition(")")[0], {})
            continue
        name, shape = line.split("\t")
        current[name] = [] if shape == "scalar" else [int(n) for n in shape.split("x")]
    return models


@pytest.mark.parametrize("flavors", ["llama-3B,llama-300M", "llama-7B,llama-400M"])
def test_full_size_names_and_shapes(flavors):
    backbone, decoder = flavors.split(",")
    with torch.device("meta"):
        model = HeartMuLa(HeartMuLaConfig(backbone_flavor=backbone, decoder_flavor=decoder))
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    assert shapes == full_size_shapes()[flavors]
