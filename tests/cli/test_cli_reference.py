"""`--reference` of `heartlib generate` and `heartlib extend`."""

from pathlib import Path

import numpy as np
import pytest

from heartlib import audio
from heartlib.cli import main

LYRICS = "[Verse]\nThe morning light is on the sea"
SHORT = ["--length", "0.8", "--steps", "1", "--device", "cpu", "-q"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with a recording in it."""
    monkeypatch.chdir(tmp_path)
    time = np.arange(10 * 48_000) / 48_000
    wave = (0.2 * np.sin(2 * np.pi * 330 * time)).astype(np.float32)
    audio.write("other.wav", np.stack([wave, wave]), 48_000)
    return tmp_path


def test_in_the_style_of_a_recording(here: Path):
    """Without tags; `--like` makes the same song without the recording; `extend` goes on from it."""
    sung = ["generate", "--lyrics", LYRICS, "--reference", "other.wav", "--seed", "3"]
    assert main([*sung, *SHORT, "-o", "a.wav"]) == 0
    told = audio.read_tags("a.wav")
    assert told["settings"]["reference"]["file"] == "other.wav" and told["tags"].count(",") == 5
    (here / "other.wav").rename("moved.wav")
    assert main(["generate", "--like", "a.wav", "--device", "cpu", "-q", "-o", "b.wav"]) == 0
    assert np.array_equal(audio.read("a.wav")[0], audio.read("b.wav")[0])
    longer = ["extend", "a.wav", "--reference", "moved.wav", "--length", "1.6", "--steps", "1"]
    assert main([*longer, "--seed", "4", "--device", "cpu", "-q", "-o", "c.wav"]) == 0
    assert audio.read_tags("c.wav")["settings"]["reference"]["file"] == "moved.wav"


def test_bad_references(here: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]):
    sung = ["generate", "--lyrics", LYRICS, *SHORT, "-o", "a.wav"]
    assert main([*sung, "--reference", "none.wav"]) == 2
    assert "there is no sound file none.wav" in capsys.readouterr().err
    assert main(sung) == 2
    assert "give --tags TEXT or --tags-file FILE" in capsys.readouterr().err
    assert main([*sung, "--model", str(tiny_checkpoint), "--reference", "other.wav"]) == 1
    assert "pip install 'heartlib[reference]'" in capsys.readouterr().err
    assert not (here / "a.wav").exists()
