"""`heartlib generate` from its arguments to its file."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from heartlib import audio
from heartlib.cli import main

LYRICS = "[Verse]\nThe morning light is on the sea\n"
Run = Callable[..., int]


@pytest.fixture
def generate(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `heartlib generate` in an empty folder with the tiny model and a short song."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, short: bool = True) -> int:
        common = ["generate", "--model", str(tiny_checkpoint), "--device", "cpu"]
        return main([*common, *(["--length", "0.8", "--steps", "1"] if short else []), *arguments])

    return run


def test_a_song_and_its_report(generate: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert generate("--lyrics", LYRICS, "--tags", "pop,female", "--seed", "3", "-o", "a.mp3") == 0
    out, err = capsys.readouterr()
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert list(lines) == ["file", "length", "seed", "speed", "memory"]
    assert lines["file"] == "a.mp3" and lines["seed"] == "3"
    assert lines["length"].startswith("0.8 s")
    assert "x real time" in lines["speed"] and "GB" in lines["memory"]
    assert err.splitlines() == ["singing: at most 0.8 s of song", "decoding: 0.8 s of song"]
    assert os.listdir(tmp_path) == ["a.mp3"]
    tags = audio.read_tags("a.mp3")
    assert tags["lyrics"] == LYRICS.strip() and tags["tags"] == "pop,female" and tags["seed"] == 3
    assert tags["model"]["name"] == "HeartMuLa-tiny" and len(tags["model"]["hash"]) == 12
    assert tags["settings"]["num_steps"] == 1


def test_text_from_files_quietly(generate: Run, capsys: pytest.CaptureFixture[str]):
    Path("words.txt").write_text(LYRICS)
    Path("style.txt").write_text("pop,female\n")
    assert generate("--lyrics-file", "words.txt", "--tags-file", "style.txt", "-q") == 0
    assert capsys.readouterr() == ("", "")
    assert audio.read_tags("song.mp3")["lyrics"] == LYRICS.strip()


def test_like_makes_the_same_song_again(generate: Run, capsys: pytest.CaptureFixture[str]):
    flags = ["--temperature", "0.9", "--topk", "20", "--cfg-scale", "2", "--guidance", "1.5"]
    assert generate("--lyrics", LYRICS, "--tags", "pop", *flags, "-o", "a.flac") == 0
    assert generate("--like", "a.flac", "-o", "b.flac", short=False) == 0
    first, again = audio.read("a.flac")[0], audio.read("b.flac")[0]
    assert np.array_equal(first, again)
    assert audio.read_tags("a.flac") == audio.read_tags("b.flac")

    assert generate("--like", "a.flac", "--seed", "1", "-o", "c.flac", short=False) == 0
    assert not np.array_equal(first, audio.read("c.flac")[0])
    other, same = audio.read_tags("c.flac")["settings"], audio.read_tags("a.flac")["settings"]
    assert other == same | {"seed": 1}


def test_like_needs_the_same_weights(
    generate: Run, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert generate("--lyrics", LYRICS, "--tags", "pop", "-o", "a.flac") == 0
    tags = audio.read_tags("a.flac")
    wave, rate = audio.read("a.flac")
    audio.write("b.flac", wave, rate, tags=tags | {"model": {"name": "x", "hash": "0" * 12}})
    capsys.readouterr()
    assert generate("--like", "b.flac", "-o", "c.flac") == 1
    assert "other weights cannot sing the same song" in capsys.readouterr().err
    assert main(["generate", "--like", "a.flac", "-o", "c.flac"]) == 2
    assert "say where that is with --model FOLDER" in capsys.readouterr().err
    assert not Path("c.flac").exists()


def test_overwrite(generate: Run):
    Path("a.wav").write_bytes(b"mine")
    assert generate("--lyrics", LYRICS, "--tags", "pop", "-o", "a.wav") == 2
    assert Path("a.wav").read_bytes() == b"mine"
    assert generate("--lyrics", LYRICS, "--tags", "pop", "-o", "a.wav", "--overwrite") == 0
    assert audio.read("a.wav")[0].shape == (2, 10 * 3840)


def start(tiny_checkpoint: Path, folder: Path) -> subprocess.Popen[bytes]:
    """A `heartlib generate` of its own process, once it sings."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", "import sys; from heartlib.cli import main; sys.exit(main())"),
            *("generate", "--model", str(tiny_checkpoint), "--device", "cpu", "--steps", "1"),
            *("--lyrics", LYRICS, "--tags", "pop", "-o", "a.wav"),
        ],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    seen = b""
    deadline = time.monotonic() + 60
    while b"singing" not in seen:  # told with the first frame
        assert time.monotonic() < deadline and process.poll() is None, seen
        seen += process.stderr.read1()  # type: ignore[attr-defined]
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_the_first_ctrl_c_saves_what_was_sung(tiny_checkpoint: Path, tmp_path: Path):
    process = start(tiny_checkpoint, tmp_path)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert b"what was sung so far is in a.wav" in err and b"Traceback" not in err
    assert b"length" in out
    wave, _ = audio.read(tmp_path / "a.wav")
    assert wave.shape[1] % 3840 == 0 and 0 < wave.shape[1] // 3840 < 150
    assert audio.read_tags(tmp_path / "a.wav")["complete"] is False


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_the_second_ctrl_c_quits_and_leaves_nothing(tiny_checkpoint: Path, tmp_path: Path):
    process = start(tiny_checkpoint, tmp_path)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    seen = b""
    while b"stopping" not in seen:
        seen += process.stderr.read1()  # type: ignore[attr-defined]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert b"stopped; nothing was written" in err and b"Traceback" not in err
    assert os.listdir(tmp_path) == []
