"""`heartlib extend` from its arguments to its file, and what it refuses in one line."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file

from heartlib import audio
from heartlib.cli import main
from heartlib.heartcodec.codes import Codes, save_codes
from heartlib.heartcodec.models.query_transformer import MelEncoder, MelEncoderConfig

LYRICS, FRAME = "[Verse]\nThe morning light is on the sea", 3840
WORDS = ["--lyrics", LYRICS, "--tags", "pop,female"]
Run = Callable[..., int]


@pytest.fixture(scope="module")
def small(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint with an encoder of random weights."""
    root = tmp_path_factory.mktemp("small") / "ckpt"
    shutil.copytree(tiny_checkpoint, root)
    config = MelEncoderConfig(width=16, num_heads=2, num_layers=1, dim=32)
    torch.manual_seed(4)
    encoder = root / "HeartCodec-oss-encoder"
    encoder.mkdir()
    (encoder / "encoder_config.json").write_text(json.dumps(config.to_dict()))
    save_file(MelEncoder(config).state_dict(), encoder / "encoder.safetensors")
    return root


@pytest.fixture
def extend(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `heartlib extend` with the tiny model in a folder with song.wav, 0.8 s in 16 bits."""
    monkeypatch.chdir(tmp_path)
    soundfile.write("song.wav", sound(10 * FRAME), 48_000)

    def run(*arguments: str) -> int:
        short = ["--length", "1.6", "--steps", "1"] if "--length" not in arguments else []
        return main(["extend", *arguments, "--model", str(small), "--device", "cpu", *short])

    return run


def sound(samples: int) -> np.ndarray:
    """[n, 2]"""
    return 0.3 * np.random.default_rng(0).uniform(-1, 1, (samples, 2))


def test_a_song_goes_on(extend: Run, capsys: pytest.CaptureFixture[str]):
    before = Path("song.wav").read_bytes()
    flags = ["--from", "0.6", "--seed", "3", "--crossfade", "0.04"]
    assert extend("song.wav", *WORDS, *flags, "-o", "a.flac") == 0
    out, err = capsys.readouterr()
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert lines["file"] == "a.flac" and lines["length"].startswith("1.6 s")
    assert lines["kept"] == "0.56 s of song.wav" and lines["seed"] == "3"
    assert "encoding: 0.8 s" in err and "singing: at most 1.6 s" in err and "decoding: 1.6 s" in err
    song, made = audio.read("song.wav")[0], audio.read("a.flac")[0]
    exact = 7 * FRAME - 1920
    assert made.shape == (2, 20 * FRAME) and np.array_equal(made[:, :exact], song[:, :exact])
    assert Path("song.wav").read_bytes() == before
    told = audio.read_tags("a.flac")
    assert told["lyrics"] == LYRICS and told["complete"]
    assert told["extended"] == {
        "file": "song.wav",
        "seconds": 0.56,
        "rate": 48_000,
        "frames": 7,
        "samples": 7 * FRAME,
        "crossfade": 1920,
    }


def test_words_of_the_file_and_codes_of_a_file(extend: Run, small: Path):
    assert extend("song.wav", *WORDS, "--seed", "1", "-o", "a.wav", "-q") == 0
    assert extend("a.wav", "--length", "2.4", "--steps", "1", "--seed", "2", "-o", "b.wav") == 0
    first, second = audio.read("a.wav")[0], audio.read("b.wav")[0]
    assert second.shape == (2, 30 * FRAME) and np.array_equal(
        second[:, : 19 * FRAME], first[:, : 19 * FRAME]
    )
    assert audio.read_tags("b.wav")["lyrics"] == LYRICS
    assert main(["encode", "song.wav", "-o", "song.safetensors", "--model", str(small), "-q"]) == 0
    common = ["song.wav", *WORDS, "--seed", "1", "--codes", "song.safetensors", "-q"]
    assert extend(*common, "-o", "c.wav") == 0
    assert np.array_equal(audio.read("c.wav")[0], first)


def test_text_files(extend: Run):
    Path("words.txt").write_text(LYRICS)
    Path("style.txt").write_text("pop,female")
    assert extend("song.wav", "--lyrics", "words.txt", "--tags", "style.txt", "-o", "a.wav") == 0
    assert audio.read_tags("a.wav")["lyrics"] == LYRICS


def test_another_rate_is_said(extend: Run, capsys: pytest.CaptureFixture[str]):
    soundfile.write("slow.wav", sound(36_000)[:, :1], 44_100)
    assert extend("slow.wav", *WORDS, "-o", "a.flac") == 0
    assert "slow.wav has 44100 Hz: it is resampled to 48000 Hz once" in capsys.readouterr().err
    wave = audio.resample(*audio.read("slow.wav"), 48_000)
    made = audio.read("a.flac")[0]
    np.testing.assert_allclose(made[:, : 9 * FRAME], wave[:, : 9 * FRAME], atol=2**-23)


def test_like_does_not_make_it_again(extend: Run, capsys: pytest.CaptureFixture[str]):
    assert extend("song.wav", *WORDS, "-o", "a.wav", "-q") == 0
    assert main(["generate", "--like", "a.wav", "-o", "b.wav"]) == 2
    assert "goes on from another song" in capsys.readouterr().err


def test_refused_in_one_line(extend: Run, capsys: pytest.CaptureFixture[str]):
    short = torch.zeros(8, 5, dtype=torch.long)
    save_codes("short.safetensors", Codes(short, None, None))
    save_codes("longer.safetensors", Codes(torch.zeros(8, 50, dtype=torch.long), 4.0, None))
    save_codes("other.safetensors", Codes(torch.zeros(8, 10, dtype=torch.long), 0.8, "0" * 12))
    Path("taken.wav").write_bytes(b"mine")
    os.link("song.wav", "same.wav")
    before = sorted(os.listdir())
    for arguments, status, message in (
        ([*WORDS, "--from", "0.9"], 2, "cannot go on from 0.9 s: the song has 0.80 s"),
        ([*WORDS, "--from", "0"], 2, "cannot go on from 0 s"),
        ([*WORDS, "--length", "0.8"], 2, "the part that is kept has 10 frames (0.8 s)"),
        ([*WORDS, "--length", "90"], 2, "tiny has 192: ask for at most"),
        ([*WORDS, "--crossfade", "1"], 2, "the cross-fade must be 0 to 0.8 s"),
        ([*WORDS, "--crossfade", "nan"], 2, "--crossfade must be finite"),
        ([*WORDS, "--codes", "short.safetensors"], 2, "the codes have 5 frames, 10 are to be kept"),
        (
            [*WORDS, "--codes", "longer.safetensors"],
            2,
            "has the codes of 4.00 s, song.wav has 0.80",
        ),
        ([*WORDS, "--codes", "other.safetensors"], 1, "was encoded with codec 000000000000"),
        ([*WORDS, "--codes", "no.safetensors"], 2, "there is no file of codes"),
        ([], 2, "heartlib did not write it; give --lyrics and --tags"),
        (["--tags", "pop"], 2, "heartlib did not write it; give --lyrics"),
        (["--lyrics", "no.txt", "--tags", "pop"], 2, "there is no file no.txt"),
        ([*WORDS, "--tags", "polka"], 2, "tag 'polka' is not known"),
        ([*WORDS, "-o", "song.wav", "--overwrite"], 2, "song.wav is the song itself"),
        ([*WORDS, "-o", "same.wav", "--overwrite"], 2, "same.wav is the song itself"),
        ([*WORDS, "-o", "taken.wav"], 2, "taken.wav exists already"),
    ):
        output = [] if "-o" in arguments else ["-o", "out.wav"]
        assert extend("song.wav", *arguments, *output, "-q") == status
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and message in err, (arguments, err)
    assert extend("no.wav", *WORDS, "-o", "out.wav") == 2
    assert "there is no sound file no.wav" in capsys.readouterr().err
    assert sorted(os.listdir()) == before


def test_nano_sings_on_from_its_own_song(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    words = ["--lyrics", "[Verse]\nthe river sings a song to me", "--tags", "folk,male,guitar"]
    assert main(["generate", *words, "--seed", "7", "--length", "2.4", "-o", "a.wav", "-q"]) == 0
    flags = ["--from", "1.7", "--length", "3.2", "--seed", "1", "--steps", "2"]
    assert main(["extend", "a.wav", *flags, "-o", "b.wav"]) == 0, capsys.readouterr().err
    first, second = audio.read("a.wav")[0], audio.read("b.wav")[0]
    assert second.shape == (2, 40 * FRAME)
    assert np.array_equal(second[:, : 20 * FRAME], first[:, : 20 * FRAME])
    assert not np.array_equal(second[:, 21 * FRAME : 30 * FRAME], first[:, 21 * FRAME : 30 * FRAME])
    assert np.sqrt(np.mean(second[:, 21 * FRAME :] ** 2)) > 0.01
    assert main(["extend", "a.wav", "--length", "200", "-o", "c.wav"]) == 2
    assert "HeartMuLa-nano has 2048: ask for at most" in capsys.readouterr().err
