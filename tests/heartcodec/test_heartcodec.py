"""The decoder against the reference's values, and its windows against themselves."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from heartlib.errors import CheckpointError, UsageError
from heartlib.heartcodec import HeartCodec, HeartCodecConfig
from heartlib.heartcodec.modeling_heartcodec import count_windows, cross_fade, window_codes

GOLDEN = Path(__file__).parents[1] / "golden"
FOLDER = GOLDEN / "heartcodec"


@pytest.fixture(scope="module")
def io():
    return load_file(FOLDER / "io.safetensors")


@pytest.fixture(scope="module")
def codec():
    return HeartCodec.from_pretrained(FOLDER)


def agreement(wave, reference):
    """How far the reference stands above the difference, dB."""
    return 10 * torch.log10(reference.square().sum() / (wave - reference).square().sum()).item()


def test_residual_codebooks(codec, io):
    vq = codec.flow_matching.vq_embed
    indices = vq.encode(io["rvq.features"])
    assert torch.equal(indices.transpose(1, 2), io["rvq.indices"])
    torch.testing.assert_close(vq.decode(indices), io["rvq.quantised"], atol=1e-5, rtol=0)
    torch.testing.assert_close(vq.decode(io["rvq.codes"]), io["rvq.y"], atol=1e-5, rtol=0)


def test_estimator(codec, io):
    velocity = codec.flow_matching.estimator(io["estimator.x"], io["estimator.t"])
    torch.testing.assert_close(velocity, io["estimator.y"], atol=1e-3, rtol=0)


@pytest.mark.parametrize("guidance", [1.0, 1.25, 2.0])
def test_one_window_with_context(codec, io, guidance):
    settings = json.loads((FOLDER / "io.json").read_text())["window"]
    latents = codec.flow_matching.sample(
        io["window.codes"],
        io["window.noise"],
        io["window.context"][:, : settings["context_frames"]],
        num_steps=settings["num_steps"],
        guidance_scale=guidance,
    )
    torch.testing.assert_close(latents, io[f"window.g{guidance}.latents"], atol=1e-3, rtol=0)


@pytest.mark.parametrize("frames", [100, 500])
def test_whole_songs(codec, io, frames):
    name = f"detok{frames}"
    wave = codec.detokenize(io[f"{name}.codes"], num_steps=4, noise=io[f"{name}.noise"])
    assert wave.shape == (2, int(io[f"{name}.num_samples"]))
    assert agreement(wave[:, ::61], io[f"{name}.wav_every_61"]) > 40
    torch.testing.assert_close(wave.square().mean(1).sqrt(), io[f"{name}.rms"], rtol=1e-4, atol=0)


def test_full_size_names_and_shapes():
    with torch.device("meta"):
        codec = HeartCodec(HeartCodecConfig())
    part = (GOLDEN / "tensors.tsv").read_text().split("# HeartCodec", 1)[1]
    rows = (line.split("\t") for line in part.splitlines()[1:] if line)
    shapes = {k: "x".join(map(str, v.shape)) or "scalar" for k, v in codec.state_dict().items()}
    assert shapes == {name: shape for name, shape in rows}


@pytest.mark.parametrize("frames", [1, 372, 373, 693])
def test_exact_length(codec, frames):
    codes = torch.randint(0, codec.config.codebook_size, (8, frames))
    wave = codec.detokenize(codes, num_steps=1, guidance_scale=1.0)
    assert wave.shape == (2, frames * 3840)
    assert wave.isfinite().all()


@pytest.mark.parametrize(
    ("frames", "windows"), [(1, 1), (372, 1), (373, 2), (692, 2), (693, 3), (1012, 3)]
)
def test_windows_cover_the_song(frames, windows):
    codes = torch.arange(frames)[None]
    parts, left = zip(*window_codes(lambda count: codes[:, :count]), strict=True)
    assert len(parts) == count_windows(frames) == windows
    assert left == (*[0] * (windows - 1), frames - 320 * (windows - 1))
    assert all(part.shape == (1, 372) for part in parts)
    for index, part in enumerate(parts):
        assert part[0, 0] == 320 * index % frames
        assert torch.equal(part[0], (320 * index + torch.arange(372)) % frames)


def test_pieces_are_final(codec):
    codes = torch.randint(0, 32, (8, 400), generator=torch.Generator().manual_seed(1))
    pieces = list(codec.detokenize_windows(codes, num_steps=1, seed=3))
    assert [piece.shape[1] for piece in pieces] == [320 * 3840, 80 * 3840]
    assert torch.equal(torch.cat(pieces, 1), codec.detokenize(codes, num_steps=1, seed=3))


@pytest.mark.parametrize("kind", ["learned", "analysis"])
def test_what_is_cut_away_is_not_decoded(tiny_checkpoint, tmp_path, monkeypatch, kind):
    folder = shutil.copytree(tiny_checkpoint / "HeartCodec-oss", tmp_path / "codec")
    config = json.loads((folder / "config.json").read_text()) | {"scalar_encoder": kind}
    (folder / "config.json").write_text(json.dumps(config))
    codec, given = HeartCodec.from_pretrained(folder), list[int]()
    sound = codec.sound

    def heard(latents):
        given.append(latents.shape[1])
        return sound(latents)

    monkeypatch.setattr(codec, "sound", heard)
    codes = torch.randint(0, 32, (8, 9), generator=torch.Generator().manual_seed(1))
    made = codec.detokenize(codes, num_steps=1, seed=3)
    monkeypatch.setattr(codec, "_heard", lambda latents, left: latents)
    whole = codec.detokenize(codes, num_steps=1, seed=3)
    assert given[0] < 2 * 13 and given[1] == 744
    torch.testing.assert_close(made, whole, atol=1e-5 * whole.abs().max().item(), rtol=0)


def test_seed(codec):
    codes = torch.randint(0, 32, (8, 5))
    first, again, other = (codec.detokenize(codes, num_steps=2, seed=s) for s in (4, 4, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_steps_and_guidance_are_the_configs_unless_given(codec, monkeypatch):
    codes = torch.zeros(codec.config.num_quantizers, 5, dtype=torch.long)
    given = codec.detokenize(codes, num_steps=2, guidance_scale=2.0, seed=4)
    usual = codec.detokenize(codes, num_steps=10, guidance_scale=1.25, seed=4)
    assert torch.equal(codec.detokenize(codes, seed=4), usual)
    config = dataclasses.replace(codec.config, num_steps=2, guidance_scale=2.0)
    monkeypatch.setattr(codec, "config", config)
    assert torch.equal(codec.detokenize(codes, seed=4), given) and not torch.equal(given, usual)
    assert HeartCodecConfig.from_dict(config.to_dict()) == config


def test_guidance_may_begin_late(codec, monkeypatch):
    codes, scales = torch.randint(0, 32, (8, 5)), list[float]()
    velocity = codec.flow_matching.velocity

    def heard(x, context, condition, t, scale):
        scales.append(scale)
        return velocity(x, context, condition, t, scale)

    monkeypatch.setattr(codec.flow_matching, "velocity", heard)
    always = codec.detokenize(codes, num_steps=6, guidance_scale=2.5)
    config = dataclasses.replace(codec.config, guidance_from=0.33)
    monkeypatch.setattr(codec, "config", config)
    late = codec.detokenize(codes, num_steps=6, guidance_scale=2.5)
    assert scales == [2.5] * 6 + [1.0] * 2 + [2.5] * 4
    assert not torch.equal(always, late)


def test_cross_fade_is_a_straight_line():
    ones = torch.ones(2, 11)
    torch.testing.assert_close(cross_fade(ones, ones), ones)
    torch.testing.assert_close(cross_fade(ones, 0 * ones)[0], torch.linspace(1, 0, 11))


def test_bfloat16_is_close(codec, io):
    half = HeartCodec.from_pretrained(FOLDER, dtype=torch.bfloat16)
    assert half.flow_matching.estimator.dtype == torch.bfloat16
    assert half.scalar_model.decoder[0].weight.dtype == torch.float32
    wave = half.detokenize(io["detok100.codes"], num_steps=4, noise=io["detok100.noise"])
    assert agreement(wave[:, ::61], io["detok100.wav_every_61"]) > 15


def test_newer_and_older_exports_load(tmp_path, io):
    weights = load_file(FOLDER / "model.safetensors")
    renamed = {f"decoder.{k}": v for k, v in weights.items()}
    renamed["decoder.flow_matching.vq_embed.layers.0._codebook.initted"] = torch.ones(1)
    renamed["decoder.flow_matching.estimator.pos_embeddings.theta"] = torch.ones(4)
    save_file(renamed, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text((FOLDER / "config.json").read_text())
    codec = HeartCodec.from_pretrained(tmp_path)
    codes, noise = io["detok100.codes"], io["detok100.noise"]
    wave = codec.detokenize(codes, num_steps=4, noise=noise)
    assert agreement(wave[:, ::61], io["detok100.wav_every_61"]) > 40


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (torch.zeros(8, 0, dtype=torch.long), "T ≥ 1"),
        (torch.zeros(7, 3, dtype=torch.long), r"shape \[7, 3\]"),
        (torch.full((8, 3), 32), r"0…31"),
        (torch.full((8, 3), -1), r"-1…-1"),
    ],
)
def test_bad_codes(codec, codes, message):
    with pytest.raises(UsageError, match=message):
        codec.detokenize(codes)


def test_bad_noise_and_steps(codec):
    codes = torch.zeros(8, 3, dtype=torch.long)
    with pytest.raises(UsageError, match=r"\[1, 744, 256\]"):
        codec.detokenize(codes, noise=torch.zeros(1, 743, 256))
    with pytest.raises(UsageError, match="num_steps 0"):
        codec.detokenize(codes, num_steps=0)


def test_wrong_config(tmp_path):
    config = json.loads((FOLDER / "config.json").read_text()) | {"in_channels": 7}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"config\.json.*in_channels 7"):
        HeartCodec.from_pretrained(tmp_path)


def test_a_codec_that_decodes_has_no_scalar_encoder(tiny_checkpoint):
    codec = HeartCodec.from_pretrained(tiny_checkpoint / "HeartCodec-oss")
    with pytest.raises(ValueError, match="loaded without its encoder"):
        codec.scalar_model.encode(torch.zeros(1, 1, 1920))
