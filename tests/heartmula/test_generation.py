"""The frame loop: seeds, rows, the stop rule, codes that must never come, and what is refused."""

import dataclasses
import threading

import pytest
import torch

from heartlib.checkpoints import save_pretrained
from heartlib.errors import CheckpointError, HeartlibError, UsageError
from heartlib.heartmula import (
    HeartMuLa,
    generate,
    generate_frames,
)
from heartlib.heartmula.generation import SamplingSettings, embed_prompt, frame_step, new_state
from heartlib.heartmula.sampling import draw, guide

CODEBOOKS, VOCAB, EOS = 4, 21, 17


def wish(model: HeartMuLa, prompt_wants: list[int], frames_want: int, second: int = 5) -> None:
    """Weights by hand: blocks that add nothing, text that embeds as ones and audio as minus ones.

    After the prompt the likeliest codes are prompt_wants [K], after a frame code 0 is frames_want;
    `second` always comes next.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(float("scale" in name))
        for table in (model.text_embeddings, model.unconditional_text_embedding):
            table.weight.fill_(1.0)
        model.muq_linear.bias.fill_(1.0)
        model.audio_embeddings.weight.fill_(-1.0)
        model.projection.weight.copy_(torch.eye(32))
        # Normed, the backbone's state is all ones or all minus ones, the depth decoder's minus ones.
        model.codebook0_head.weight[frames_want] = -1.0
        model.codebook0_head.weight[prompt_wants[0]] = 1.0
        for codebook, code in enumerate(prompt_wants[1:]):
            model.audio_head[codebook, :, second] = -0.5
            model.audio_head[codebook, :, code] = -1.0
        model.codebook0_head.weight[second] = 0.5


def test_seed_makes_the_song(model, prompt):
    songs = [
        generate(model, prompt, max_frames=12, seed=seed, audio_eos_id=99) for seed in (1, 1, 2)
    ]
    assert torch.equal(songs[0], songs[1])
    assert not torch.equal(songs[0], songs[2])
    assert songs[0].shape == (CODEBOOKS, 12)
    assert songs[0].dtype == torch.long and not songs[0].is_inference()


def test_streamed_is_whole(model, prompt):
    settings = {"max_frames": 12, "seed": 5, "audio_eos_id": 99}
    frames = list(generate_frames(model, prompt, **settings))
    assert torch.equal(torch.stack(frames, dim=1), generate(model, prompt, **settings))


def test_another_cfg_scale_right_after(model, prompt):
    first = generate(model, prompt, max_frames=6, cfg_scale=1.0, audio_eos_id=99)
    generate(model, prompt, max_frames=6, cfg_scale=3.0, audio_eos_id=99)
    assert torch.equal(first, generate(model, prompt, max_frames=6, cfg_scale=1.0, audio_eos_id=99))


@torch.inference_mode()
def test_conditional_row_of_two_is_the_one_row(model, prompt):
    """The logits before guidance of row 0 do not depend on a second row being there."""
    logits = {}
    for cfg_scale in (1.0, 2.0):
        settings = SamplingSettings(cfg_scale, topk=1, audio_eos_id=99)
        state = new_state(model, settings, positions=10, seed=0)
        x = embed_prompt(model, prompt, settings.rows)
        logits[cfg_scale] = frame_step(model, x, state, settings).logits[0]
    torch.testing.assert_close(logits[2.0][:1], logits[1.0], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(logits[2.0][1], logits[2.0][0])


@torch.inference_mode()
def test_cached_logits_are_those_of_teacher_forcing(model, prompt):
    """Every codebook of every frame: the frame loop against one pass of `forward`."""
    settings = SamplingSettings(1.0, topk=5, audio_eos_id=99)
    state = new_state(model, settings, positions=17, seed=3)
    x, frames = embed_prompt(model, prompt, 1), []
    for _ in range(8):
        frames.append(frame_step(model, x, state, settings))
        x = model.embed_frame(frames[-1].codes).expand(1, 1, -1)
    codes = torch.stack([frame.codes for frame in frames])  # [8, K]
    rows = torch.cat((codes, torch.zeros(8, 1, dtype=torch.long)), dim=1)
    heard = torch.ones(8, CODEBOOKS + 1, dtype=torch.bool)
    heard[:, CODEBOOKS] = False
    assert prompt.muq_embed is not None
    at = torch.arange(8) + len(prompt.tokens) - 1
    first, others = model(
        torch.cat((prompt.tokens, rows))[None],
        torch.cat((prompt.mask, heard))[None],
        style=prompt.muq_embed[None],
        style_at=torch.tensor([prompt.muq_index]),
        unconditional=torch.tensor([False]),
        at=at,
        depth_at=at,
        depth_codes=codes,
    )
    stepped = torch.stack([frame.logits[:, 0] for frame in frames])  # [8, K, V]
    torch.testing.assert_close(stepped[:, 0], first, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(stepped[:, 1:], others.transpose(0, 1), atol=1e-4, rtol=1e-4)


def test_undecodable_code_is_never_drawn(model, prompt):
    wish(model, [EOS - 1] * CODEBOOKS, frames_want=6)
    drawn = generate(model, prompt, max_frames=1, topk=VOCAB, audio_eos_id=99)
    assert drawn.tolist() == [[EOS - 1]] * CODEBOOKS  # the weights do want it …
    drawn = generate(model, prompt, max_frames=1, topk=VOCAB, audio_eos_id=EOS)
    assert drawn.tolist() == [[5]] * CODEBOOKS  # … and get the next likely


@pytest.mark.parametrize("codebook", range(CODEBOOKS))
@pytest.mark.parametrize("code", [EOS, VOCAB - 1])
def test_end_on_the_first_frame_is_an_error(model, prompt, codebook, code):
    wants = [2] * CODEBOOKS
    wants[codebook] = code
    wish(model, wants, frames_want=6)
    with pytest.raises(HeartlibError, match="nothing to sing"):
        generate(model, prompt, max_frames=8, audio_eos_id=EOS)


def test_end_frame_is_dropped(model, prompt):
    wish(model, [2, 3, 4, 7], frames_want=EOS)
    codes = generate(model, prompt, max_frames=8, audio_eos_id=EOS)
    assert codes.tolist() == [[2], [3], [4], [7]]


def test_cancel_gives_what_was_sung(model, prompt):
    cancel = threading.Event()
    seen: list[tuple[int, int]] = []

    def progress(done: int, most: int) -> None:
        seen.append((done, most))
        if done == 3:
            cancel.set()

    settings = {"max_frames": 12, "seed": 5, "audio_eos_id": 99}
    part = generate(model, prompt, progress=progress, cancel=cancel, **settings)
    assert seen == [(1, 12), (2, 12), (3, 12)]
    assert torch.equal(part, generate(model, prompt, **settings)[:, :3])
    assert generate(model, prompt, cancel=cancel, **settings).shape == (CODEBOOKS, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cfg_scale": 0.5}, "cfg_scale 0.5 is not allowed"),
        ({"cfg_scale": float("nan")}, "cfg_scale nan is not allowed"),
        ({"cfg_scale": float("inf")}, "cfg_scale inf is not allowed"),
        ({"topk": 0}, "topk 0 is not allowed"),
        ({"temperature": 0.0}, "temperature 0.0 is not allowed"),
        ({"temperature": float("inf")}, "temperature inf is not allowed"),
        ({"seed": -1}, "seed -1 is not allowed"),
        ({"max_frames": 0}, "0 frames are not allowed"),
        ({"max_frames": 56}, r"prompt 9 \+ 56 frames, and the model has 64 .* at most 55 frames"),
    ],
)
def test_refused_at_the_call(model, prompt, change, message):
    with pytest.raises(UsageError, match=message):
        generate_frames(model, prompt, **({"max_frames": 8} | change))


def test_longest_song_fits(model, prompt):
    assert generate(model, prompt, max_frames=55, audio_eos_id=99).shape[1] == 55


def test_draw_follows_the_probabilities():
    torch.manual_seed(0)
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, 3.0])
    races = torch.empty(20000, 3).exponential_()
    drawn = torch.cat([draw(logits, race, 2.0) for race in races])
    share = drawn.bincount(minlength=5) / len(drawn)
    expected = torch.zeros(5)
    expected[[0, 1, 4]] = (logits[[0, 1, 4]] / 2).softmax(0)
    assert (share - expected).abs().max() < 0.02


def test_guidance():
    rows = torch.tensor([[1.0, 2.0], [0.0, 4.0]])
    assert guide(rows, 1.5).tolist() == [1.5, 1.0]
    assert guide(rows[:1], 1.5).tolist() == [1.0, 2.0]


def test_saved_is_loaded_sharded_or_not(model, prompt, tmp_path):
    song = generate(model, prompt, max_frames=10, audio_eos_id=99)
    model.save_pretrained(tmp_path / "whole")
    save_pretrained(model, tmp_path / "shards", max_shard_bytes=20_000)
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    for name in ("whole", "shards"):
        loaded = HeartMuLa.from_pretrained(tmp_path / name)
        assert loaded.config == model.config and not loaded.training
        assert torch.equal(generate(loaded, prompt, max_frames=10, audio_eos_id=99), song)


def test_bfloat16_loads_and_sings(model, prompt, tmp_path):
    model.save_pretrained(tmp_path / "m")
    loaded = HeartMuLa.from_pretrained(tmp_path / "m", dtype=torch.bfloat16)
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}
    codes = generate(loaded, prompt, max_frames=10, audio_eos_id=99)
    assert codes.shape == (CODEBOOKS, 10)
    model.save_pretrained(tmp_path / "half", dtype=torch.bfloat16)
    half = HeartMuLa.from_pretrained(tmp_path / "half", dtype=torch.bfloat16)
    assert torch.equal(generate(half, prompt, max_frames=10, audio_eos_id=99), codes)


def test_weights_of_another_shape_name_the_tensor(model, tmp_path):
    model.save_pretrained(tmp_path / "m")
    wider = dataclasses.replace(model.config, muq_dim=7)
    (tmp_path / "m" / "config.json").write_text(str(wider.to_dict()).replace("'", '"'))
    with pytest.raises(CheckpointError, match=r"muq_linear\.weight"):
        HeartMuLa.from_pretrained(tmp_path / "m")
