"""The table of a benchmark, from given figures."""

import json
from dataclasses import replace

import pytest

from heartlib.evaluation.alignment import Count
from heartlib.evaluation.benchmark_song import SongResult
from heartlib.evaluation.benchmark_table import line, lines, table

SONG = SongResult(
    item="a",
    name="a-1",
    language="en",
    seed=1,
    units={"phonemes": Count(10, 40), "words": Count(5, 10), "characters": Count(9, 30)},
    sections=(("Verse", Count(4, 20)), ("Chorus", Count(19, 20))),
    text="the sea",
    tags=0.5,
    ended=True,
    measures={"silence": 0.2, "clipped": 0},
)
AGAIN = replace(
    SONG, name="a-2", seed=2, units={"phonemes": Count(30, 40), "words": Count(10, 10)}, ended=False
)
OTHER = replace(SONG, item="b", name="b-1", units={"phonemes": Count(4, 40)}, tags=-0.1)


def test_an_item_is_the_mean_of_its_songs():
    row = line("en", [SONG, AGAIN, OTHER])
    assert (row.items, row.songs) == (2, 3)
    per = row.figures["per"]
    assert per.value == pytest.approx((20 + 4) / 80) and per.items == 2
    assert (per.low, per.high) == (pytest.approx(0.1), pytest.approx(0.5))
    assert row.figures["ended"].value == 0.75 and row.figures["sections"].value == 0.5
    wer = row.figures["wer"]
    assert (wer.value, wer.low, wer.items) == (0.75, None, 1)  # one item has words


def test_words_or_characters_by_language():
    chinese = replace(SONG, item="c", language="zh")
    rows = {row.language: row for row in lines([chinese, SONG])}
    assert list(rows) == ["en", "zh", "all"]
    assert "cer" not in rows["en"].figures and "wer" not in rows["zh"].figures
    assert rows["zh"].figures["cer"].value == 0.3
    assert rows["all"].figures["wer"].value == 0.5 and rows["all"].figures["per"].items == 2


def test_markdown():
    rows = lines([SONG, AGAIN, OTHER])
    head, rule, english, every = table(rows).splitlines()
    assert head.startswith("| language | items | songs | PER | WER | sections kept |")
    assert "CER" not in head and "CE" not in head.split(" | ")
    assert rule.count("---") == head.count(" | ") + 1 == english.count("|") - 1
    assert english.startswith("| en | 2 | 3 | 0.300 (0.100 to 0.500) | 0.750 | 50 % (50 % to 50 %)")
    assert "0.200 (−0.100 to 0.500)" in english and every.startswith("| all | 2 | 3 |")
    assert table([]).count("\n") == 1


def test_aesthetics_have_columns_where_they_are_known():
    scores = {"CE": 7.125, "CU": 8.0, "PC": 5.0, "PQ": 8.25}
    assert table(lines([replace(SONG, aesthetics=scores)])).endswith(
        "| 7.12 | 8.00 | 5.00 | 8.25 |"
    )


def test_a_song_without_words():
    mute = replace(SONG, units={}, sections=(), text=None, ended=None)
    assert set(line("en", [mute]).figures) == {"tags", "no_silence", "no_clipping"}


def test_results_and_rows_survive_json():
    for song in (SONG, replace(AGAIN, aesthetics={"CE": 7.0}, text=None, tags=None)):
        assert SongResult.of_dict(json.loads(json.dumps(song.to_dict()))) == song
    assert json.loads(json.dumps(lines([SONG])[0].to_dict()))["figures"]["per"]["low"] is None
