"""`heartlib generate --best-of N`: the files, the table, and what Ctrl-C keeps."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jiwer")
pytest.importorskip("transformers")

from heartlib import audio
from heartlib.cli import main

LYRICS = "[Verse]\nThe morning light is on the sea\n"
WORDS = ["--lyrics", LYRICS, "--tags", "pop,female"]


@pytest.fixture
def tiny(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command with the tiny model and a short song, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    model = ["--model", str(tiny_checkpoint), "--device", "cpu"]
    return ["generate", *model, "--length", "0.8", "--steps", "1"]


@pytest.mark.slow
def test_nano_sings_and_keeps_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    flags = ["--device", "cpu", "--length", "2", "--steps", "1", "--seed", "7"]
    flags += ["--best-of", "2", "--keep-takes", "-o", "a.flac"]
    assert main(["generate", *WORDS, *flags]) == 0
    out, err = capsys.readouterr()
    rows = [line.split() for line in out.splitlines()[1:3]]
    assert [row[0] for row in rows] == ["7", "8"] and sorted(row[3] for row in rows) == ["1", "2"]
    kept = next(row[0] for row in rows if row[-1] == "kept")
    assert f"seed    {kept}" in out and "lyrics error: " in out
    assert "take 2 of 2, listening: 2.0 s of song" in err
    assert sorted(os.listdir()) == ["a-7.flac", "a-8.flac", "a.flac"]
    assert np.array_equal(audio.read("a.flac")[0], audio.read(f"a-{kept}.flac")[0])
    tags = audio.read_tags("a.flac")
    assert tags["seed"] == int(kept) and tags["settings"]["seed"] == int(kept)
    takes = tags["scores"]["takes"]
    assert [take["seed"] for take in takes] == [7, 8]
    best = min(takes, key=lambda take: take["score"])
    assert best["seed"] == int(kept) and best["rank"] == 1
    assert tags["scores"]["score"] == best["score"]
    for take in takes:
        assert audio.read_tags(f"a-{take['seed']}.flac")["scores"]["score"] == take["score"]


def test_takes_are_not_kept_unless_asked(tiny: list[str], capsys: pytest.CaptureFixture[str]):
    words = ["--lyrics", "[Instrumental]", "--tags", "pop"]
    assert main([*tiny, *words, "--best-of", "2", "-o", "a.wav"]) == 0
    assert "ranked by tags alone: the song has no words" in capsys.readouterr().out
    assert os.listdir() == ["a.wav"]
    assert main(["generate", "--like", "a.wav", *tiny[1:5], "-o", "b.wav"]) == 0
    assert np.array_equal(audio.read("a.wav")[0], audio.read("b.wav")[0])


def test_a_take_that_exists_is_not_replaced(tiny: list[str], capsys: pytest.CaptureFixture[str]):
    Path("a-8.wav").write_bytes(b"mine")
    flags = ["--seed", "7", "--best-of", "2", "--keep-takes", "-o", "a.wav"]
    assert main([*tiny, *WORDS, *flags]) == 2
    assert "a-8.wav exists already" in capsys.readouterr().err
    assert os.listdir() == ["a-8.wav"] and Path("a-8.wav").read_bytes() == b"mine"


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_keeps_the_best_of_the_finished_takes(tiny_checkpoint: Path, tmp_path: Path):
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", "import sys; from heartlib.cli import main; sys.exit(main())"),
            *("generate", "--model", str(tiny_checkpoint), "--device", "cpu", "--steps", "1"),
            *("--lyrics", "[Instrumental]", "--tags", "pop", "-o", "a.wav"),
            *("--best-of", "16", "--seed", "3"),
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    seen, deadline = b"", time.monotonic() + 120
    while b"take 2 of 16, singing" not in seen:
        assert time.monotonic() < deadline and process.poll() is None, seen
        seen += process.stderr.read1()  # type: ignore[attr-defined]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    told = re.search(rb"stopped; the best of (\d+) of 16 takes is in a.wav", err)
    assert told and b"Traceback" not in err
    assert os.listdir(tmp_path) == ["a.wav"]
    tags = audio.read_tags(tmp_path / "a.wav")
    takes = tags["scores"]["takes"]
    assert len(takes) == int(told[1]) < 16 and tags["complete"]
    assert tags["seed"] == next(take["seed"] for take in takes if take["rank"] == 1)
    assert b"kept" in out
