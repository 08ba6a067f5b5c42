"""`heartlib transcribe`: what is written, and one line for what cannot be."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("transformers")

from heartlib.cli import main, transcribe

SONG = Path(__file__).parents[1] / "data" / "song.ogg"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copy(SONG, "song.ogg")
    soundfile.write("silence.wav", np.zeros(16000), 16000)
    soundfile.write("empty.wav", np.zeros(0), 16000)
    Path("text.mp3").write_text("no sound")
    Path("out").mkdir()
    return tmp_path


def test_several_songs_into_a_folder(folder: Path, capsys: pytest.CaptureFixture[str]):
    songs = ["song.ogg", "silence.wav", "empty.wav"]
    assert main(["transcribe", *songs, "--format", "json", "-o", "out"]) == 0
    out, err = capsys.readouterr()
    assert "out/song.json: " in out and "words in en, 21.0 s" in out
    assert "no words are heard in silence.wav" in err and "in empty.wav" in err
    found = json.loads((folder / "out" / "song.json").read_text())
    assert found["model"]["name"] == "nano" and found["words"][0]["word"] == "that's"
    for name in ("silence", "empty"):
        assert json.loads((folder / "out" / f"{name}.json").read_text())["words"] == []


def test_silence_is_said(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["transcribe", "silence.wav"]) == 0
    out, err = capsys.readouterr()
    assert out == "" and "heartlib: no words are heard in silence.wav" in err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["none.mp3"], 2, "there is no sound file none.mp3"),
        (["out"], 2, "out is a folder; give a sound file"),
        (["text.mp3"], 1, "text.mp3 cannot be read as sound"),
        (["song.ogg", "silence.wav"], 2, "several songs need a folder"),
        (["song.ogg", "silence.wav", "-o", "no"], 2, "several songs need a folder that exists"),
        (["song.ogg", "./song.ogg", "-o", "out"], 2, "two of the songs would write out/song.txt"),
        (["song.ogg", "-o", "song.doc"], 2, "name it .txt, .json, .srt, .lrc"),
        (["song.ogg", "-o", "no/song.lrc"], 2, "there is no folder"),
        (["song.ogg", "-o", "text.mp3", "--format", "txt"], 2, "exists already"),
        (["song.ogg", "--language", "xx"], 2, "knows en, es, ja, ko, zh, not 'xx'"),
        (["song.ogg", "--model", "out"], 1, "no transcriptor at 'out'"),
        (["song.ogg", "--device", "cuda:99"], 1, "does not exist on this machine"),
    ],
)
def test_one_line(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    message: str,
):
    assert main(["transcribe", "-q", *arguments]) == status
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and message in err
    assert list((folder / "out").iterdir()) == []


def test_without_transformers(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(transcribe, "find_spec", lambda name: None)
    assert main(["transcribe", "song.ogg"]) == 1
    assert "pip install 'heartlib[transcribe]'" in capsys.readouterr().err
