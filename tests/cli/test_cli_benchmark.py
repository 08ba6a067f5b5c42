"""`heartlib evaluate FILE`: nano sings a tiny benchmark once, and goes on where it was."""

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("jiwer")
pytest.importorskip("transformers")
pytest.importorskip("scipy")
pytest.importorskip("pyloudnorm")

from heartlib import audio
from heartlib.cli import main
from heartlib.evaluation import jobs
from heartlib.evaluation.benchmark_file import seed_of
from heartlib.evaluation.benchmark_song import Judge
from heartlib.pipelines import HeartMuLaGenPipeline

ITEM = {"id": "sea", "language": "en", "lyrics": "[Verse]\nthe morning sea", "tags": "pop, Female"}
NAME = f"sea-{seed_of('sea', 0)}"
FLAGS = ["--seeds", "1", "--length", "3", "--device", "cpu"]
AUDIOBOX = """import json
class Predictor:
    def forward(self, batch):
        (song,) = batch
        assert song["path"].shape[0] == 2 and song["sample_rate"] == 48000
        return [json.dumps({"CE": 7.0, "CU": 6.0, "PC": 5.0, "PQ": 8.0})]
def initialize_predictor():
    return Predictor()
"""


def evaluate(*arguments: str | Path) -> int:
    return main(["evaluate", *map(str, arguments)])


def write(path: Path, *items: dict[str, str]) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


@pytest.fixture(scope="module")
def sung(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a benchmark of one item, its song in songs/, and both reports."""
    folder = tmp_path_factory.mktemp("sung")
    file = write(folder / "one.jsonl", ITEM)
    reports = ["--json", folder / "one.json", "--markdown", folder / "one.md"]
    assert evaluate(file, *FLAGS, "--out", folder / "songs", *reports) == 0
    return folder


@pytest.fixture
def folder(sung: Path, tmp_path: Path) -> Path:
    """A copy of that folder."""
    return shutil.copytree(sung, tmp_path / "copy")


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch):
    """Nobody sings or listens."""

    def fail(*_: object):
        raise AssertionError("a song was examined again")

    monkeypatch.setattr(Judge, "__call__", fail)


def test_a_song_is_sung_and_measured(sung: Path):
    assert sorted(path.name for path in (sung / "songs").iterdir()) == [
        f"{NAME}.flac",
        f"{NAME}.json",
    ]
    tags = audio.read_tags(sung / "songs" / f"{NAME}.flac")
    assert (tags["seed"], tags["tags"]) == (seed_of("sea", 0), "pop,female")
    report = json.loads((sung / "one.json").read_text())
    assert report["complete"] and report["benchmark"] == "one.jsonl"
    (song,) = report["songs"]
    assert song["units"]["words"][1] == 3 and [row[0] for row in song["sections"]] == ["Verse"]
    assert song["measures"]["duration"] <= 3 and -1 <= song["tags"] <= 1
    assert [row["language"] for row in report["rows"]] == ["en", "all"]
    assert {"wer", "sections", "tags", "ended"} <= set(report["rows"][0]["figures"])
    text = (sung / "one.md").read_text()
    assert text.startswith("HeartMuLa-nano ") and "one.jsonl, 1 items, 1 seed each: 1 songs" in text
    assert "| en | 1 | 1 |" in text and "| all | 1 | 1 |" in text


def test_what_was_measured_is_not_measured_again(folder: Path, deaf: None):
    again = folder / "again.json"
    flags = [*FLAGS, "--out", folder / "songs"]
    assert evaluate(folder / "one.jsonl", *flags, "--json", again) == 0
    assert json.loads(again.read_text()) == json.loads((folder / "one.json").read_text())


def test_a_song_without_its_result_is_heard_but_not_sung(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    kept = folder / "songs" / f"{NAME}.json"
    found = kept.read_text()
    kept.write_text("{")
    monkeypatch.setattr(HeartMuLaGenPipeline, "generate", None)
    assert evaluate(folder / "one.jsonl", *FLAGS, "--out", folder / "songs") == 0
    assert json.loads(kept.read_text()) == json.loads(found)


def test_scores_of_audiobox_are_added_where_it_is(
    folder: Path, deaf: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    package = folder / "path" / "audiobox_aesthetics"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "infer.py").write_text(AUDIOBOX)
    monkeypatch.syspath_prepend(package.parent)
    assert evaluate(folder / "one.jsonl", *FLAGS, "--out", folder / "songs") == 0
    out = capsys.readouterr().out
    assert "| CE | CU | PC | PQ |" in out and "| 7.00 | 6.00 | 5.00 | 8.00 |" in out
    kept = json.loads((folder / "songs" / f"{NAME}.json").read_text())
    assert kept["result"]["aesthetics"]["PQ"] == 8.0


def test_ctrl_c_prints_what_is_done(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def interrupted(*_: object):
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs, "each", interrupted)
    file = write(folder / "two.jsonl", ITEM | {"id": "new"}, ITEM)
    report = folder / "two.json"
    assert evaluate(file, *FLAGS, "--out", folder / "songs", "--json", report) == 130
    shown = capsys.readouterr()
    assert ": 1 of 2 songs" in shown.out and "| en | 1 | 1 |" in shown.out
    assert "the same command continues" in shown.err
    assert not json.loads(report.read_text())["complete"]
    assert evaluate(file, *FLAGS, "--songs", "1", "--out", folder / "none") == 130
    assert ": 0 of 1 songs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "flags", "what"),
    [
        ({"lyrics": "[Verse]\nanother sea"}, [], "lyrics"),
        ({"tags": "pop,male"}, [], "tags"),
        ({}, ["--length", "4"], "length"),
    ],
)
def test_songs_of_another_benchmark_are_refused(
    folder: Path,
    deaf: None,
    change: dict[str, str],
    flags: list[str],
    what: str,
    capsys: pytest.CaptureFixture[str],
):
    file = write(folder / "one.jsonl", ITEM | change)
    assert evaluate(file, *FLAGS, *flags, "--out", folder / "songs") == 2
    assert f"{NAME}.flac was made with other {what}" in capsys.readouterr().err


def test_songs_in_fewer_bits_are_refused(
    folder: Path, deaf: None, capsys: pytest.CaptureFixture[str]
):
    path = folder / "songs" / f"{NAME}.flac"
    tags = audio.read_tags(path)
    tags["settings"]["quantization"] = "int8"
    audio.write(path, *audio.read(path), tags=tags, overwrite=True)
    assert evaluate(folder / "one.jsonl", *FLAGS, "--out", folder / "songs") == 2
    assert f"{NAME}.flac was made with other quantization" in capsys.readouterr().err


def test_a_changed_song_is_heard_again(
    folder: Path, deaf: None, capsys: pytest.CaptureFixture[str]
):
    path = folder / "songs" / f"{NAME}.flac"
    wave, rate = audio.read(path)
    audio.write(path, wave / 2, rate, tags=audio.read_tags(path), overwrite=True)
    assert evaluate(folder / "one.jsonl", *FLAGS, "--out", folder / "songs") == 1
    assert "a song was examined again" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jsonl"], "there is no benchmark file none.jsonl"),
        (["."], "is a folder"),
        (["bad.jsonl"], "line 1: no language 'xx'; there are en, es, ja, ko, zh"),
        (["tags.jsonl"], "item 'sea': tag 'polka' is not known"),
        (["long.jsonl"], "item 'sea': the prompt is too long"),
        (["one.jsonl", "--seeds", "0"], "--seeds must be 1 or more"),
        (["one.jsonl", "--length", "0.5"], "--length must be 1 to 240"),
        (["one.jsonl", "--sets", "lyrics"], "--sets is not for a benchmark file"),
        (["one.jsonl", "--true", "."], "--true is not for a benchmark file"),
        (["one.jsonl", "--files", "a.wav"], "--files is not for a benchmark file"),
        (["one.jsonl", "--json", "nowhere/r.json"], "there is no folder nowhere"),
        (["one.jsonl", "--markdown", "nowhere/t.md"], "there is no folder nowhere"),
        (["one.jsonl", "--markdown", "."], "--markdown: . is a folder"),
        (["one.jsonl", "--transcriptor", "."], "is not a HeartTranscriptor folder"),
        (["one.jsonl", "--out", "one.jsonl"], "--out: one.jsonl is not a folder"),
        (["one.jsonl", "--model", "./nowhere"], "nowhere"),
        (["one.jsonl", "--device", "tpu"], "tpu"),
        (["one.jsonl", "--quantize", "int3", "--device", "cpu"], "int3"),
        (["--markdown", "t.md"], "--markdown is for a benchmark file"),
    ],
)
def test_bad_input(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    deaf: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    write(Path("one.jsonl"), ITEM)
    write(Path("bad.jsonl"), ITEM | {"language": "xx"})
    write(Path("tags.jsonl"), ITEM | {"tags": "polka"})
    write(Path("long.jsonl"), ITEM | {"lyrics": "[Verse]\n" + "the morning sea\n" * 1000})
    assert evaluate(*arguments) in (1, 2)
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and message in err
