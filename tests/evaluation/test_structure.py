"""Sections, instrumental stretches and endings of songs whose truth is known."""

import ctypes.util
from dataclasses import replace

import numpy as np
import pytest
from sounds import RATE

from heartlib.evaluation import SongMeasures, measure
from heartlib.evaluation.heard import SUNG, Heard
from heartlib.evaluation.structure import ends_well, in_order, plays_alone
from heartlib.evaluation.truth import Part, Truth

pytest.importorskip("jiwer")
VERSE = ("the", "morning", "light", "is", "on", "the", "sea")
CHORUS = ("carry", "the", "summer", "in", "your", "hand")
TRUTH = Truth(
    seed=1,
    language="en",
    duration=40.0,
    tempo=100.0,
    key="C",
    mode="major",
    facts=(("singer", "female"),),
    parts=(
        Part("Intro", 0.0, 6.0),
        Part("Verse", 6.0, 15.0, VERSE),
        Part("Instrumental", 15.0, 27.0),
        Part("Chorus", 27.0, 36.0, CHORUS),
        Part("Outro", 36.0, 40.0),
    ),
)


@pytest.fixture(scope="module")
def measures() -> SongMeasures:
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, 3 * RATE))
    return replace(measure(noise), duration=40.0, voice_share=0.5)


def song(measures: SongMeasures, text: str = "", ended: bool = True) -> Heard:
    return Heard(SUNG, "lyrics", "a", TRUTH, measures, text, ended)


@pytest.mark.skipif(ctypes.util.find_library("espeak-ng") is None, reason="espeak-ng is missing")
@pytest.mark.parametrize(
    ("text", "found"),
    [
        (" ".join(VERSE + CHORUS), True),
        ("the morning light on the see, carry summer in your hands", True),
        (" ".join(CHORUS + VERSE), False),
        (" ".join(VERSE), False),
        (" ".join(VERSE + VERSE), False),
        ("", False),
    ],
)
def test_sections_in_order(measures: SongMeasures, text: str, found: bool):
    assert in_order(song(measures, text)) == found


def test_nobody_sings_through_the_instrumental(measures: SongMeasures):
    assert TRUTH.instrumental == 12.0
    assert plays_alone(song(replace(measures, voice_share=0.8)))  # 8 s are left to the band
    assert not plays_alone(song(replace(measures, voice_share=0.9)))


@pytest.mark.parametrize(
    ("duration", "ended", "well"),
    [
        (40.0, True, True),
        (34.1, True, True),
        (45.9, True, True),
        (33.9, True, False),
        (46.1, True, False),
        (40.0, False, False),
    ],
)
def test_endings(measures: SongMeasures, duration: float, ended: bool, well: bool):
    assert ends_well(song(replace(measures, duration=duration), ended=ended)) == well
