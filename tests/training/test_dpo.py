"""Learning from pairs: the chosen song becomes likelier than the rejected one."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from heartlib.errors import UsageError
from heartlib.heartmula import GenConfig, HeartMuLa, HeartMuLaConfig, StackConfig
from heartlib.training.dpo import Order, log_chances, read_pairs, train
from heartlib.training.dpo_recipe import DPOOptions, DPORecipe
from heartlib.training.lm_data import Collator, read_songs
from heartlib.training.lm_trainer import initialise, logits_of
from heartlib.training.tokenizer import read_tokenizer, train_tokenizer

GEN = GenConfig(1, 2, audio_eos_id=33, empty_id=0)
RECIPE = DPORecipe(steps=12, batch=2, peak_lr=3e-3, holdout=2, ema_decay=0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random model, and songs of low codes (chosen) and high codes (rejected) to the same prompts."""
    folder, rng = tmp_path_factory.mktemp("dpo"), np.random.default_rng(0)
    tokenizer = train_tokenizer(["la la pop rock"] * 3)
    stack = StackConfig(1, 2, 1, 32, 64, 128)
    config = HeartMuLaConfig("nano", "nano", tokenizer.get_vocab_size(), 37, 4, 8, stack, stack)
    torch.manual_seed(0)
    model = HeartMuLa(config)
    initialise(model, 0.0)
    model.save_pretrained(folder / "HeartMuLa-oss-tiny")
    (folder / "gen_config.json").write_text(json.dumps(GEN.to_dict()))
    tokenizer.save(str(folder / "tokenizer.json"))
    codes, songs, pairs = [], [], []
    for number in range(10):
        for kind, low in (("low", 0), ("high", 16)):
            frames = int(rng.integers(6, 12))
            songs.append({"id": f"{kind}-{number}", "tags": "pop", "lyrics": "x"})
            songs[-1] |= {"offset": sum(map(len, codes)), "frames": frames}
            codes.append(rng.integers(low, low + 16, (frames, 4)))
        pair = {"tags": "rock", "lyrics": f"la {number}", "chosen": f"low-{number}"}
        pairs.append(pair | {"rejected": f"high-{number}"})
    for name, lines in (("songs", songs), ("pairs", pairs)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    save_file(
        {"codes": np.concatenate(codes).T.astype(np.int16).copy()}, folder / "codes.safetensors"
    )
    return folder


def options(folder, out, **more):
    places = {"pairs": folder / "pairs.jsonl", "data": (folder,), "out": out, "device": "cpu"}
    return DPOOptions(init=folder / "HeartMuLa-oss-tiny", **(places | more))


def test_the_chosen_songs_become_likelier(folder, tmp_path):
    found = train(RECIPE, options(folder, tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[0]["pairs"] == 8 and lines[0]["held_out"] == 2
    assert found["held_right"] == 1 and found["held_margin"] > 1  # of pairs never seen
    assert found["held_loss"] < 0.65 < np.log(2)
    before, after = (
        HeartMuLa.from_pretrained(place / "HeartMuLa-oss-tiny") for place in (folder, tmp_path)
    )
    tokenizer = read_tokenizer(tmp_path / "tokenizer.json")
    songs = {song.id: song for song in read_songs(folder, tokenizer, GEN, 4)}
    collate = Collator(tokenizer, GEN, condition_dropout=0, tag_dropout=0, depth_share=1)
    batch = collate([songs["low-0"], songs["high-0"]], np.random.default_rng(0))
    with torch.no_grad():
        moved = log_chances(after, batch) - log_chances(before, batch)
    assert moved[0] > moved[1]


def test_a_songs_chance_is_the_sum_over_frames_and_codebooks(folder):
    model = HeartMuLa.from_pretrained(folder / "HeartMuLa-oss-tiny")
    tokenizer = read_tokenizer(folder / "tokenizer.json")
    songs = read_songs(folder, tokenizer, GEN, 4)[:3]
    collate = Collator(tokenizer, GEN, condition_dropout=0, tag_dropout=0, depth_share=1)
    together = log_chances(model, collate(songs, np.random.default_rng(0)))
    for row, song in enumerate(songs):
        batch = collate([song], np.random.default_rng(0))
        first, others = logits_of(model, batch)
        logits = torch.cat((first[None], others)).log_softmax(-1)  # [K, N, V]
        expected = sum(
            logits[k, n, int(song.frames[n, k])] for k in range(4) for n in range(len(song.frames))
        )
        torch.testing.assert_close(together[row], expected, atol=1e-3, rtol=0)


def test_resumed_run_is_the_unbroken_run(folder, tmp_path):
    recipe = replace(RECIPE, steps=4)
    train(recipe, options(folder, tmp_path / "a"))
    for _ in range(2):
        train(recipe, options(folder, tmp_path / "b", lot_steps=2))
    a, b = (HeartMuLa.from_pretrained(tmp_path / name / "HeartMuLa-oss-tiny") for name in "ab")
    for (name, x), y in zip(a.named_parameters(), b.parameters(), strict=True):
        assert torch.equal(x, y), name


def test_every_pair_once_an_epoch(folder):
    pairs = list(range(8))
    order = Order(pairs, replace(RECIPE, accumulate=2), workers=2)  # pyright: ignore
    seen = [pair for part in range(2) for rank in range(2) for pair in order(0, part, rank)]
    assert sorted(seen) == pairs and seen != pairs


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"line 1 is no pair: give JSON with tags, lyrics, chosen and rejected"),
        ('{"tags": "pop", "lyrics": "la", "chosen": "low-1"}', "line 1 is no pair"),
        (
            '{"tags": "pop", "lyrics": "la", "chosen": "low-1", "rejected": "other"}',
            "line 1 names the song 'other', which is in none of --data",
        ),
        ("", "has no pairs"),
    ],
)
def test_bad_pairs(folder, tmp_path, line, message):
    file = tmp_path / "pairs.jsonl"
    file.write_text(line)
    tokenizer = read_tokenizer(folder / "tokenizer.json")
    songs = {song.id: song for song in read_songs(folder, tokenizer, GEN, 4)}
    with pytest.raises(UsageError, match=message):
        read_pairs(file, songs, tokenizer, GEN)
    with pytest.raises(UsageError, match="there is no file of pairs"):
        read_pairs(tmp_path / "none", songs, tokenizer, GEN)
