"""Bad input: one clear line, the right status, nothing on the disk."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from heartlib.cli import main

LYRICS = "[Verse]\nThe morning light is on the sea\n"
WORDS = ["--lyrics", LYRICS]
STYLE = ["--tags", "pop"]
Check = Callable[..., None]


@pytest.fixture
def check(
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Check:
    """Runs `heartlib generate` in an empty folder and checks status, message and that nothing is left."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def run(arguments: list[str], status: int, *messages: str, model: Path | str = tiny_checkpoint):
        before = sorted(os.listdir(folder))
        arguments = ["generate", "--model", str(model), *arguments]
        arguments += ["-o", "song.mp3"] if "-o" not in arguments else []
        assert main(arguments) == status
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("heartlib: error: ") and err.count("\n") == 1, err
        for message in messages:
            assert message in err
        assert sorted(os.listdir(folder)) == before

    return run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*STYLE], "give --lyrics TEXT or --lyrics-file FILE"),
        ([*WORDS], "give --tags TEXT or --tags-file FILE"),
        (["--lyrics-file", "no.txt", *STYLE], "--lyrics-file: there is no file no.txt"),
        (["--lyrics", "folder/no.txt", *STYLE], "for the file folder/no.txt use --lyrics-file"),
        ([*WORDS, "--tags-file", "no.txt"], "--tags-file: there is no file no.txt"),
        (["--lyrics", "", *STYLE], "the lyrics are empty"),
        ([*WORDS, "--tags", " , "], "the tags are empty"),
        (["--lyrics", LYRICS * 300, *STYLE], "192 positions"),
        (
            [*WORDS, "--tags", "pop,femal"],
            "tag 'femal' is not known to this model; did you mean female",
        ),
        ([*WORDS, *STYLE, "--version", "9B"], "version '9B' is not in"),
        (
            [*WORDS, *STYLE, "--cfg-scale", "0.5"],
            "cfg_scale must be 1 (no guidance) or more, not 0.5",
        ),
        ([*WORDS, *STYLE, "--cfg-scale", "inf"], "cfg_scale must be finite"),
        ([*WORDS, *STYLE, "--cfg-scale", "nan"], "cfg_scale must be finite"),
        ([*WORDS, *STYLE, "--topk", "0"], "topk must be 1 or more, not 0"),
        ([*WORDS, *STYLE, "--topk", "few"], "argument --topk: invalid int value: 'few'"),
        ([*WORDS, *STYLE, "--temperature", "0"], "temperature must be above 0"),
        ([*WORDS, *STYLE, "--temperature", "-1"], "temperature must be above 0"),
        ([*WORDS, *STYLE, "--length", "0"], "at least one frame of 80 ms"),
        ([*WORDS, *STYLE, "--length", "-5"], "at least one frame of 80 ms"),
        ([*WORDS, *STYLE, "--length", "nan"], "--length must be seconds or auto"),
        ([*WORDS, *STYLE, "--length", "inf"], "--length must be finite"),
        ([*WORDS, *STYLE, "--length", "200"], "HeartMuLa-tiny has 192: ask for at most"),
        ([*WORDS, *STYLE, "--seed", "-1"], "seed must be 0 or more"),
        ([*WORDS, *STYLE, "--best-of", "1"], "best-of takes 2 to 16 takes, not 1"),
        ([*WORDS, *STYLE, "--best-of", "0"], "best-of takes 2 to 16 takes, not 0"),
        ([*WORDS, *STYLE, "--best-of", "99"], "best-of takes 2 to 16 takes, not 99"),
        ([*WORDS, *STYLE, "--best-of", "many"], "argument --best-of: invalid int value: 'many'"),
        ([*WORDS, *STYLE, "--best-of", "2", "--seed", str(2**63 - 1)], "must be below 2**63"),
        ([*WORDS, *STYLE, "--best-of", "2", "--language", "xx"], "knows en, es, ja, ko, zh"),
        ([*WORDS, *STYLE, "--keep-takes"], "--keep-takes is for several takes: give --best-of"),
        ([*WORDS, *STYLE, "--language", "en"], "--language is for songs that are listened to"),
        ([*WORDS, *STYLE, "-o", "song.m4a"], "use one of wav, flac, mp3, ogg"),
        ([*WORDS, *STYLE, "-o", "song"], "use one of wav, flac, mp3, ogg"),
        ([*WORDS, *STYLE, "-o", "no/song.mp3"], "there is no folder"),
        ([*WORDS, *STYLE, "--dtype", "int8"], "dtype 'int8' is not known; use one of float32"),
        ([*WORDS, *STYLE, "--device", "toaster"], "'toaster' is not a device"),
        ([*WORDS, *STYLE, "--loud"], "unrecognized arguments: --loud"),
        (["--like", "no.mp3"], "there is no sound file no.mp3"),
    ],
)
def test_usage(check: Check, arguments: list[str], message: str):
    check(arguments, 2, message)


def test_an_existing_output_is_kept(check: Check):
    Path("song.mp3").write_bytes(b"mine")
    check([*WORDS, *STYLE], 2, "song.mp3 exists already", "--overwrite")
    assert Path("song.mp3").read_bytes() == b"mine"


@pytest.mark.skipif(sys.platform != "linux", reason="a folder that refuses even its owner")
def test_an_output_that_cannot_be_written(check: Check):
    check([*WORDS, *STYLE, "-o", "/proc/song.mp3"], 1, "/proc/song.mp3 cannot be written")


def test_a_device_that_does_not_exist(check: Check):
    check([*WORDS, *STYLE, "--device", "cuda:77"], 1, "'cuda:77' does not exist on this machine")
    check([*WORDS, *STYLE, "--codec-device", "cuda:77"], 1, "it has cpu")


def test_quantization(check: Check):
    check(
        [*WORDS, *STYLE, "--device", "cpu", "--quantize", "int8"], 1, "needs an NVIDIA or AMD GPU"
    )
    check([*WORDS, *STYLE, "--quantize", "int2"], 2, "'int2' is not known; use one of int8, fp8")


def test_like_of_a_file_that_heartlib_did_not_write(check: Check):
    Path("a.mp3").write_bytes(b"not sound")
    check(["--like", "a.mp3"], 1, "a.mp3")


def test_missing_checkpoints(check: Check, tiny_checkpoint: Path, tmp_path: Path):
    check([*WORDS, *STYLE], 1, "no checkpoint folder", "heartlib download", model="./nowhere")
    check([*WORDS, *STYLE], 1, "is not downloaded yet", model="HeartMuLa/HeartMuLa-oss-3B")
    root = copy(tiny_checkpoint, tmp_path / "part")
    (root / "tokenizer.json").unlink()
    check([*WORDS, *STYLE], 1, "tokenizer.json is missing", model=root)


def copy(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


@pytest.mark.parametrize("part", ["HeartMuLa-oss-tiny", "HeartCodec-oss"])
def test_truncated_weights(check: Check, tiny_checkpoint: Path, tmp_path: Path, part: str):
    root = copy(tiny_checkpoint, tmp_path / "cut")
    weights = root / part / "model.safetensors"
    size = weights.stat().st_size
    os.truncate(weights, size - 100)
    check([*WORDS, *STYLE, "--length", "0.4"], 1, str(weights), "cut short at tensor", model=root)
    os.truncate(weights, 20)
    check([*WORDS, *STYLE, "--length", "0.4"], 1, str(weights), "damaged", model=root)


def test_weights_of_another_shape(check: Check, tiny_checkpoint: Path, tmp_path: Path):
    root = copy(tiny_checkpoint, tmp_path / "shape")
    path = root / "HeartMuLa-oss-tiny" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"muq_dim": 17}))
    check([*WORDS, *STYLE], 1, "tensor 'muq_linear.weight' has shape", model=root)
    path.write_text("{")
    check([*WORDS, *STYLE], 1, "config.json is not valid JSON", model=root)


def test_too_little_memory(check: Check, tiny_checkpoint: Path, tmp_path: Path):
    root = copy(tiny_checkpoint, tmp_path / "large")
    numbers = 10**12  # a file of 4 TB that takes no room on the disk
    header = {"x": {"dtype": "F32", "shape": [numbers], "data_offsets": [0, 4 * numbers]}}
    text = json.dumps(header).encode()
    with open(root / "HeartMuLa-oss-tiny" / "model.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + 4 * numbers)
    messages = ("too little memory on cpu: HeartMuLa-tiny takes 2000", "in bfloat16")
    check([*WORDS, *STYLE, "--device", "cpu", "--mula-dtype", "bf16"], 1, *messages, model=root)


def test_nothing_to_sing(check: Check, tiny_checkpoint: Path, tmp_path: Path):
    root = copy(tiny_checkpoint, tmp_path / "ends")
    ids = json.loads((root / "gen_config.json").read_text()) | {"audio_eos_id": 1}
    (root / "gen_config.json").write_text(json.dumps(ids))
    assert_ends = [*WORDS, *STYLE, "-q"]
    check(assert_ends, 1, "nothing to sing", model=root)


def test_commands(capsys: pytest.CaptureFixture[str]):
    assert main(["sing"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("heartlib: error: ") and "invalid choice: 'sing'" in err
    assert main(["download", "9B"]) == 2
    assert "version '9B' is not published; choose from 3B" in capsys.readouterr().err
    assert main([]) == 0
    assert "generate" in capsys.readouterr().out


def test_a_hub_that_cannot_be_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    code = "import sys; from heartlib.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "download", "3B", "--out", str(tmp_path / "ckpt")],
        env=os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("heartlib: error: could not download HeartMuLa/HeartMuLaGen")
    assert "Traceback" not in done.stderr


def test_debug_shows_the_stack_trace(capsys: pytest.CaptureFixture[str]):
    arguments = ["generate", *STYLE, "--lyrics-file", "no.txt"]
    assert main(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err
    for debug in ([*arguments, "--debug"], ["--debug", *arguments]):
        assert main(debug) == 2
        err = capsys.readouterr().err
        assert "Traceback" in err and "heartlib: error: --lyrics-file" in err
