"""HeartCLAP's recipe on songs whose instrument and tempo are plain to hear."""

import dataclasses
import itertools
import json
import random

import numpy as np
import pytest
import soundfile
import torch

from heartlib.errors import CheckpointError, UsageError
from heartlib.heartclap import HeartCLAP, HeartCLAPConfig
from heartlib.heartclap.descriptions import describe, facts
from heartlib.training.clap import info_nce, train
from heartlib.training.clap_recipe import CLAPOptions, CLAPRecipe
from heartlib.training.tokenizer import train_tokenizer

TONES = {"flute": 1800.0, "cello": 200.0, "bells": 5000.0}
PULSES = {"fast": 6.0, "slow": 1.0}
RECIPE = CLAPRecipe(
    embed_dim=64,
    audio_width=64,
    audio_layers=2,
    text_width=64,
    text_layers=1,
    steps=24,
    batch=12,
    ema_decay=0.8,
    dropout=0.0,
    masks=0,
    held_out=3,
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Two songs of 11 s of each instrument and tempo."""
    folder = tmp_path_factory.mktemp("clap")
    (folder / "audio").mkdir()
    (folder / "truth").mkdir()
    entries, clock = [], np.arange(11 * 48000) / 48000
    rng = np.random.default_rng(0)
    kinds = list(itertools.product(TONES, PULSES)) * 2
    for number, (instrument, tempo) in enumerate(kinds):
        pulse = (clock * PULSES[tempo]) % 1 < 0.5
        wave = 0.3 * pulse * np.sin(2 * np.pi * TONES[instrument] * rng.uniform(0.95, 1.05) * clock)
        name = f"clap-{number:02d}"
        soundfile.write(folder / "audio" / f"{name}.flac", np.stack((wave, wave), 1), 48000)
        truth = {"genre": "pop", "singer": "none", "timbre": "none", "language": "en"}
        truth |= {"mood": "calm", "main_instrument": instrument, "tempo_class": tempo}
        (folder / "truth" / f"{name}.json").write_text(json.dumps(truth))
        entries.append(json.dumps({"id": name}))
    (folder / "songs.jsonl").write_text("".join(f"{line}\n" for line in entries))
    train_tokenizer([*TONES, *PULSES, "song with led by"]).save(str(folder / "tokenizer.json"))
    return folder


def options(corpus, out, **more):
    file = corpus / "tokenizer.json"
    return CLAPOptions(data=(corpus,), tokenizer=file, out=out, device="cpu", **more)


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    train(RECIPE, options(corpus, out))
    return HeartCLAP.from_pretrained(out / "HeartCLAP-oss")


def test_finds_what_is_described(corpus, trained):
    """Texts and songs of one batch: the song asked for is nearer than the others on average."""
    files = [corpus / "audio" / f"clap-{number:02d}.flac" for number in range(6)]
    songs = torch.stack(
        [trained.embed_audio(soundfile.read(f, dtype="float32")[0].T, 48000) for f in files]
    )
    kinds = itertools.product(TONES, PULSES)
    texts = trained.embed_text([f"{instrument}, {tempo}" for instrument, tempo in kinds])
    for embedded in (songs, texts):
        torch.testing.assert_close(embedded.norm(dim=1), torch.ones(6), atol=1e-4, rtol=0)
    rank = (texts @ songs.T).argsort(1, descending=True)
    found = (rank[:, :2] == torch.arange(6)[:, None]).any(1)
    assert found.float().mean() > 0.6  # a third by chance


def test_resumed_run_is_the_unbroken_run(corpus, tmp_path):
    recipe = dataclasses.replace(RECIPE, steps=2, batch=4, dropout=0.1, masks=1)
    train(recipe, options(corpus, tmp_path / "a"))
    for _ in range(2):
        train(recipe, options(corpus, tmp_path / "b", lot_steps=1))
    a, b = (HeartCLAP.from_pretrained(tmp_path / name / "HeartCLAP-oss") for name in "ab")
    for (name, x), y in zip(a.named_parameters(), b.parameters(), strict=True):
        assert torch.equal(x, y), name


def test_begins_with_trained_weights(corpus, trained, tmp_path):
    recipe = dataclasses.replace(RECIPE, steps=1, peak_lr=1e-9)
    trained.save_pretrained(tmp_path / "before")
    train(recipe, options(corpus, tmp_path / "after", init=tmp_path / "before"))
    after = HeartCLAP.from_pretrained(tmp_path / "after" / "HeartCLAP-oss")
    for x, y in zip(trained.parameters(), after.parameters(), strict=True):
        torch.testing.assert_close(x, y, atol=1e-2, rtol=1e-2)  # saved as bfloat16
    other = dataclasses.replace(recipe, audio_width=96)
    with pytest.raises(UsageError, match="another shape than the recipe: audio_width 64, not 96"):
        train(other, options(corpus, tmp_path / "other", init=tmp_path / "before"))


def test_saved_is_loaded(tmp_path):
    torch.manual_seed(0)
    model = HeartCLAP(HeartCLAPConfig(embed_dim=64, audio_layers=1, text_layers=1)).eval()
    model.tokenizer = train_tokenizer(["slow sad piano"])
    wave = 0.1 * np.random.default_rng(0).standard_normal((2, 16 * 24000)).astype(np.float32)
    for dtype, tolerance in ((None, 1e-6), (torch.int8, 0.02)):
        model.save_pretrained(tmp_path, dtype=dtype)
        again = HeartCLAP.from_pretrained(tmp_path)
        found = again.embed_audio(wave, 24000)
        torch.testing.assert_close(found, model.embed_audio(wave, 24000), atol=tolerance, rtol=0)
    short = again.embed_audio(wave[:, :100], 24000)  # shorter than a clip: silence behind it
    assert torch.isfinite(short).all()
    with pytest.raises(UsageError, match="is empty"):
        again.embed_text(["slow", ""])
    with pytest.raises(UsageError, match=r"not \[2, 0\]"):
        again.embed_audio(wave[:, :0], 24000)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is missing"):
        HeartCLAP.from_pretrained(tmp_path)


def test_padding_changes_no_text():
    torch.manual_seed(0)
    model = HeartCLAP(HeartCLAPConfig(embed_dim=64, audio_layers=1)).eval()
    model.tokenizer = train_tokenizer(["slow sad piano"])
    alone, together = model.embed_text(["slow"]), model.embed_text(["slow", "a much longer text"])
    torch.testing.assert_close(alone[0], together[0], atol=1e-5, rtol=0)


def test_the_loss_knows_equal_texts():
    audio, text = torch.eye(3, 8), torch.eye(3, 8)
    scale, no = torch.tensor(20.0), torch.eye(3, dtype=torch.bool)
    assert info_nce(audio, text, scale, no) < 1e-6
    text[1] = text[0]  # rows 0 and 1 say the same
    same = no.clone()
    same[0, 1] = same[1, 0] = True
    assert info_nce(audio, text, scale, same) < info_nce(audio, text, scale, no) - 0.1


def test_texts_say_what_is_known():
    truth = {"genre": "pop", "timbre": "warm", "singer": "female", "mood": "sad"}
    truth |= {"main_instrument": "piano", "tempo_class": "slow", "language": "ko"}
    known, rng = facts(truth), random.Random(0)
    texts = [describe(known, rng, 0.0) for _ in range(50)]
    words = ("pop", "warm", "sad", "piano", "slow", "korean")
    assert all(word in text for text in texts for word in words)
    assert len(set(texts)) > 20
    shorter = [describe(known, rng, 0.9) for _ in range(50)]
    assert all(shorter) and sum(map(len, shorter)) < 0.6 * sum(map(len, texts))
    played = facts(truth | {"singer": "none", "timbre": "none"})
    assert "korean" not in describe(played, rng, 0.0) and "timbre" not in played


def test_bad_shapes():
    with pytest.raises(ValueError, match="multiple of text_heads"):
        HeartCLAPConfig(text_width=100, text_heads=3)
    with pytest.raises(ValueError, match="multiple of 4"):
        HeartCLAPConfig(clip_seconds=0.01)
