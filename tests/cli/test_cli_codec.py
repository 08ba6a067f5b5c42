"""Sound to codes and back on the command line, and what is refused in one line."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file

from heartlib import audio
from heartlib.cli import main
from heartlib.heartcodec.codes import Codes, read_codes, save_codes
from heartlib.heartcodec.models.query_transformer import MelEncoder, MelEncoderConfig

EXAMPLE = Path(__file__).parents[2] / "examples" / "run_music_reconstruction.py"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def small(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small codec of random weights, so that a window takes no time."""
    root = tmp_path_factory.mktemp("small")
    shutil.copytree(tiny_checkpoint / "HeartCodec-oss", root / "HeartCodec-oss")
    config = MelEncoderConfig(width=16, num_heads=2, num_layers=1, dim=32)
    torch.manual_seed(4)
    encoder = root / "HeartCodec-oss-encoder"
    encoder.mkdir()
    (encoder / "encoder_config.json").write_text(json.dumps(config.to_dict()))
    save_file(MelEncoder(config).state_dict(), encoder / "encoder.safetensors")
    return root


def tone(rate: int, seconds: float, channels: int = 2) -> np.ndarray:
    """[n, channels]"""
    time = np.arange(round(rate * seconds)) / rate
    return np.stack([0.4 * np.sin(2 * np.pi * 220 * (k + 1) * time) for k in range(channels)], 1)


def test_encode_then_decode_is_reconstruct(small: Path, capsys: pytest.CaptureFixture[str]):
    model = ["--model", str(small)]
    soundfile.write("song.wav", tone(44_100, 0.9), 44_100)
    assert main(["encode", "song.wav", "-o", "song.safetensors", *model]) == 0
    out, err = capsys.readouterr()
    assert "length  0.9 s, 12 frames of 8 codes" in out and "encoding: 1.0 s of song" in err
    codes = load_file("song.safetensors")["codes"]
    assert codes.shape == (8, 12) and codes.dtype == torch.int16
    flags = ["--steps", "1", "--seed", "3", *model]
    assert main(["decode", "song.safetensors", "-o", "a.flac", *flags]) == 0
    assert main(["reconstruct", "song.wav", "-o", "b.flac", "-q", *flags]) == 0
    (first, rate), (second, _) = audio.read("a.flac"), audio.read("b.flac")
    assert rate == 48_000 and first.shape == (2, 43_200)
    assert np.array_equal(first, second)
    assert not any(name.startswith(".") for name in os.listdir())


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (192_000, 2)])
def test_rates_and_mono(rate: int, channels: int):
    soundfile.write("a.wav", tone(rate, 0.5, channels), rate)
    assert main(["encode", "a.wav", "-o", "a.safetensors", "-q"]) == 0
    codes = read_codes("a.safetensors")
    assert codes.values.shape == (8, 7) and codes.seconds == 0.5


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    def run(arguments: list[str], status: int, message: str):
        before = sorted(os.listdir())
        assert main([*arguments, "-q"]) == status
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("heartlib: error: ") and err.count("\n") == 1, err
        assert message in err
        assert sorted(os.listdir()) == before

    return run


def test_sounds_that_are_none(refused: Callable[..., None]):
    Path("text.wav").write_text("no sound")
    Path("folder.wav").mkdir()
    soundfile.write("six.wav", tone(8_000, 0.1, 6), 8_000)
    soundfile.write("empty.wav", tone(8_000, 0), 8_000)
    soundfile.write("nan.wav", np.full((99, 2), np.nan), 8_000, subtype="FLOAT")
    for name, status, message in (
        ("no.wav", 2, "there is no sound file no.wav"),
        ("folder.wav", 2, "folder.wav is a folder"),
        ("text.wav", 1, "text.wav cannot be read as sound"),
        ("six.wav", 1, "six.wav has 6 channels; mix it to one or two first"),
        ("empty.wav", 1, "empty.wav: the sound is empty"),
        ("nan.wav", 1, "nan.wav: the sound holds values that are not finite"),
    ):
        refused(["encode", name, "-o", "a.safetensors"], status, message)
        refused(["reconstruct", name, "-o", "a.wav"], status, message)


def test_outputs_and_flags(refused: Callable[..., None]):
    soundfile.write("a.wav", tone(8_000, 0.1), 8_000)
    Path("a.safetensors").write_bytes(b"mine")
    refused(["encode", "a.wav"], 2, "required: -o/--output")
    refused(["encode", "a.wav", "-o", "a.txt"], 2, "ends in .safetensors")
    refused(["encode", "a.wav", "-o", "a.safetensors"], 2, "exists already")
    refused(["encode", "a.wav", "-o", "no/a.safetensors"], 2, "there is no folder")
    refused(["reconstruct", "a.wav", "-o", "a.wav"], 2, "exists already")
    refused(["reconstruct", "a.wav", "-o", "b.wav", "--seed", "-1"], 2, "--seed must be 0 or more")
    refused(["reconstruct", "a.wav", "-o", "b.wav", "--steps", "0"], 2, "num_steps 0 is too small")
    refused(["encode", "a.wav", "-o", "b.safetensors", "--device", "toaster"], 2, "not a device")
    refused(
        ["encode", "a.wav", "-o", "b.safetensors", "--model", "no"],
        1,
        "no checkpoint folder at 'no'",
    )
    assert main(["encode", "a.wav", "-o", "a.safetensors", "--overwrite", "-q"]) == 0
    assert read_codes("a.safetensors").values.shape == (8, 2)


def test_a_model_without_an_encoder(refused: Callable[..., None], tiny_checkpoint: Path):
    soundfile.write("a.wav", tone(8_000, 0.1), 8_000)
    model = ["--model", str(tiny_checkpoint)]
    refused(["encode", "a.wav", "-o", "a.safetensors", *model], 1, "heartlib download 3B --encoder")


def test_codes_that_are_none(refused: Callable[..., None], small: Path):
    good = torch.zeros(8, 3, dtype=torch.long)
    save_codes("other.safetensors", Codes(good, 0.24, "0123456789ab"))
    save_codes("seven.safetensors", Codes(good[:7]))
    save_codes("high.safetensors", Codes(good + 8192))
    save_codes("empty.safetensors", Codes(good[:, :0]))
    save_file({"codes": good.float()}, "float.safetensors")
    save_file({"codes": good}, "long.safetensors", {"seconds": "nan"})
    save_file({"x": good}, "x.safetensors")
    Path("text.safetensors").write_text("no codes")
    for name, status, message in (
        ("no", 2, "there is no file of codes"),
        ("text", 1, "text.safetensors is damaged"),
        ("x", 1, "holds no tensor 'codes'"),
        ("float", 1, "codes are torch.float32 [8, 3], not integers"),
        ("long", 1, "length of 'nan' seconds is damaged"),
        ("other", 1, "was encoded with codec 0123456789ab, "),
        ("seven", 2, "give [8, T]"),
        ("empty", 2, "T ≥ 1"),
        ("high", 2, "this codec knows 0…31"),
    ):
        command = ["decode", f"{name}.safetensors", "-o", "a.wav", "--model", str(small)]
        refused(command, status, message)
    refused(["decode", ".", "-o", "a.wav"], 2, "is a folder; give a file of codes")
    model = ["--model", str(small), "--steps", "1", "-q"]
    save_codes("low.safetensors", Codes(good))
    assert main(["decode", "low.safetensors", "-o", "low.wav", *model]) == 0
    assert audio.read("low.wav")[0].shape == (2, 3 * 3840)


def test_the_published_script(small: Path):
    soundfile.write("a.wav", tone(24_000, 0.3), 24_000)
    arguments = ["--input_path", "a.wav", "--save_path", "b.wav"]
    arguments += ["--decoder_path", str(small / "HeartCodec-oss")]
    arguments += ["--encoder_path", str(small / "HeartCodec-oss-encoder")]
    command = [sys.executable, str(EXAMPLE), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "b.wav: 0.3 s, 4 frames" in done.stdout
    assert audio.read("b.wav")[0].shape == (2, 14_400)
