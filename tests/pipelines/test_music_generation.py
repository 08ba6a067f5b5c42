"""The whole chain on a tiny random checkpoint."""

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from heartlib import HeartMuLaGenPipeline, Song, audio, checkpoints
from heartlib.errors import CheckpointError, HeartlibError, UsageError
from heartlib.pipelines.music_generation import Cancelled

LYRICS = "[Verse]\nThe morning light is on the sea\n"
TAGS = "pop,female"
SHORT = {"max_audio_length_ms": 960, "num_steps": 1}


@pytest.fixture(scope="module")
def pipe(tiny_checkpoint: Path) -> HeartMuLaGenPipeline:
    return HeartMuLaGenPipeline.from_pretrained(tiny_checkpoint, device="cpu")


@pytest.fixture(scope="module")
def song(pipe: HeartMuLaGenPipeline) -> Song:
    return pipe.generate(LYRICS, TAGS, seed=3, **SHORT)


def test_a_song_tells_how_it_was_made(song: Song):
    assert song.waveform.shape == (2, 12 * 3840) and song.waveform.dtype == torch.float32
    assert song.codes.shape == (8, 12) and song.sample_rate == 48000
    assert song.duration == pytest.approx(0.96)
    assert song.complete and not song.ended
    assert song.seed == song.settings["seed"] == 3
    assert song.settings["max_audio_length_ms"] == 960
    assert song.lyrics == LYRICS.strip() and song.tags == TAGS
    assert set(song.timings) == {"loading", "singing", "decoding"}
    assert song.speed == pytest.approx(0.96 / sum(song.timings.values()))
    json.dumps(song.metadata())


def test_a_seed_gives_one_song(pipe: HeartMuLaGenPipeline, song: Song):
    again = pipe.generate(LYRICS, TAGS, seed=3, **SHORT)
    assert torch.equal(again.codes, song.codes) and torch.equal(again.waveform, song.waveform)
    other = pipe.generate(LYRICS, TAGS, seed=4, **SHORT)
    assert not torch.equal(other.codes, song.codes)


def test_without_a_seed_one_is_drawn_and_told(pipe: HeartMuLaGenPipeline):
    songs = [pipe.generate(LYRICS, TAGS, **SHORT) for _ in range(2)]
    assert songs[0].seed != songs[1].seed
    again = pipe.generate(LYRICS, TAGS, seed=songs[0].seed, **SHORT)
    assert torch.equal(again.waveform, songs[0].waveform)


def test_lazy_loading_sings_the_same_and_gives_memory_back(tiny_checkpoint: Path, song: Song):
    lazy = HeartMuLaGenPipeline.from_pretrained(tiny_checkpoint, device="cpu", lazy_load=True)
    assert lazy.mula is None and lazy.codec is None
    held = []
    for _ in range(2):
        again = lazy.generate(
            LYRICS,
            TAGS,
            seed=3,
            progress=lambda stage, *_: held.append((stage, lazy.mula is None, lazy.codec is None)),
            **SHORT,
        )
        assert torch.equal(again.waveform, song.waveform)
        assert lazy.mula is None and lazy.codec is None
    assert set(held) == {("singing", False, True), ("decoding", True, False)}


def test_memory_low_is_lazy_and_unknown_plans_are_refused(tiny_checkpoint: Path):
    pipe = HeartMuLaGenPipeline.from_pretrained(tiny_checkpoint, device="cpu", memory="low")
    assert pipe.lazy_load and pipe.mula is None and pipe.codec is None
    with pytest.raises(UsageError, match="memory 'tiny' is not known; use one of auto, low"):
        HeartMuLaGenPipeline.from_pretrained(tiny_checkpoint, device="cpu", memory="tiny")


def test_loading_in_bfloat16(tiny_checkpoint: Path):
    pipe = HeartMuLaGenPipeline.from_pretrained(
        tiny_checkpoint, device="cpu", dtype={"mula": "bf16"}
    )
    assert pipe.mula is not None and pipe.codec is not None
    assert next(pipe.mula.parameters()).dtype == torch.bfloat16
    assert next(pipe.codec.parameters()).dtype == torch.float32
    assert pipe.generate(LYRICS, TAGS, seed=3, **SHORT).waveform.dtype == torch.float32


def test_the_published_call(pipe: HeartMuLaGenPipeline, tmp_path: Path):
    (tmp_path / "lyrics.txt").write_text(LYRICS)
    inputs = {"lyrics": str(tmp_path / "lyrics.txt"), "tags": TAGS}
    made = pipe(
        inputs,
        max_audio_length_ms=400,
        temperature=0.9,
        topk=20,
        cfg_scale=1.0,
        save_path=tmp_path / "song.flac",
        seed=5,
    )
    assert made.lyrics == LYRICS.strip()
    back, rate = audio.read(tmp_path / "song.flac")
    assert rate == 48000 and np.abs(back - made.waveform.numpy()).max() < 1e-6
    assert audio.read_tags(tmp_path / "song.flac") == made.metadata()
    with pytest.raises(UsageError, match="exists already"):
        pipe(inputs, save_path=tmp_path / "song.flac")
    with pytest.raises(UsageError, match="there is no file"):
        pipe({"lyrics": str(tmp_path / "no.txt"), "tags": TAGS})
    with pytest.raises(UsageError, match="'tags' is missing"):
        pipe({"lyrics": LYRICS})


def test_another_guidance_after_the_first_song(pipe: HeartMuLaGenPipeline, song: Song):
    pipe.generate(LYRICS, TAGS, seed=3, cfg_scale=1.0, **SHORT)
    again = pipe.generate(LYRICS, TAGS, seed=3, cfg_scale=1.5, **SHORT)
    assert torch.equal(again.codes, song.codes)


def test_progress_counts_frames(pipe: HeartMuLaGenPipeline):
    calls: list[tuple[str, int, int]] = []
    pipe.generate(LYRICS, TAGS, seed=3, progress=lambda *call: calls.append(call), **SHORT)
    assert calls[:12] == [("singing", done, 12) for done in range(1, 13)]
    assert calls[12:] == [("decoding", 0, 12), ("decoding", 12, 12)]


def test_cancelled_while_singing_keeps_what_was_sung(pipe: HeartMuLaGenPipeline, song: Song):
    cancel = threading.Event()

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "singing" and done == 5:
            cancel.set()

    part = pipe.generate(LYRICS, TAGS, seed=3, progress=stop, cancel=cancel, **SHORT)
    assert not part.complete and not part.ended
    assert torch.equal(part.codes, song.codes[:, :5])
    assert part.waveform.shape == (2, 5 * 3840)
    with pytest.raises(Cancelled, match="before anything was sung"):
        pipe.generate(LYRICS, TAGS, cancel=cancel, **SHORT)


def test_small_models_sing_on_one_thread_and_give_the_others_back(pipe: HeartMuLaGenPipeline):
    torch.set_num_threads(2)
    try:
        seen: dict[str, int] = {}
        pipe.generate(
            LYRICS,
            TAGS,
            max_audio_length_ms=160,
            seed=1,
            num_steps=1,
            progress=lambda stage, *_: seen.update({stage: torch.get_num_threads()}),
        )
        assert seen == {"singing": 1, "decoding": 2}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_loud_songs_are_turned_down_in_the_file(song: Song, tmp_path: Path):
    loud = Song(**{**vars(song), "waveform": song.waveform / song.waveform.abs().max() * 3})
    back, _ = audio.read(loud.save(tmp_path / "loud.wav"))
    assert np.abs(back).max() == pytest.approx(10 ** (-1 / 20), abs=1e-4)


def test_bad_values(pipe: HeartMuLaGenPipeline):
    cases = [
        ({"lyrics": ""}, "lyrics are empty"),
        ({"tags": ""}, "tags are empty"),
        ({"tags": "polka"}, "tag 'polka' is not known"),
        ({"lyrics": "song.txt"}, "name of a file"),
        ({"lyrics": LYRICS * 300}, "prompt is too long|shorten the lyrics"),
        ({"max_audio_length_ms": 240_000}, "HeartMuLa-tiny has 192: ask for at most"),
        ({"cfg_scale": 0.5}, "cfg_scale must be 1"),
        ({"topk": 0}, "topk must be 1"),
        ({"temperature": 0}, "temperature must be above 0"),
    ]
    for change, message in cases:
        with pytest.raises(UsageError, match=message):
            pipe.generate(**({"lyrics": LYRICS, "tags": TAGS} | change))


def damaged(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


def test_damaged_checkpoints_name_the_file(tiny_checkpoint: Path, tmp_path: Path):
    root = damaged(tiny_checkpoint, tmp_path / "cut")
    weights = root / "HeartMuLa-oss-tiny" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is cut short at tensor"):
        HeartMuLaGenPipeline.from_pretrained(root, device="cpu")

    root = damaged(tiny_checkpoint, tmp_path / "tokenizer")
    (root / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is not a tokenizer file"):
        HeartMuLaGenPipeline.from_pretrained(root, device="cpu")

    root = damaged(tiny_checkpoint, tmp_path / "missing")
    shutil.rmtree(root / "HeartCodec-oss")
    with pytest.raises(CheckpointError, match=r"config\.json is missing in .*HeartCodec-oss"):
        HeartMuLaGenPipeline.from_pretrained(root, device="cpu")


def test_a_song_that_ends_at_once_is_an_error(tiny_checkpoint: Path, tmp_path: Path):
    root = damaged(tiny_checkpoint, tmp_path / "ends")
    ids = checkpoints.read_json(root / "gen_config.json") | {"audio_eos_id": 1}
    (root / "gen_config.json").write_text(json.dumps(ids))
    with pytest.raises(HeartlibError, match="nothing to sing") as error:
        HeartMuLaGenPipeline.from_pretrained(root, device="cpu").generate(LYRICS, TAGS)
    assert error.value.exit_status == 1


def test_the_hash_names_the_weights(
    pipe: HeartMuLaGenPipeline, tiny_checkpoint: Path, tmp_path: Path
):
    root = damaged(tiny_checkpoint, tmp_path / "other")
    weights = root / "HeartCodec-oss" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    other = HeartMuLaGenPipeline.from_pretrained(root, device="cpu", lazy_load=True)
    assert other.model_hash != pipe.model_hash


def test_a_song_goes_on_from_its_first_frames(pipe: HeartMuLaGenPipeline, song: Song):
    again = pipe.generate(LYRICS, TAGS, seed=3, prefix_codes=song.codes[:, :7], **SHORT)
    assert torch.equal(again.codes, song.codes) and torch.equal(again.waveform, song.waveform)
    assert again.extended == {"frames": 7} and again.metadata()["extended"] == {"frames": 7}
    assert "extended" not in song.metadata()
    plain = pipe.generate(LYRICS, TAGS, seed=3, prefix_codes=song.codes[:, :0], **SHORT)
    assert torch.equal(plain.waveform, song.waveform) and plain.extended is None


def test_prefixes_that_do_not_fit(pipe: HeartMuLaGenPipeline):
    for codes, message in (
        (torch.zeros(8, 12, dtype=torch.long), r"has 12 frames \(0.96 s\), the whole song may"),
        (torch.zeros(8, 190, dtype=torch.long), r"tiny has room for \d+\.\d+ s after these lyrics"),
        (torch.full((8, 3), 32), r"range over 32…32; this model sings 0…31"),
        (torch.zeros(7, 3, dtype=torch.long), r"shape \[7, 3\], not \[8, T\]"),
    ):
        with pytest.raises(UsageError, match=message):
            pipe.generate(LYRICS, TAGS, prefix_codes=codes, **SHORT)
