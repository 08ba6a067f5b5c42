"""Songs that nano sings to learn from, and true ones, as codes with their styles."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from heartlib import audio, checkpoints
from heartlib.heartclap import HeartCLAP
from heartlib.heartclap.index import clap_folder
from heartlib.heartcodec import HeartCodec
from heartlib.heartmula import GenConfig
from heartlib.training import encode, sung
from heartlib.training.lm_data import read_songs


def test_beginnings_are_sung_and_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Of two parts, one is there already; the codes' styles are HeartCLAP's of their sound."""
    pytest.importorskip("triton")
    out = tmp_path / "sung"
    (out / "part-00001").mkdir(parents=True)
    small = ["--songs", "2", "--part", "1", "--at-once", "1", "--jobs", "1", "--first-frames", "13"]
    monkeypatch.setattr("sys.argv", ["sung", *small, "--device", "cpu", "--out", str(out)])
    assert sung.main() == 0
    assert not list((out / "part-00001").iterdir())
    paths = checkpoints.find("nano")
    gen_config = checkpoints.read_config(paths.gen_config.parent, GenConfig, "gen_config.json")
    tokenizer = Tokenizer.from_file(str(paths.tokenizer))
    (song,) = read_songs(out / "part-00002", tokenizer, gen_config, 8)
    assert song.frames.shape == (14, 8) and song.styles is not None and song.lyrics and song.tags
    codes = load_file(out / "part-00002" / "codes.safetensors")["codes"]
    codec = HeartCodec.from_pretrained(paths.codec)
    seed = int(song.id.removeprefix("sung-"))
    import torch

    wave = codec.detokenize(torch.from_numpy(codes).long(), seed=seed).numpy()
    clap = HeartCLAP.from_pretrained(clap_folder("nano"))
    assert np.allclose(song.styles, clap.embed_clips(wave, 48_000), atol=2e-3)


def test_bad_numbers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    for flags, message in (
        (["--songs", "0"], "--songs is 0; at least 1"),
        (["--first-frames", "-1"], "--first-frames is -1; 0 for whole songs"),
    ):
        monkeypatch.setattr("sys.argv", ["sung", *flags, "--out", "nowhere"])
        assert sung.main() == 2
        assert message in capsys.readouterr().err


def test_a_corpus_with_styles(tmp_path: Path):
    """Codes of nano's own encoder, and a style for each ten seconds."""
    data = tmp_path / "songs"
    (data / "audio").mkdir(parents=True)
    rng = np.random.default_rng(0)
    lengths = {"a": 2.0, "b": 21.0}
    with open(data / "songs.jsonl", "w") as lines:
        for name, seconds in lengths.items():
            noise = 0.1 * rng.standard_normal((2, round(48_000 * seconds)))
            audio.write(data / "audio" / f"{name}.flac", noise.astype(np.float32), 48_000)
            lines.write(json.dumps({"id": name, "tags": "pop", "lyrics": "la"}) + "\n")
    import torch

    encode.encode(data, encode.load(None, "nano", "nano", torch.device("cpu")), tmp_path / "codes")
    entries = [json.loads(x) for x in (tmp_path / "codes" / "songs.jsonl").open()]
    tensors = load_file(tmp_path / "codes" / "codes.safetensors")
    assert [entry["clips"] for entry in entries] == [[0, 1], [1, len(tensors["styles"]) - 1]]
    assert entries[1]["clips"][1] in (2, 3) and tensors["styles"].shape[1] == 1024
    codec = HeartCodec.from_encoder_decoder_pretrained(*checkpoints.find_codec("nano"))
    wave, rate = audio.read(data / "audio" / "b.flac")
    codes = codec.tokenize(wave, rate).numpy()
    mine = tensors["codes"][:, entries[1]["offset"] :]
    assert mine.shape == codes.shape and (mine == codes).mean() > 0.99
