"""`heartlib show`: the picture that is written, and one line for what cannot be."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("matplotlib")

from PIL import Image

from heartlib import audio
from heartlib.cli import main, show

DATA = Path(__file__).parents[1] / "data"
LYRICS = "[Verse]\nthat's the tulip that bakes you kindly\n\n[Outro]\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copy(DATA / "song.ogg", "song.ogg")
    shutil.copy(DATA / "song.json", "words.json")
    soundfile.write("empty.wav", np.zeros(0), 16000)
    Path("text.mp3").write_text("no sound")
    Path("lyrics.txt").write_text(LYRICS)
    Path("old.png").write_text("mine")
    Path("out").mkdir()
    return tmp_path


def test_a_picture_of_words_and_lyrics(folder: Path, capsys: pytest.CaptureFixture[str]):
    command = ["show", "song.ogg", "--words", "words.json", "--lyrics", "lyrics.txt"]
    assert main([*command, "--width", "900", "--dark"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("song.png: 900 x ") and "2 sections, " in out and err == ""
    with Image.open(folder / "song.png") as picture:
        assert picture.format == "PNG" and picture.width == 900


def test_lyrics_come_from_the_song(folder: Path, capsys: pytest.CaptureFixture[str]):
    wave, rate = audio.read("song.ogg")
    tags = {"lyrics": LYRICS, "tags": "pop,female", "seed": 7, "model": {"name": "nano"}}
    audio.write("made.flac", wave, rate, tags=tags)
    assert main(["show", "made.flac", "--words", "words.json", "-o", "made.png"]) == 0
    assert "2 sections, " in capsys.readouterr().out
    known = show._known("made.flac")
    assert show._facts(known, "0:21") == "pop, female  ·  seed 7  ·  0:21  ·  nano"


@pytest.mark.parametrize("tags", [{"seed": [], "tags": 5, "model": "x", "lyrics": {}}, {}])
def test_strange_tags_are_left_out(tags: dict):
    assert show._facts(tags, "0:21") == "0:21" and show._text(tags, "lyrics") == ""


def test_without_words(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["show", "song.ogg", "--no-words", "-o", "old.png", "--overwrite", "-q"]) == 0
    assert capsys.readouterr() == ("", "")
    assert (folder / "old.png").read_bytes().startswith(b"\x89PNG")


def test_words_are_heard(folder: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("transformers")
    wave, rate = audio.read("song.ogg")
    audio.write("begin.wav", wave[:, : 7 * rate], rate)
    assert main(["show", "begin.wav", "--lyrics", "lyrics.txt"]) == 0
    out, _ = capsys.readouterr()
    assert "2 sections, " in out and " 0 words" not in out


def test_without_transformers_and_lyrics_of_another_song(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    Path("lyrics.txt").write_text("[Verse]\nxylophone")
    _hide(monkeypatch, "transformers")
    assert main(["show", "song.ogg", "--lyrics", "lyrics.txt"]) == 0
    out, err = capsys.readouterr()
    assert "0 sections, 0 words" in out
    assert "no words: give --words FILE, or pip install 'heartlib[transcribe]'" in err
    assert "none of the lyrics' words is found" in err


def test_missing_matplotlib(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    _hide(monkeypatch, "matplotlib")
    assert main(["show", "song.ogg"]) == 1
    assert "pictures need matplotlib: pip install 'heartlib[show]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["none.mp3"], 2, "there is no sound file none.mp3"),
        (["out"], 2, "out is a folder; give a sound file"),
        (["text.mp3"], 1, "text.mp3 cannot be read as sound"),
        (["empty.wav", "--no-words"], 1, "empty.wav is empty"),
        (["song.ogg", "-o", "song.jpg"], 2, "-o song.jpg: name it .png"),
        (["song.ogg", "-o", "old.png"], 2, "old.png exists already"),
        (["song.ogg", "-o", "no/song.png"], 2, "there is no folder"),
        (["song.ogg", "--width", "10"], 2, "--width is 600 to 16000 pixels, not 10"),
        (["song.ogg", "--words", "none.json"], 2, "there is no file none.json"),
        (["song.ogg", "--words", "lyrics.txt"], 2, "give the .json or .lrc"),
        (["song.ogg", "--lyrics", "none.txt"], 2, "--lyrics: there is no file none.txt"),
        (["song.ogg", "--lyrics", "song.ogg"], 2, "is not UTF-8 text"),
        (["song.ogg", "--words", "words.json", "--no-words"], 2, "not allowed with"),
    ],
)
def test_bad_input(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    message: str,
):
    before = sorted(os.listdir(folder))
    assert main(["show", *arguments]) == status
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("heartlib: error: ") and err.count("\n") == 1
    assert message in err
    assert sorted(os.listdir(folder)) == before and Path("old.png").read_text() == "mine"


def test_nothing_of_matplotlib_before_it_is_needed():
    code = "import sys, heartlib.cli.app as app; app.build_parser(); print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def _hide(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(show, "find_spec", lambda asked: None if asked == name else real(asked))
