"""`heartlib index` and `heartlib search`: what they print, and one line for what is wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from heartlib.cli import main
from heartlib.heartclap.index import MusicIndex

RATE = 24000


@pytest.fixture
def music(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two songs, and files that are none, seen from the folder above."""
    monkeypatch.chdir(tmp_path)
    folder = Path("music")
    folder.mkdir()
    t = np.arange(2 * RATE) / RATE
    soundfile.write(folder / "low.flac", 0.3 * np.sin(2 * np.pi * 110 * t), RATE)
    soundfile.write(folder / "high.wav", 0.3 * np.sin(2 * np.pi * 880 * t), RATE)
    (folder / "broken\n.mp3").write_text("no sound")
    for number in range(7):
        (folder / f"cover{number}.jpg").touch()
    return folder


def test_index_and_search(music: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["index", "music"]) == 0
    out, err = capsys.readouterr()
    assert out == "2 songs in music/.heartlib-index.sqlite: 2 new, 0 changed, 0 gone\n"
    assert "skipped: 1\n  broken\\n.mp3 cannot be read as sound: Format not recognised." in err
    assert "not audio: 7\n  cover0.jpg\n" in err and "  and 2 more\n" in err
    assert main(["search", "slow sad piano", "--in", "music"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.split()[1] for line in lines) == ["music/high.wav", "music/low.flac"]
    scores = [float(line.split()[0]) for line in lines]
    assert scores == sorted(scores, reverse=True)
    assert main(["search", "--like", "music/low.flac", "--in", "music", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["text"] is None and told["like"] == "music/low.flac"
    assert [song["path"] for song in told["songs"]] == ["music/high.wav"]
    assert -1 <= told["songs"][0]["score"] < 1


def test_ctrl_c_keeps_what_was_done(
    music: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    real, tried = MusicIndex._embed, []

    def interrupted(index: MusicIndex, path: Path) -> np.ndarray:
        tried.append(path.name)
        if len(tried) == 3:
            raise KeyboardInterrupt
        return real(index, path)

    monkeypatch.setattr(MusicIndex, "_embed", interrupted)
    assert main(["index", "music"]) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert main(["index", "music"]) == 0
    assert "2 songs in music" in capsys.readouterr().out
    assert sorted(tried[2:]) == ["broken\n.mp3", "low.flac", "low.flac"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["index", "nowhere"], 2, "there is no folder nowhere"),
        (["index", "music/low.flac"], 2, "music/low.flac is a file; give the folder"),
        (["index", "music", "--index", "music"], 2, "the index music is a folder"),
        (["index", "music", "--model", "music"], 1, "there is no HeartCLAP in music"),
        (["index", "music", "--device", "toaster"], 2, "'toaster' is not a device"),
        (["search", "--in", "music"], 2, "give a text, --like FILE, or both"),
        (["search", "piano", "--in", "music"], 1, "make it with `heartlib index DIR`"),
        (["search", "piano"], 1, "there is no index .heartlib-index.sqlite"),
        (["search", "piano", "--index", "no.sqlite"], 1, "there is no index no.sqlite"),
        (["search", "piano", "--in", "a", "--index", "b"], 2, "not allowed with argument"),
    ],
)
def test_one_line_for_what_is_wrong(
    music: Path,
    arguments: list[str],
    status: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
):
    assert main(arguments) == status
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("heartlib: error: ") and err.count("\n") == 1, err
    assert message in err
    assert not list(music.glob(".*"))
