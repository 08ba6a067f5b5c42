"""`heartlib evaluate` from its arguments to its table, with a tiny model."""

import argparse
import json
import shutil
from pathlib import Path

import pytest
from sounds import RATE, drums, stereo

from heartlib import audio
from heartlib.cli import evaluate
from heartlib.errors import HeartlibError, UsageError
from heartlib.evaluation import trials
from heartlib.pipelines import HeartMuLaGenPipeline

TINY = (
    trials.Trial("female", "pop,female", "[Verse]\nthe morning light"),
    trials.Trial("instrumental", "pop", "[Verse]"),
)


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    evaluate.add_parser(parser.add_subparsers())
    return evaluate.main(parser.parse_args(["evaluate", *arguments]))


@pytest.fixture(scope="module")
def pipe(tiny_checkpoint: Path) -> HeartMuLaGenPipeline:
    return HeartMuLaGenPipeline.from_pretrained(tiny_checkpoint, device="cpu")


def test_songs_are_sung_once(pipe: HeartMuLaGenPipeline, tmp_path: Path):
    seen: list[tuple[str, int, int]] = []

    def sing(seeds: int):
        return trials.sing(
            pipe,
            tmp_path / "songs",
            seeds=seeds,
            length=1.1,
            trials=TINY,
            progress=lambda *row: seen.append(row),
        )

    first = sing(1)
    assert seen[0] == ("female-1", 0, 2) and seen[-1] == ("measured", 2, 2)
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "songs").iterdir()}
    assert sorted(kept) == ["female-1.flac", "instrumental-1.flac"]
    tags = audio.read_tags(tmp_path / "songs" / "female-1.flac")
    assert (tags["seed"], tags["tags"]) == (1, "pop,female")
    second = sing(2)
    assert {name: row[0] for name, row in second.items()} == {n: r[0] for n, r in first.items()}
    assert all(
        (tmp_path / "songs" / name).stat().st_mtime_ns == when for name, when in kept.items()
    )
    assert [len(row) for row in second.values()] == [2, 2]
    assert second["female"][0] != second["female"][1]


def test_songs_of_another_model_are_not_measured(pipe: HeartMuLaGenPipeline, tmp_path: Path):
    trials.sing(pipe, tmp_path, seeds=1, length=1.1, trials=TINY)
    with pytest.raises(UsageError, match=r"female-1\.flac was made with other length"):
        trials.sing(pipe, tmp_path, seeds=1, length=2, trials=TINY)
    shutil.copy(tmp_path / "instrumental-1.flac", tmp_path / "female-1.flac")
    with pytest.raises(UsageError, match="made with other tags"):
        trials.sing(pipe, tmp_path, seeds=1, length=1.1, trials=TINY)


def test_the_whole_command(
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    model = shutil.copytree(tiny_checkpoint, tmp_path / "model")
    (model / "tags.json").unlink()
    short = tuple(
        trials.Trial(trial.name, "pop," + trial.name, "[Verse]\nla") for trial in trials.TRIALS
    )
    monkeypatch.setattr(trials, "TRIALS", short)
    flags = ["--model", str(model), "--device", "cpu", "--seeds", "1", "--length", "1.1"]
    report = tmp_path / "report.json"
    assert run(*flags, "--json", str(report)) == 0
    out = capsys.readouterr().out
    assert "HeartMuLa-tiny" in out and "| bar | figure | met | right on true songs |" in out
    data = json.loads(report.read_text())
    assert {row["bar"] for row in data["bars"]} >= {"loudness, LUFS", "clicks at joins"}
    assert set(data["songs"]) == {trial.name for trial in short}
    assert data["model"]["hash"] in out


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
