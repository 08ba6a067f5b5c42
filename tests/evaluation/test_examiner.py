"""True songs through tiny random models: every way of hearing them."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sounds import RATE, drums, stereo, tone

from heartlib import audio
from heartlib.corpus.styles import tags_by_category
from heartlib.evaluation.examiner import Examiner, Setup
from heartlib.evaluation.heard import CODEC, MIX, VOICE
from heartlib.evaluation.likeness import Likeness, recall
from heartlib.evaluation.true_songs import TrueSong
from heartlib.evaluation.truth import Part, Truth
from heartlib.heartclap import HeartCLAP, HeartCLAPConfig
from heartlib.heartcodec.models.query_transformer import MelEncoder, MelEncoderConfig
from heartlib.training.tokenizer import train_tokenizer

pytest.importorskip("transformers")
TRUTH = Truth(
    seed=1,
    language="en",
    duration=2.0,
    tempo=125.0,
    key="C",
    mode="major",
    facts=(("genre", "pop"), ("timbre", "warm"), ("singer", "female"), ("tempo", "fast")),
    parts=(Part("Verse", 0.0, 2.0, ("the", "sea")),),
)


@pytest.fixture(scope="module")
def clap() -> HeartCLAP:
    torch.manual_seed(0)
    tags = [tag for row in tags_by_category().values() for tag in row]
    tokenizer = train_tokenizer(tags * 2)
    config = HeartCLAPConfig(
        embed_dim=16,
        audio_width=16,
        audio_layers=1,
        audio_heads=2,
        text_width=16,
        text_layers=1,
        text_heads=2,
        vocab_size=tokenizer.get_vocab_size(),
    )
    model = HeartCLAP(config).eval()
    model.tokenizer = tokenizer
    return model


@pytest.fixture(scope="module")
def setup(
    tiny_checkpoint: Path, clap: HeartCLAP, tmp_path_factory: pytest.TempPathFactory
) -> Setup:
    from heartlib.training.transcriptor import Listener, whisper_tokenizer, write
    from heartlib.training.transcriptor_recipe import TranscriptorRecipe

    root = tmp_path_factory.mktemp("parts")
    tokenizer = whisper_tokenizer(train_tokenizer(["the sea"] * 3))
    recipe = TranscriptorRecipe(
        width=32, heads=2, encoder_layers=1, decoder_layers=1, most_tokens=16
    )
    write(Listener(recipe, tokenizer, 4), tokenizer, root / "whisper")
    clap.save_pretrained(root / "clap")
    encoder = MelEncoder(MelEncoderConfig(width=32, num_heads=2, num_layers=1, dim=32))
    (root / "encoder").mkdir()
    save_file(encoder.state_dict(), root / "encoder" / "encoder.safetensors")
    (root / "encoder" / "encoder_config.json").write_text(json.dumps(asdict(encoder.config)))
    return Setup(
        str(tiny_checkpoint),
        None,
        "cpu",
        None,
        root,
        transcriptor=root / "whisper",
        clap=root / "clap",
        encoder=root / "encoder",
    )


def test_a_true_song_is_heard_in_three_ways(setup: Setup, tmp_path: Path):
    mix = stereo(drums(125, 2) + tone(220, 2))
    (tmp_path / "audio").mkdir()
    (tmp_path / "stems" / "a").mkdir(parents=True)
    audio.write(tmp_path / "audio" / "a.flac", mix, RATE)
    for part, hertz in (("voice", 220), ("second", 330)):
        audio.write(tmp_path / "stems" / "a" / f"{part}.flac", stereo(tone(hertz, 2)), RATE)
    song = TrueSong(tmp_path, "a", "en", TRUTH, recoded=True)
    voices = song.voices()
    assert voices and np.allclose(voices[0], stereo(tone(220, 2) + tone(330, 2)), atol=1e-4)
    found = {heard.source: heard for heard in Examiner(setup)(song)}
    assert list(found) == [MIX, VOICE, CODEC]
    assert all(isinstance(heard.text, str) for heard in found.values())
    assert found[MIX].measures and found[MIX].measures.duration == 2
    assert found[CODEC].measures and (found[CODEC].mel_distance or 0) > 1
    assert found[MIX].likest and set(found[MIX].likest) == set(tags_by_category())
    assert json.dumps([heard.to_dict() for heard in found.values()])


def test_the_nearest_tag_is_the_one_that_is_heard(clap: HeartCLAP, monkeypatch):
    likeness = Likeness(clap)
    place = clap.embed_text(["waltz"])[0]
    monkeypatch.setattr(HeartCLAP, "embed_audio", lambda *given: place)
    likest, found = likeness(np.zeros((2, 100), np.float32), RATE)
    assert likest["genre"] == "waltz" and np.allclose(found, place.numpy())


def test_recall_counts_the_songs_that_are_found(clap: HeartCLAP, monkeypatch):
    texts = torch.eye(4)
    monkeypatch.setattr(HeartCLAP, "embed_text", lambda model, given: texts[: len(given)])
    known = [{"genre": "pop", "language": "en"}] * 4
    songs = np.eye(4)
    assert recall(clap, known, songs, (1, 2)) == [1.0, 1.0]
    assert recall(clap, known, songs[[1, 0, 2, 3]], (1, 2, 4))[0] == 0.5
    assert recall(clap, known, songs[[1, 2, 3, 0]], (1, 4)) == [0.0, 1.0]
