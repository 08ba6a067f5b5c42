"""`heartlib bench`: help, one line for what is wrong, and a whole run of a tiny model and of nano."""

import json
from pathlib import Path

import pytest
import torch

from heartlib.cli import main

ON_CPU = ["bench", "--device", "cpu"]


def test_help_has_examples(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        main(["bench", "--help"])
    assert stop.value.code == 0
    told = capsys.readouterr().out
    assert "heartlib bench --model 3B --random-weights" in told and "--quick" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--frames", "0"], "--frames must be 1 or more, not 0"),
        (["--frames", "many"], "argument --frames: invalid int value"),
        (["--frames", "190"], "has room for 144 beside a prompt"),
        (["--songs", "4", "0"], "--songs must be 1 or more, not 0"),
        (["--songs", "4"], "--quantize and --songs need a GPU and Triton"),
        (["--quantize", "int8"], "--quantize and --songs need a GPU and Triton"),
        (["--quantize", "int2"], "invalid choice: 'int2'"),
        (
            ["--only", "codex"],
            "--only 'codex' is no part; here there are 'machine', 'language model'",
        ),
        (["--limit", "0"], "--limit must be above 0, not 0"),
        (["--json", "nowhere/bench.json"], "--json: nowhere/bench.json is in no folder"),
        (["--json", "."], "--json: . is a folder"),
        (["--device", "tpu"], "tpu"),
        (["--version", "9B"], "version '9B' is not in"),
        (["--model", "./nowhere"], "no checkpoint folder at './nowhere'"),
        (["--model", "3B"], "--random-weights measures without a download"),
        (["--model", "3B", "--random-weights", "--version", "3B"], "--version chooses from"),
    ],
)
def test_bad_values_give_one_line(
    arguments: list[str],
    message: str,
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEARTLIB_HOME", str(tmp_path / "home"))
    assert main([*ON_CPU, "--model", str(tiny_checkpoint), *arguments]) in (1, 2)
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("heartlib: error: ") and err.count("\n") == 1, err
    assert message in err


def run(arguments: list[str], file: Path, capsys: pytest.CaptureFixture[str]) -> dict:
    threads = torch.get_num_threads()
    assert main([*ON_CPU, "--quick", "--json", str(file), *arguments]) == 0
    assert torch.get_num_threads() == threads
    lines = capsys.readouterr().out.splitlines()
    assert "| what | figure |" in lines
    printed, read = json.loads(lines[-1]), json.loads(file.read_text())
    assert printed["sections"] == read["sections"] and not read["errors"]
    assert list(read["sections"]) == ["machine", "language model", "codec", "song", "stream"]
    assert read["took_s"].keys() == read["sections"].keys()
    return read


def test_some_parts_only(tiny_checkpoint, tmp_path, capsys):
    file = tmp_path / "bench.json"
    arguments = ["--model", str(tiny_checkpoint), "--only", "mach", "--json", str(file)]
    assert main([*ON_CPU, *arguments]) == 0
    assert list(json.loads(file.read_text())["sections"]) == ["machine"]


@pytest.mark.parametrize("flags", [[], ["--random-weights"]])
def test_a_tiny_model_is_measured(tiny_checkpoint, tmp_path, capsys, flags):
    flags += ["--model", str(tiny_checkpoint), "--frames", "20"]
    read = run(flags, tmp_path / "bench.json", capsys)
    assert read["settings"]["model"].endswith("random weights") == ("--random-weights" in flags)
    assert read["settings"]["frames"] == 20
    assert read["sections"]["language model"]["frames"] == 20


@pytest.mark.slow
def test_nano_is_measured(tmp_path, capsys):
    read = run(["--model", "nano"], tmp_path / "bench.json", capsys)
    assert read["sections"]["song"]["song_s"] == 2
    assert read["sections"]["stream"]["first_audio_s"] > 0
