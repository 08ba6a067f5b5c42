"""A recording to take after: what is heard of it, and what a song makes of that."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from heartlib import HeartMuLaGenPipeline, Song, audio
from heartlib.errors import HeartlibError, UsageError
from heartlib.heartclap import HeartCLAP
from heartlib.heartclap.index import clap_folder
from heartlib.heartmula import HeartMuLaConfig
from heartlib.pipelines.best_of import Takes
from heartlib.pipelines.reference import Reference, reference_of
from heartlib.pipelines.settings import GenerationSettings

LYRICS, RATE = "[Verse]\nThe morning light is on the sea", 48_000
SHORT = {"max_audio_length_ms": 800, "num_steps": 1, "seed": 3}


def tones(seconds: float, *hertz: float) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    wave = sum(0.2 * np.sin(2 * np.pi * each * time) for each in hertz)
    return np.stack([wave, wave]).astype(np.float32)


@pytest.fixture(scope="module")
def pipe() -> HeartMuLaGenPipeline:
    return HeartMuLaGenPipeline.from_pretrained("nano", device="cpu")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return audio.write(
        tmp_path_factory.mktemp("recordings") / "other.wav", tones(12, 220, 277, 330), RATE
    )


@pytest.fixture(scope="module")
def like(pipe: HeartMuLaGenPipeline, recording: Path) -> Song:
    """A song without tags that takes after the recording."""
    return pipe.generate(LYRICS, "", reference=recording, **SHORT)


def test_the_style_is_heartclaps(pipe: HeartMuLaGenPipeline, recording: Path):
    heard = reference_of(recording, pipe.config, pipe.paths.root)
    assert heard is not None and heard.file == "other.wav" and heard.encoder == "heartclap"
    clap = HeartCLAP.from_pretrained(clap_folder("nano"))
    wave, rate = audio.read(recording)
    assert torch.allclose(heard.embedding, clap.embed_audio(wave, rate), atol=1e-3)
    genre = heard.tags.split(",")[0]
    texts = ["blues", "folk", "waltz", genre]
    found = clap.embed_text(texts) @ clap.embed_audio(wave, rate)
    assert found.argmax() == 3 or texts[int(found.argmax())] == genre
    assert len(heard.tags.split(",")) == 6 and "instrumental" not in heard.tags


def test_a_song_takes_after_it(pipe: HeartMuLaGenPipeline, like: Song):
    """The slot is filled, and the tags that were heard are told."""
    reference = like.settings["reference"]
    assert like.tags == reference["tags"]
    plain = pipe.generate(LYRICS, like.tags, **SHORT)
    assert not torch.equal(like.codes, plain.codes)
    assert "reference" not in plain.settings
    assert "like other.wav" in like.metadata()["comment"]


def test_given_tags_are_kept(pipe: HeartMuLaGenPipeline, recording: Path):
    lyrics, tags, settings = pipe.checked(
        LYRICS, "jazz,female", GenerationSettings(reference=recording)
    )
    assert tags == "jazz,female" and isinstance(settings.reference, Reference)
    prompt, _ = pipe.prepare(lyrics, tags, settings)
    assert prompt.muq_embed is not None and prompt.muq_embed.shape == (pipe.config.muq_dim,)


def test_a_file_tells_its_reference(pipe: HeartMuLaGenPipeline, like: Song, tmp_path: Path):
    """The same song again needs the recording no more."""
    told = audio.read_tags(like.save(tmp_path / "like.mp3"))
    again = pipe.generate(
        told["lyrics"], told["tags"], reference=told["settings"]["reference"], **SHORT
    )
    assert torch.equal(again.codes, like.codes)
    assert torch.equal(again.waveform, like.waveform)


def test_takes_share_one_reference(pipe: HeartMuLaGenPipeline, recording: Path):
    pytest.importorskip("transformers")
    settings = GenerationSettings(**SHORT, reference=recording)
    best = Takes(pipe)("[Instrumental]", "", count=2, settings=settings)
    assert len(best.scores) == 2 and best.song.settings["reference"]["file"] == "other.wav"


def test_streams_take_after_it(pipe: HeartMuLaGenPipeline, like: Song, recording: Path):
    with pipe.stream(LYRICS, "", reference=recording, **SHORT) as stream:
        for _ in stream:
            pass
    assert stream.song is not None and torch.equal(stream.song.codes, like.codes)


def test_as_published(pipe: HeartMuLaGenPipeline, like: Song, recording: Path):
    """`ref_audio` of the published form, without tags."""
    song = pipe({"lyrics": LYRICS, "ref_audio": recording}, max_audio_length_ms=800, seed=3)
    assert torch.equal(song.codes, like.codes)


def test_one_channel_and_another_rate(pipe: HeartMuLaGenPipeline, recording: Path, tmp_path: Path):
    wave, rate = audio.read(recording)
    small = tmp_path / "small.wav"
    import soundfile

    soundfile.write(small, audio.resample(wave[:1], rate, 22_050).T, 22_050)
    two = [reference_of(path, pipe.config, pipe.paths.root) for path in (recording, small)]
    assert two[0] is not None and two[1] is not None
    assert two[0].embedding @ two[1].embedding > 0.98


def test_bad_recordings(pipe: HeartMuLaGenPipeline, tmp_path: Path):
    import soundfile

    silent, broken, words = tmp_path / "silent.wav", tmp_path / "nan.wav", tmp_path / "words.txt"
    soundfile.write(silent, np.zeros((RATE, 2)), RATE)
    soundfile.write(broken, np.full((RATE, 2), np.nan), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "empty.wav", np.zeros((0, 2)), RATE)
    words.write_text("la la la")
    for given, message in (
        (silent, "silent.wav: it is silent"),
        (broken, "nan.wav: it holds samples that are not finite"),
        (tmp_path / "empty.wav", "empty.wav: "),
        (words, "cannot be read as sound"),
        (tmp_path, "is a folder"),
        (tmp_path / "none.wav", "there is no sound file"),
        (7, "the path of a recording, not int 7"),
        ({"file": "x"}, "a reference has file, encoder, style"),
        ({"file": "x", "encoder": "heartclap", "style": "?"}, "is no embedding"),
        ({"file": 1, "encoder": "heartclap", "style": "AAA="}, "reference's file is text, not 1"),
        ({"file": "x", "encoder": "heartclap", "style": "AAA="}, r"heartclap \(1 numbers\)"),
    ):
        with pytest.raises(HeartlibError, match=message):
            pipe.generate(LYRICS, "pop", reference=given, **SHORT)  # pyright: ignore[reportArgumentType]


def test_another_models_reference_is_refused(pipe: HeartMuLaGenPipeline, like: Song):
    held = Reference(**like.settings["reference"])
    assert asdict(held) == like.settings["reference"]
    other = replace(held, encoder="muq-mulan")
    with pytest.raises(UsageError, match="heard by muq-mulan"):
        reference_of(other, pipe.config, pipe.paths.root)
    published = HeartMuLaConfig()
    with pytest.raises(UsageError, match=r"takes muq-mulan \(512\)"):
        reference_of(held, published, pipe.paths.root)


def test_the_published_models_need_an_extra(recording: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("heartlib.pipelines.reference.find_spec", lambda name: None)
    with pytest.raises(HeartlibError, match=r"pip install 'heartlib\[reference\]'"):
        reference_of(recording, HeartMuLaConfig(), tmp_path)


def test_neither_tags_nor_a_reference(pipe: HeartMuLaGenPipeline):
    with pytest.raises(UsageError, match="the tags are empty"):
        pipe.generate(LYRICS, "", **SHORT)
