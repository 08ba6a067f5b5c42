"""`heartlib generate --repair`: the flags, the table, the file, and singing it again."""

import argparse
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jiwer")
pytest.importorskip("transformers")

from heartlib import audio
from heartlib.cli import main
from heartlib.cli.progress import Interrupt, Progress
from heartlib.cli.repairs import splices_of
from heartlib.pipelines.settings import GenerationSettings

LYRICS = "[Verse]\nThe morning light is on the sea\n"
WORDS = ["--lyrics", LYRICS, "--tags", "pop,female"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--repair", "0"], "repair takes 1 to 32 tries, not 0"),
        (["--repair", "--repair-above", "1.5"], "0 to 1, not 1.5"),
        (["--repair-above", "0.5"], "give --repair too"),
        (["--repair", "--best-of", "2"], "generate --like FILE --repair"),
        (["--repair", "--seed", str(2**63 - 2)], "too high"),
    ],
)
def test_flags_that_do_not_go_are_one_line(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["generate", *WORDS, *flags]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


@pytest.mark.slow
def test_nano_repairs_and_the_file_sings_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    flags = ["--device", "cpu", "--length", "2", "--steps", "1", "--seed", "7"]
    flags += ["--repair", "1", "--repair-above", "0", "-o", "a.flac"]
    assert main(["generate", *WORDS, *flags]) == 0
    out, err = capsys.readouterr()
    assert "in the first take" in out and "try 1 of 1" in err and "seed    7" in out
    tags = audio.read_tags("a.flac")
    assert tags["repaired"]["tried"] == 1 and tags["repaired"]["tries"] == 1
    assert tags["scores"]["lyrics_error"] <= tags["repaired"]["first_error"]
    assert main(["generate", "--like", "a.flac", "--device", "cpu", "-o", "b.flac"]) == 0
    assert np.array_equal(audio.read("a.flac")[0], audio.read("b.flac")[0])
    assert audio.read_tags("b.flac")["repaired"] == tags["repaired"]


def test_another_song_than_the_repaired_one_is_told(capsys: pytest.CaptureFixture[str]):
    settings = GenerationSettings(seed=7, max_audio_length_ms=2000)
    like = {"lyrics": LYRICS, "tags": "pop", "settings": asdict(settings), "repaired": {"tries": 1}}
    args = argparse.Namespace(like="a.flac", best_of=None, repair=None)
    assert splices_of(args, like, LYRICS, "pop", settings) == {"tries": 1}
    assert not capsys.readouterr().err
    assert splices_of(args, like, LYRICS, "pop", replace(settings, seed=8)) is None
    assert "a.flac was repaired; this is another song" in capsys.readouterr().err
    assert splices_of(args, like, LYRICS, "rock", settings) is None
    args.repair = 4
    assert splices_of(args, like, LYRICS, "pop", settings) is None


def test_ctrl_c_in_a_try_keeps_the_best_so_far(
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    stop: list[Interrupt] = []
    enter, told = Interrupt.__enter__, Progress.__call__

    def entered(self: Interrupt) -> Interrupt:
        stop.append(self)
        return enter(self)

    def called(self: Progress, stage: str, done: float, total: float) -> None:
        told(self, stage, done, total)
        if "singing again" in stage:
            stop[0].cancel.set()

    monkeypatch.setattr(Interrupt, "__enter__", entered)
    monkeypatch.setattr(Progress, "__call__", called)
    model = ["--model", str(tiny_checkpoint), "--device", "cpu", "--length", "0.8", "--steps", "1"]
    assert main(["generate", *model, *WORDS, "--repair", "--seed", "3", "-o", "a.wav"]) == 130
    assert "stopped after 0 tries; the best so far is in a.wav" in capsys.readouterr().err
    assert audio.read_tags("a.wav")["complete"] and audio.duration("a.wav") == 0.8
