"""`heartlib align`: what is written, and one line for what cannot be."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("transformers")

from heartlib.cli import main

SONG = Path(__file__).parents[1] / "data" / "song.ogg"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copy(SONG, "song.ogg")
    soundfile.write("silence.wav", np.zeros(16000), 16000)
    words = [word["word"] for word in json.loads(SONG.with_suffix(".json").read_text())["words"]]
    Path("song.txt").write_text(f"[Verse]\n{' '.join(words[:8])}\n{' '.join(words[8:])}\n")
    Path("markers.txt").write_text("[Verse]\n\n[Chorus]\n")
    Path("empty.txt").write_text("")
    return tmp_path


def test_a_file_for_players(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["align", "song.ogg", "--lyrics", "song.txt", "-o", "song.lrc"]) == 0
    assert "song.lrc: 24 words in en, 21.0 s" in capsys.readouterr().out
    lines = Path("song.lrc").read_text().splitlines()
    assert lines[0] == "[la:en]" and len(lines) == 3
    assert lines[1].startswith("[00:01.8") and "that's" in lines[1]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["song.ogg"], 2, "--lyrics"),
        (["song.ogg", "--lyrics", "none.txt"], 2, "--lyrics: there is no file none.txt"),
        (["song.ogg", "--lyrics", "song.ogg"], 2, "song.ogg is not UTF-8 text"),
        (["song.ogg", "--lyrics", "empty.txt"], 2, "empty.txt: the lyrics are empty"),
        (["song.ogg", "--lyrics", "markers.txt"], 2, "no words, only section markers"),
        (["none.mp3", "--lyrics", "song.txt"], 2, "there is no sound file none.mp3"),
        (["song.txt", "--lyrics", "song.txt"], 1, "song.txt cannot be read as sound"),
        (["silence.wav", "--lyrics", "song.txt"], 2, "the song is silent"),
        (["song.ogg", "--lyrics", "song.txt", "--format", "doc"], 2, "invalid choice: 'doc'"),
        (["song.ogg", "--lyrics", "song.txt", "-o", "a.doc"], 2, "name it .txt, .json, .srt, .lrc"),
        (["song.ogg", "--lyrics", "song.txt", "-o", "song.txt"], 2, "exists already"),
        (["song.ogg", "--lyrics", "song.txt", "--language", "xx"], 2, "not 'xx'"),
    ],
)
def test_one_line(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    message: str,
):
    before = sorted(folder.iterdir())
    assert main(["align", "-q", *arguments]) == status
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and message in err
    assert sorted(folder.iterdir()) == before
