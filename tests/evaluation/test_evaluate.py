"""`heartlib evaluate` from its arguments to its table, with a tiny model."""

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from sounds import RATE, drums, stereo

from heartlib import audio
from heartlib.cli import evaluate
from heartlib.errors import HeartlibError, UsageError
from heartlib.evaluation import jobs, trials
from heartlib.evaluation.examiner import Setup
from heartlib.evaluation.jobs import examine
from heartlib.evaluation.pieces import Piece

TINY = (
    Piece("female", "female-1", "pop,female", "[Verse]\nthe morning light", 1, 1.1),
    Piece("instrumental", "instrumental-1", "pop", "[Verse]", 1, 1.1),
)


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    evaluate.add_parser(parser.add_subparsers())
    return evaluate.main(parser.parse_args(["evaluate", *arguments]))


@pytest.fixture(scope="module")
def setup(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Setup:
    """A checkpoint without an end of song and with any tags, and a folder for its songs."""
    model = shutil.copytree(tiny_checkpoint, tmp_path_factory.mktemp("model") / "model")
    (model / "tags.json").unlink()
    return Setup(str(model), None, "cpu", None, tmp_path_factory.mktemp("songs"))


def test_songs_are_sung_once(setup: Setup):
    first = dict(examine(TINY, setup, 1))
    kept = {path.name: path.stat().st_mtime_ns for path in setup.songs.iterdir()}
    assert sorted(kept) == ["female-1.flac", "instrumental-1.flac"]
    tags = audio.read_tags(setup.songs / "female-1.flac")
    assert (tags["seed"], tags["tags"]) == (1, "pop,female")
    assert dict(examine(TINY, setup, 1)) == first
    assert {path.name: path.stat().st_mtime_ns for path in setup.songs.iterdir()} == kept
    assert [song.ended for row in first.values() for song in row] == [False, False]


def test_processes_hear_the_same(setup: Setup):
    alone = dict(examine(TINY, setup, 1))
    together = dict(examine(TINY, setup, 2))
    assert {n: row[0].name for n, row in together.items()} == {0: "female-1", 1: "instrumental-1"}
    assert [together[n][0].measures for n in (0, 1)] == [alone[n][0].measures for n in (0, 1)]


def test_songs_of_another_model_are_not_measured(setup: Setup):
    list(examine(TINY, setup, 1))
    longer = replace(TINY[0], length=2.0)
    with pytest.raises(UsageError, match=r"female-1\.flac was made with other length"):
        list(examine([longer], setup, 1))
    shutil.copy(setup.songs / "instrumental-1.flac", setup.songs / "female-1.flac")
    with pytest.raises(UsageError, match="made with other tags"):
        list(examine(TINY, setup, 2))
    (setup.songs / "female-1.flac").unlink()


def test_an_error_names_its_song(tiny_checkpoint: Path, tmp_path: Path):
    setup = Setup(str(tiny_checkpoint), None, "cpu", None, tmp_path)
    unknown = replace(TINY[0], tags="polka")
    with pytest.raises(UsageError, match="female-1: tag 'polka' is not known"):
        list(examine([unknown], setup, 1))


def test_the_whole_command(
    setup: Setup,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(trials, "WORDS", "[Verse]\nla")
    monkeypatch.setattr(trials, "NO_WORDS", "[Verse]")
    flags = ["--model", setup.model, "--device", "cpu", "--seeds", "1", "--length", "1.1"]
    report = tmp_path / "report.json"
    assert run(*flags, "--sets", "trials", "--json", str(report)) == 0
    out = capsys.readouterr().out
    assert "HeartMuLa-tiny" in out and "| what | bar | figure | met | on true songs |" in out
    assert "There is no HeartTranscriptor-oss in" in out and "no rows about words" in out
    data = json.loads(report.read_text())
    assert {row["name"] for row in data["bars"]} >= {"loudness, LUFS", "clicks at joins"}
    assert {song["group"] for song in data["songs"]} == set(trials.TAGS)
    assert data["model"]["hash"] in out and data["complete"]


def test_what_is_done_is_kept_at_ctrl_c(
    setup: Setup,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    def interrupted(*arguments: object):
        yield next(iter(examine(TINY, setup, 1)))
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs, "examine", interrupted)
    flags = ["--model", setup.model, "--device", "cpu", "--sets", "trials", "--seeds", "1"]
    report = tmp_path / "report.json"
    assert run(*flags, "--out", str(tmp_path / "songs"), "--json", str(report)) == 130
    shown = capsys.readouterr()
    assert ", 1 of 6 songs" in shown.out and "the same command continues" in shown.err
    assert [song["name"] for song in json.loads(report.read_text())["songs"]] == ["female-1"]


def test_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = audio.write(tmp_path / "beat.mp3", stereo(drums(125, 8)), RATE)
    assert run("--files", str(path), "--json", str(tmp_path / "m.json")) == 0
    out = capsys.readouterr().out
    assert "| tempo, bpm | 125 |" in out and "| duration, s | 8" in out
    assert json.loads((tmp_path / "m.json").read_text())["files"][str(path)]["tempo"] == 125


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seeds", "0"], "--seeds must be 1 or more"),
        (["--songs", "0"], "--songs must be 1 or more"),
        (["--jobs", "0"], "--jobs must be 1 or more"),
        (["--true", "."], "is not a corpus folder: it has no songs.jsonl"),
        (["--transcriptor", "."], "is not a HeartTranscriptor folder"),
        (["--length", "0.5"], "--length must be 1 to 240"),
        (["--length", "nan"], "--length must be 1 to 240"),
        (["--files", "none.wav"], "no sound file none.wav"),
        (["--json", "nowhere/r.json"], "there is no folder nowhere"),
        (["--model", "./nowhere"], "nowhere"),
    ],
)
def test_bad_input(flags: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HeartlibError, match=message):
        run(*flags)


def test_out_that_is_a_file(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is not a folder"):
        run("--out", str(tmp_path / "file"))
