"""Candidates are judged, and the better of a prompt is paired with the worse."""

import ctypes.util
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from heartlib.errors import UsageError
from heartlib.evaluation.heard import SUNG, Heard
from heartlib.evaluation.singing import codes_file
from heartlib.training import candidates
from heartlib.training.candidates import Candidate, Pair, judged, keep, pairs_of, prompts, takes


def song(name: str, error_rate: float, likeness: float | None = None, ended: bool = True):
    return Candidate(name, "p", error_rate, likeness, ended)


def test_the_best_and_the_worst_become_a_pair():
    songs = [song("a", 0.3), song("b", 0.1), song("c", 0.5)]
    assert pairs_of(songs) == [Pair("b", "c", "words")]
    assert pairs_of(songs[:1]) == []
    assert pairs_of([song("a", 0.30), song("b", 0.35)]) == []  # too much alike
    cut = [*songs, song("d", 0.0, ended=False)]  # was cut off
    assert pairs_of(cut) == [Pair("b", "c", "words")]


def test_tags_make_pairs_that_are_understood_as_well():
    songs = [song("a", 0.30, 0.9), song("b", 0.31, 0.5), song("c", 0.32, 0.6)]
    assert pairs_of(songs) == [Pair("a", "b", "tags")]
    worse = [replace(songs[0], error_rate=0.45), *songs[1:]]
    assert pairs_of(worse) == [Pair("b", "a", "words")]  # nicer, but not understood
    assert pairs_of([songs[0], replace(songs[1], likeness=0.88)]) == []


def test_prompts_can_be_sung(monkeypatch):
    first, second = prompts(2, candidates.FIRST_SEED, (), 60.0)
    assert first.lyrics and first.tags and first.truth and first.length <= 60
    assert first.seed < second.seed
    both = takes(first, 2)
    assert len({take.seed for take in both}) == len({take.name for take in both}) == 2
    assert {take.lyrics for take in both} == {first.lyrics}
    monkeypatch.setattr(candidates, "LOOKED", 3)
    with pytest.raises(UsageError, match="0 of 3 songs of the corpus have words, tags"):
        list(prompts(1, candidates.FIRST_SEED, ("jazz",), 60.0))


@pytest.mark.skipif(ctypes.util.find_library("espeak-ng") is None, reason="espeak-ng is missing")
def test_a_song_is_judged_by_what_was_heard():
    prompt = next(prompts(1, candidates.FIRST_SEED, (), 60.0))
    assert prompt.truth
    right = Heard(SUNG, "candidates", "x", prompt.truth, text=" ".join(prompt.truth.words))
    found = judged(replace(right, ended=True), "p", None)
    assert found.error_rate < 0.05 and found.ended and found.likeness is None
    assert judged(replace(right, text=""), "p", None).error_rate == 1


def test_pairs_scores_and_codes_are_kept(tmp_path):
    asked = list(prompts(2, candidates.FIRST_SEED, (), 60.0))
    (tmp_path / "songs").mkdir()
    songs = []
    for number, prompt in enumerate(asked):
        for take, error_rate in zip(takes(prompt, 2), (0.6, 0.2 if number else 0.6), strict=True):
            codes = torch.full((8, 5), len(songs), dtype=torch.int16)
            save_file({"codes": codes}, codes_file(tmp_path / "songs", take.name))
            songs.append(Candidate(take.name, prompt.name, error_rate, None, True))
    assert [pair.chosen for pair in keep(tmp_path, asked, songs)] == [songs[3].id]
    scores = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert [row["error_rate"] for row in scores] == [0.6, 0.6, 0.6, 0.2]
    (line,) = (tmp_path / "pairs.jsonl").read_text().splitlines()
    pair = json.loads(line)
    assert (pair["lyrics"], pair["by"]) == (asked[1].lyrics, "words")
    kept = [json.loads(x) for x in (tmp_path / "codes" / "songs.jsonl").read_text().splitlines()]
    assert [row["id"] for row in kept] == sorted((songs[2].id, songs[3].id))
    codes = load_file(tmp_path / "codes" / "codes.safetensors")["codes"]
    row = next(row for row in kept if row["id"] == pair["chosen"])
    assert np.all(codes[:, row["offset"] : row["offset"] + 5].numpy() == 3)


def test_a_model_without_a_listener_is_refused(tiny_checkpoint, tmp_path, monkeypatch, capsys):
    command = ["candidates", "--model", str(tiny_checkpoint), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", command)
    assert candidates.main() > 0
    assert "no HeartTranscriptor-oss, which must judge the words" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", [*command, "--each", "1"])
    assert candidates.main() > 0
    assert "--each is 1; it must be at least 2" in capsys.readouterr().err
