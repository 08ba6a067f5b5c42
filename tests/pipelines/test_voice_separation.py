"""Voices without their band: pieces fit together, a small Demucs runs, and what is missing is told."""

import numpy as np
import pytest
import soundfile
import torch

from heartlib.cli import main
from heartlib.errors import HeartlibError, UsageError
from heartlib.pipelines import voice_separation
from heartlib.pipelines.voice_separation import VoiceSeparator, in_pieces


@pytest.mark.parametrize("blocks", [(7, 1, 50, 3), (100,), (5,), (), (20, 20)])
def test_pieces_are_the_whole_again(blocks):
    whole = np.arange(2 * sum(blocks), dtype=np.float32).reshape(2, -1)
    parts = iter(np.split(whole, np.cumsum(blocks), axis=1))
    found = list(in_pieces(parts, 10, 3))
    joined = [wave[:, before : wave.shape[1] - after] for wave, before, after in found]
    assert np.array_equal(np.concatenate([np.zeros((2, 0)), *joined], axis=1), whole)
    assert all(wave.shape[1] <= 16 for wave, _, _ in found)
    assert all(after == 3 for _, _, after in found[:-1])
    assert all(before == 3 for _, before, _ in found[1:])


@pytest.fixture(scope="module")
def separator() -> VoiceSeparator:
    """A Demucs of a few numbers that has learned nothing."""
    htdemucs = pytest.importorskip("demucs.htdemucs")
    torch.manual_seed(0)
    model = htdemucs.HTDemucs(
        ["drums", "vocals"], channels=8, growth=1, t_layers=0, segment=1
    )  # fmt: skip
    return VoiceSeparator(model, torch.device("cpu"))


@pytest.mark.parametrize(("channels", "rate"), [(1, 8000), (2, 44100), (3, 48000)])
def test_a_song_gives_a_voice_of_its_length(separator, tmp_path, monkeypatch, channels, rate):
    monkeypatch.setattr(voice_separation, "PIECE", 1)
    monkeypatch.setattr(voice_separation, "EDGE", 1)
    noise = np.random.default_rng(0).normal(0, 0.1, (int(2.5 * rate), channels))
    soundfile.write(tmp_path / "song.wav", noise, rate)
    told = []
    voice = separator(tmp_path / "song.wav", progress=lambda *at: told.append(at))
    assert voice.dtype == np.float32 and abs(len(voice) - 2.5 * 16000) <= 2
    assert np.isfinite(voice).all() and voice.std() > 0
    assert told[0] == (0.0, 2.5) and len(told) == 3 and told[-1][0] == pytest.approx(2.5)
    assert np.array_equal(voice, separator(tmp_path / "song.wav"))


def test_what_is_no_song_is_told(separator, tmp_path):
    with pytest.raises(UsageError, match="there is no sound file"):
        separator(tmp_path / "song.wav")
    soundfile.write(tmp_path / "nan.wav", np.full(100, np.nan, np.float32), 8000, "FLOAT")
    with pytest.raises(HeartlibError, match="not finite"):
        separator(tmp_path / "nan.wav")


def test_missing_weights_are_told(tmp_path, monkeypatch, capsys):
    pytest.importorskip("demucs")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    soundfile.write(tmp_path / "song.wav", np.zeros(8000), 8000)
    assert main(["transcribe", str(tmp_path / "song.wav"), "--separate"]) == 1
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1
    assert "the weights of Demucs (htdemucs) are not in the cache and cannot be fetched" in err


def test_missing_demucs_is_told(monkeypatch):
    monkeypatch.setattr(voice_separation, "find_spec", lambda name: None)
    with pytest.raises(HeartlibError, match=r"pip install 'heartlib\[separate\]'"):
        VoiceSeparator.from_pretrained("cpu")
