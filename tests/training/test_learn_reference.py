"""The language model learns to take after a recording, and nothing else of it changes."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from heartlib.errors import UsageError
from heartlib.heartmula import HeartMuLa, build_prompt, generate
from heartlib.training.lm import LMOptions, LMRecipe, train
from heartlib.training.lm_data import Collator, read_songs
from heartlib.training.tokenizer import train_tokenizer

LYRICS = "[Verse]\nla la la"
KINDS = ("low", "high")
ALL = LMRecipe(
    layers=2,
    heads=2,
    kv_heads=1,
    width=64,
    feed_forward=128,
    positions=128,
    depth_layers=1,
    depth_heads=2,
    depth_kv_heads=1,
    depth_width=64,
    depth_feed_forward=128,
    codebooks=4,
    codebook_size=32,
    muq_dim=8,
    steps=120,
    batch_positions=512,
    peak_lr=1e-2,
    dropout=0.0,
    weight_decay=0.0,
    ema_decay=0.8,
    condition_dropout=0.0,
    tag_dropout=0.0,
    reference_share=0.0,
    depth_share=1.0,
    pointer_weight=0.0,
    holdout=0,
    frame_noise=0.0,
)
REFERENCE = dataclasses.replace(
    ALL,
    learn="reference",
    style_encoder="heartclap",
    muq_dim=6,
    reference_share=1.0,
    tagless_share=0.5,
    steps=80,
    peak_lr=5e-2,
)


def style(kind: str, size: int = 6) -> np.ndarray:
    return np.eye(size, dtype=np.float32)[KINDS.index(kind)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Eight songs of the same words: "low" has codes below 16, "high" the others; each has two clips."""
    folder = tmp_path_factory.mktemp("styled")
    rng = np.random.default_rng(0)
    codes, styles = list[np.ndarray](), list[np.ndarray]()
    with open(folder / "songs.jsonl", "w") as lines:
        for number in range(8):
            kind = KINDS[number % 2]
            codes.append(rng.integers(0, 16, (4, 20)) + 16 * (kind == "high"))
            styles += [style(kind), style(kind) + 0.1 * rng.standard_normal(6)]
            entry = {"id": f"s{number}", "tags": kind, "lyrics": LYRICS, "frames": 20}
            lines.write(json.dumps(entry | {"offset": 20 * number, "clips": [2 * number, 2]}))
            lines.write("\n")
    tensors = {
        "codes": np.concatenate(codes, 1).astype(np.int16),
        "styles": np.stack(styles).astype(np.float16),
    }
    save_file(tensors, folder / "codes.safetensors")
    train_tokenizer([*KINDS, LYRICS.lower()] * 3).save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A model that knows tags, and the same that has learned references."""
    out = tmp_path_factory.mktemp("lm")
    train(ALL, options(data, out / "all"))
    begin = out / "all" / "HeartMuLa-oss-nano"
    train(REFERENCE, options(data, out / "reference", init=begin))
    return begin, out / "reference" / "HeartMuLa-oss-nano"


def options(folder: Path, out: Path, **more: Any) -> LMOptions:
    return LMOptions(
        data=(folder,), tokenizer=folder / "tokenizer.json", out=out, device="cpu", **more
    )


def share_of_high(model: HeartMuLa, data: Path, tags: str, kind: str | None) -> float:
    """How many of some songs' codes are 16 and above."""
    prompt = build_prompt(
        Tokenizer.from_file(str(data / "tokenizer.json")),
        LYRICS,
        tags,
        config=model.config,
        gen_config=ALL.gen_config,
        muq_embed=None if kind is None else torch.from_numpy(style(kind)),
    )
    found = [
        generate(model, prompt, max_frames=10, cfg_scale=1.0, seed=seed, audio_eos_id=33).float()
        for seed in range(4)
    ]
    return float((torch.cat(found, 1) >= 16).float().mean())


def test_a_reference_is_taken_after_where_no_tags_are_told(data, trained):
    model = HeartMuLa.from_pretrained(trained[1])
    assert model.config.style_encoder == "heartclap"
    assert share_of_high(model, data, "", "low") < 0.1
    assert share_of_high(model, data, "", "high") > 0.9


def test_without_a_reference_it_sings_as_before(data, trained):
    before, after = (HeartMuLa.from_pretrained(folder) for folder in trained)
    changed = [
        name
        for name, value in after.state_dict().items()
        if value.shape != before.state_dict()[name].shape
        or not torch.equal(value, before.state_dict()[name])
    ]
    assert changed == ["muq_linear.weight"]
    prompt = build_prompt(
        Tokenizer.from_file(str(data / "tokenizer.json")),
        LYRICS,
        "low",
        config=after.config,
        gen_config=ALL.gen_config,
    )
    songs = [
        generate(model, prompt, max_frames=10, seed=3, audio_eos_id=33) for model in (before, after)
    ]
    assert torch.equal(*songs)


def test_gen_config_stays(trained):
    """Its songs are as long as before, whatever the songs are that it learned references from."""
    first, second = (folder.parent / "gen_config.json" for folder in trained)
    assert first.read_text() == second.read_text()


def test_styles_and_tags_of_a_batch(data):
    """Half of the songs are told a style, of unit length, and half of these no tags; the others all of theirs."""
    tokenizer = Tokenizer.from_file(str(data / "tokenizer.json"))
    songs = read_songs(data, tokenizer, ALL.gen_config, 4) * 50
    collate = Collator(
        tokenizer,
        ALL.gen_config,
        condition_dropout=0.0,
        tag_dropout=0.0,
        depth_share=1.0,
        reference_share=0.5,
        tagless_share=0.5,
    )
    batch = collate(songs, np.random.default_rng(1))
    assert batch.style is not None
    told = batch.style.norm(dim=1)
    some = told > 0
    assert torch.allclose(told[some], torch.ones(int(some.sum())), atol=1e-5)
    assert 0.4 < some.float().mean() < 0.6
    full = len(collate.tag_ids(songs[0].tags))
    tagless = batch.style_at < full
    assert not tagless[~some].any()
    assert 0.6 < tagless[some].float().mean() < 0.9  # half, and half of those with a random share
    kinds = [KINDS[number % 2] for number in range(len(songs))]
    assert all(
        batch.style[row].numpy() @ style(kind) > 0.8 for row, kind in enumerate(kinds) if some[row]
    )


def test_without_styles_a_batch_has_none(data, tmp_path):
    tokenizer = Tokenizer.from_file(str(data / "tokenizer.json"))
    songs = [
        dataclasses.replace(song, styles=None)
        for song in read_songs(data, tokenizer, ALL.gen_config, 4)
    ]
    collate = Collator(
        tokenizer,
        ALL.gen_config,
        condition_dropout=0.0,
        tag_dropout=0.0,
        depth_share=1.0,
        reference_share=0.5,
    )
    assert collate(songs, np.random.default_rng(1)).style is None


def test_bad_input(data, trained, tmp_path):
    with pytest.raises(UsageError, match="pointer_weight 0"):
        dataclasses.replace(REFERENCE, pointer_weight=0.5)
    with pytest.raises(UsageError, match="muq-mulan, heartclap"):
        dataclasses.replace(REFERENCE, style_encoder="ears")
    with pytest.raises(UsageError, match="allowed are all, reference"):
        dataclasses.replace(REFERENCE, learn="much")
    wide = dataclasses.replace(REFERENCE, muq_dim=7)
    with pytest.raises(UsageError, match="have 6 numbers, the recipe's muq_dim is 7"):
        train(wide, options(data, tmp_path / "wide", init=trained[0]))
    plain = tmp_path / "plain"
    plain.mkdir()
    for name in ("codes.safetensors", "tokenizer.json"):
        (plain / name).write_bytes((data / name).read_bytes())
    entries = [json.loads(line) for line in (data / "songs.jsonl").read_text().splitlines()]
    (plain / "songs.jsonl").write_text(
        "".join(json.dumps({k: v for k, v in e.items() if k != "clips"}) + "\n" for e in entries)
    )
    with pytest.raises(UsageError, match="no styles to learn from"):
        train(REFERENCE, options(plain, tmp_path / "none", init=trained[0]))
