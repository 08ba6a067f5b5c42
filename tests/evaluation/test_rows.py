"""Rows about words and tags, from songs whose texts and measures are known."""

import ctypes.util
from dataclasses import replace

import numpy as np
import pytest
from sounds import RATE

from heartlib.evaluation import SongMeasures, measure
from heartlib.evaluation.bars import Row, share_row
from heartlib.evaluation.heard import CODEC, MIX, SUNG, VOICE, Heard
from heartlib.evaluation.pieces import pieces
from heartlib.evaluation.tag_rows import likeness_rows, mode_told, tag_rows
from heartlib.evaluation.truth import Truth
from heartlib.evaluation.word_rows import structure_rows, word_rows

pytest.importorskip("jiwer")
espeak = pytest.mark.skipif(
    ctypes.util.find_library("espeak-ng") is None, reason="espeak-ng is missing"
)


@pytest.fixture(scope="module")
def plain() -> SongMeasures:
    return measure(0.1 * np.random.default_rng(0).standard_normal((2, 3 * RATE)))


def truths(group: str, songs: int = 4) -> list[Truth]:
    return [piece.truth for piece in pieces(group, songs) if piece.truth]


def told(plain: SongMeasures, truth: Truth) -> SongMeasures:
    """Measures of a song that does what it was told."""
    return replace(
        plain,
        duration=truth.duration,
        voice_share=0.5,
        tempo_class=truth.tags["tempo"],
        singer=truth.tags["singer"],
        main_instrument=truth.tags["instrument"],
        mode=mode_told(truth) or "major",
    )


def songs(source: str, group: str, found: list[Truth], plain: SongMeasures) -> list[Heard]:
    """Songs whose every word is understood."""
    return [
        Heard(
            source,
            group,
            f"{group}-{truth.seed}",
            truth,
            told(plain, truth),
            " ".join(truth.words),
            ended=True,
        )
        for truth in found
    ]


def by_name(rows: list[Row]) -> dict[str, Row]:
    return {row.name: row for row in rows}


@espeak
def test_words_that_are_understood(plain: SongMeasures):
    heard = songs(SUNG, "lyrics", truths("lyrics"), plain)
    heard += songs(SUNG, "es", truths("es"), plain)
    heard += [replace(song, text="la la la") for song in songs(SUNG, "ko", truths("ko"), plain)]
    rows = by_name(word_rows(heard))
    assert rows["phoneme error rate, `lyrics`"].values["rate"] == 0
    assert rows["phoneme error rate, `lyrics`"].true_songs == "not measured"
    assert rows["phoneme error rate, `es`"].met and not rows["phoneme error rate, `ko`"].met
    languages = rows["languages at most 0.5, besides English"]
    assert languages.figure == "1 of 2" and not languages.met
    assert all(row.met for row in structure_rows(heard))


@espeak
def test_true_songs_and_the_codec(plain: SongMeasures):
    found = truths("lyrics")
    heard = songs(MIX, "en", found, plain) + songs(VOICE, "en", found, plain)
    coded = songs(CODEC, "en", found, plain)
    lost = [replace(song, text="", mel_distance=4.0) for song in coded[:1]]
    heard += lost + [replace(song, mel_distance=5.0) for song in coded[1:]]
    rows = by_name(word_rows(heard))
    assert rows["phoneme error rate of true English songs"].true_songs == "the voice alone 0.000"
    rise = rows["phoneme error rate added by the codec"]
    assert 0.1 < rise.values["rise"] < 0.5 and not rise.met
    assert rise.values["low"] == 0 < rise.values["high"]
    assert rows["log-mel distance of the codec, dB"].values["mean"] == 4.75


def test_nothing_written_down_has_no_rows(plain: SongMeasures):
    heard = [replace(song, text=None) for song in songs(SUNG, "lyrics", truths("lyrics"), plain)]
    assert word_rows(heard) == []
    assert [row.name for row in structure_rows(heard)] == ["ends by itself, ±15 % of the length"]


def test_tags_as_told(plain: SongMeasures):
    heard = songs(SUNG, "lyrics", truths("lyrics", 10), plain)
    rows = tag_rows(heard, {"singer": 0.97})
    assert [row.met for row in rows] == [True] * 4
    assert rows[1].true_songs == "97 %" and rows[0].true_songs == "not known"
    decided = [song for song in heard if song.truth and mode_told(song.truth)]
    assert 0 < len(decided) < 10 and rows[3].values["songs"] == len(decided)
    wrong = [replace(s, measures=replace(s.measures, singer="none")) for s in heard if s.measures]
    assert by_name(tag_rows(wrong, {}))["singer as told, `lyrics`"].figure == "0 of 10 (0 %)"


def test_true_songs_stand_beside_the_tags(plain: SongMeasures):
    found = truths("lyrics", 4)
    true = songs(MIX, "en", found, plain)
    true[0] = replace(true[0], measures=replace(plain, singer="none"))
    heard = songs(SUNG, "lyrics", found, plain) + true + songs(CODEC, "en", found, plain)
    assert tag_rows(heard, {"singer": 0.5})[1].true_songs == "75 %; 100 % through the codec"


def test_no_clap_no_rows(plain: SongMeasures):
    assert likeness_rows(songs(SUNG, "lyrics", truths("lyrics"), plain), None) == []


def test_a_share_that_is_only_reported():
    row = share_row("x", [True, False], "", None)
    assert (row.bar, row.met, row.figure) == ("", None, "1 of 2 (50 %)")
    assert share_row("x", [True] * 4 + [False], "", 0.8).met
    assert not share_row("x", [True] * 3 + [False], "", 0.8).met
