"""Rows from measures whose values are known."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from sounds import RATE

from heartlib.evaluation import SongMeasures, bars, measure
from heartlib.evaluation.card import card
from heartlib.evaluation.heard import SUNG, Heard
from heartlib.evaluation.judges import shipped
from heartlib.evaluation.trials import TAGS


@pytest.fixture(scope="module")
def plain() -> SongMeasures:
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, 3 * RATE))
    return replace(
        measure(noise), loudness=-16.0, clipped=0, silence=0.2, join_clicks=0, join_jumps=(50.0,)
    )


def told(plain: SongMeasures) -> dict[str, list[SongMeasures]]:
    """Eight songs of each trial that do what the tags say."""
    tempo = {"fast": 150.0, "slow": 75.0}
    scores = dict.fromkeys(plain.instruments, -3.0)
    rows: dict[str, list[SongMeasures]] = {}
    for kind in TAGS:
        leads = "guitar" if kind == "guitar" else "piano"
        rows[kind] = [
            replace(
                plain,
                sung=kind != "instrumental",
                singer="male" if kind == "male" else "female",
                voice_pitch=(160.0 if kind == "male" else 300.0) + seed,
                tempo=tempo.get(kind, 100.0),
                tempo_class=kind if kind in tempo else "medium",
                instruments=scores | {leads: -0.5 - 0.1 * seed},
                main_instrument=leads,
            )
            for seed in range(8)
        ]
    return rows


def rows_of(results: dict[str, list[SongMeasures]]) -> dict[str, bars.Row]:
    heard = [
        Heard(SUNG, kind, f"{kind}-{number}", measures=song)
        for kind, songs in results.items()
        for number, song in enumerate(songs)
    ]
    return {row.name: row for row in card(heard, shipped().calibration)}


def test_songs_as_told_meet_every_bar(plain: SongMeasures):
    rows = rows_of(told(plain))
    assert all(row.met for row in rows.values())
    assert rows["fast / slow: tempo, bpm"].values["pairs_right"] == 64
    assert "64 of 64 pairs" in rows["female / male: voice pitch, Hz"].figure
    text = bars.table(list(rows.values()))
    assert text.count("\n") == len(rows) + 1 and " | no | " not in text
    assert json.dumps([row.to_dict() for row in rows.values()])


@pytest.mark.parametrize(
    ("trial", "change", "bar"),
    [
        ("male", {"loudness": -24.1}, "loudness, LUFS"),
        ("male", {"loudness": -math.inf}, "loudness, LUFS"),
        ("male", {"clipped": 3}, "clipped samples"),
        ("slow", {"silence": 1.02}, "longest silence inside, s"),
        ("slow", {"join_clicks": 1}, "clicks at joins"),
    ],
)
def test_one_bad_song_misses_the_bar(
    plain: SongMeasures, trial: str, change: dict[str, float], bar: str
):
    results = told(plain)
    results[trial][3] = replace(results[trial][3], **change)
    assert [row.name for row in rows_of(results).values() if not row.met] == [bar]


def test_tags_that_change_nothing_miss_their_bars(plain: SongMeasures):
    results = told(plain)
    results |= {"fast": results["female"], "slow": results["female"], "male": results["female"]}
    missed = {name for name, row in rows_of(results).items() if not row.met}
    assert missed == {
        "fast / slow: tempo, bpm",
        "female / male: voice pitch, Hz",
        "tempo class as told, one tag changed",
        "singer as told, one tag changed",
    }


def test_a_voice_where_there_are_no_words(plain: SongMeasures):
    results = told(plain)
    results["instrumental"][0] = replace(plain, sung=True)
    assert rows_of(results)["no voice in [Instrumental]"].figure == "7 of 8 (88 %)"
    assert not rows_of(results)["no voice in [Instrumental]"].met


def test_joins_are_compared_with_true_songs(plain: SongMeasures):
    def row(jumps: int) -> bars.Row:
        return bars.joins_row(
            [replace(plain, join_jumps=(100.0,) * jumps + (10.0,) * (100 - jumps))], 0.05
        )

    assert row(5).met and row(5).values == {"above": 5, "joins": 100, "allowed": 9}
    assert not row(10).met
    assert bars.joins_row([replace(plain, join_jumps=())], 0.05).met
