"""`heartlib train`: one line for what is wrong, help for every model, and a run from end to end."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from heartlib.cli import main
from heartlib.training.command import MODELS
from heartlib.training.tokenizer import train_tokenizer

SMALL = [
    "--layers",
    "1",
    "--heads",
    "2",
    "--kv-heads",
    "1",
    "--width",
    "16",
    "--feed-forward",
    "32",
]
SMALL += ["--depth-layers", "1", "--depth-heads", "2", "--depth-kv-heads", "1"]
SMALL += ["--depth-width", "16", "--depth-feed-forward", "32", "--codebook-size", "16"]
SMALL += ["--steps", "2", "--pointer-weight", "0", "--batch-positions", "256", "--positions", "128"]


@pytest.fixture
def codes(tmp_path: Path) -> Path:
    """A Codes folder of four songs and a tokenizer."""
    folder, rng = tmp_path / "codes", np.random.default_rng(0)
    folder.mkdir()
    save_file(
        {"codes": rng.integers(0, 16, (8, 40)).astype(np.int16)}, folder / "codes.safetensors"
    )
    song = {"tags": "pop", "lyrics": "la", "frames": 10}
    lines = [json.dumps(song | {"id": f"s{i}", "offset": 10 * i}) + "\n" for i in range(4)]
    (folder / "songs.jsonl").write_text("".join(lines))
    train_tokenizer(["la pop"] * 3).save(str(tmp_path / "tokenizer.json"))
    return folder


def given(codes: Path) -> list[str]:
    root = codes.parent
    return [
        *("--data", str(codes), "--tokenizer", str(root / "tokenizer.json")),
        *("--out", str(root / "run"), "--device", "cpu", *SMALL),
    ]


def test_a_run_from_the_command_line_goes_on(codes: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["train", "lm", *given(codes), "--lot-steps", "1"]) == 0
    assert main(["train", "lm", *given(codes)]) == 0
    lines = [json.loads(x) for x in (codes.parent / "run/log.jsonl").read_text().splitlines()]
    assert [line["begins_at"] for line in lines if "begins_at" in line] == [0, 1]
    assert (codes.parent / "run/HeartMuLa-oss-nano/model.safetensors").is_file()
    capsys.readouterr()
    assert main(["train", "lm", *given(codes), "--dropout", "0.3"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "other settings: dropout 0.1, now 0.3" in error


def test_the_module_is_the_same_command(codes: Path):
    command = [sys.executable, "-m", "heartlib.training.lm", *given(codes)]
    done = subprocess.run([*command, "--layers", "none"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("heartlib: error: argument --layers: must be a whole number")


@pytest.mark.parametrize("model", MODELS)
def test_help_of_every_model(model: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as done:
        main(["train", model, "--help"])
    assert done.value.code == 0
    text = capsys.readouterr().out
    assert f"heartlib train {model} " in text and "--config NAME" in text and "--peak-lr" in text


def test_help_lists_the_models(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = capsys.readouterr().out
    assert all(f"  {model} " in text for model in MODELS) and "accelerate launch" in text


WORDS = ["--tokenizer", "tokenizer.json", "--out", "run"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "the following arguments are required: MODEL"),
        (["train", "voice"], "invalid choice: 'voice'"),
        (["train", "lm", "--out", "run"], "required: --data, --tokenizer"),
        (["train", "codec", "--data", "none", "--out", "run"], "no audio"),
        (["train", "codebooks", "--data", "none", "--out", "run"], "none is not a corpus folder"),
        (["train", "flow", "--data", "none", "--rvq", "r", "--out", "run"], "give --sq"),
        (
            ["train", "lm", "--data", "none", "--tokenizer", "no.json", "--out", "run"],
            "there is no tokenizer no.json",
        ),
        (["train", "clap", "--data", "none", *WORDS], "none is not a corpus folder"),
        (["train", "transcriptor", "--data", "none", *WORDS], "none is not a corpus folder"),
        (["train", "codec", "--data", "x", "--out", "run", "--device", "tpu9"], "--device tpu9"),
    ],
)
def test_bad_input_is_one_line(
    codes: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
):
    monkeypatch.chdir(codes.parent)
    assert main(arguments) in (1, 2)
    error = capsys.readouterr().err
    assert error.startswith("heartlib: error: ") and error.count("\n") == 1, error
    assert message in error
    assert not Path("run").exists()
