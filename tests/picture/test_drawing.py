"""The picture: its size, and what is where."""

import io
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from PIL import Image

from heartlib.hearttranscriptor.word_times import Word
from heartlib.picture.drawing import LEFT, RIGHT, ROW, STRIP, TITLE, WAVE, Picture, Sheet, draw
from heartlib.picture.fonts import Lettering
from heartlib.picture.outline import RATE, reduced
from heartlib.picture.sections import Band
from heartlib.picture.theme import DARK, LIGHT, SECTIONS
from heartlib.picture.word_rows import GAP, MOST, place

WIDTH = 700
BANDS = [Band("Verse", 1.0, 4.0), Band("Chorus", 4.0, 9.0)]
OUTLINE = reduced([np.full(10 * RATE, 0.5, np.float32)], per=2)


def pixels(picture: Picture) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture.png)).convert("RGB")).astype(int)


def near(pixel: np.ndarray, colour: str) -> bool:
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return bool(np.abs(pixel - wanted).max() <= 6)


def column(seconds: float) -> int:
    return round(LEFT + seconds / 10 * (WIDTH - LEFT - RIGHT))


@pytest.mark.parametrize("dark", [False, True])
def test_size_and_paper(dark: bool):
    picture = draw(Sheet("a.wav", "0:10", OUTLINE), width=WIDTH, dark=dark)
    found = pixels(picture)
    assert found.shape == (picture.height, WIDTH, 3) and picture.width == WIDTH
    assert near(found[2, 2], (DARK if dark else LIGHT).paper)


def test_sections_are_where_they_are_sung():
    found = pixels(draw(Sheet("a.wav", "", OUTLINE, BANDS), width=WIDTH))
    strip, wave = TITLE + 4, TITLE + STRIP + WAVE // 2 - 5
    for row in (strip, wave):
        assert near(found[row, column(1.0) + 4], SECTIONS["Verse"])
        assert near(found[row, column(4.0) - 4], SECTIONS["Verse"])
        assert near(found[row, column(4.0) + 4], SECTIONS["Chorus"])
        assert near(found[row, column(9.0) - 4], SECTIONS["Chorus"])
    assert near(found[strip, column(1.0) - 4], LIGHT.paper)
    assert near(found[strip, column(9.0) + 4], LIGHT.paper)
    assert near(found[wave, column(9.5)], LIGHT.unnamed)


def test_words_are_below_their_times():
    bare = draw(Sheet("a.wav", "", OUTLINE, BANDS), width=WIDTH)
    picture = draw(Sheet("a.wav", "", OUTLINE, BANDS, [Word("sea", 5.0, 7.0)]), width=WIDTH)
    assert picture.height > bare.height + ROW - 1 and picture.left_out == 0
    found = pixels(picture)[TITLE + STRIP + WAVE :][: ROW + 6]
    dark = (found.sum(axis=2) < 300).any(axis=0).nonzero()[0]
    assert column(5.0) <= dark.min() <= column(5.0) + 3 and dark.max() < column(5.0) + 40
    line = [near(pixel, SECTIONS["Chorus"]) for pixel in found[9]]
    assert abs(line.index(True) - column(5.0)) <= 1 and abs(sum(line) - column(2.0) + LEFT) <= 2


def test_words_without_room_are_counted():
    words = [Word("word", 5.0, 5.1)] * (MOST + 3)
    assert draw(Sheet("a.wav", "", OUTLINE, [], words), width=WIDTH).left_out == 3


def test_words_of_a_row_do_not_touch():
    draws = np.random.default_rng(0)
    starts = sorted(draws.uniform(0, 1000, 80))
    widths = draws.uniform(10, 90, 80)
    places, rows = place(starts, list(widths), 1000)
    assert len(places) == 80 and max(spot.row for spot in places) + 1 == rows
    for row in range(rows):
        spots = [spot for spot in places if spot.row == row]
        for one, next in pairwise(spots):
            assert one.left + widths[one.word] + GAP <= next.left
    assert all(spot.left + widths[spot.word] <= 1000.001 for spot in places)


def test_signs_without_a_font_are_spelled_or_dots():
    letters = Lettering(["abc", "さくら", "노래", "海"])
    letters.missing = set("さくら노래海")  # whatever this machine has
    assert [letters.spell(text) for text in ("abc", "さくら", "노래", "海é")] == [
        "abc",
        "sakura",
        "norae",
        "·é",
    ]


def test_a_sign_that_no_font_has_is_told():
    picture = draw(Sheet("\U0010fffd.wav", "$x$ _{", OUTLINE), width=WIDTH)
    assert picture.unwritten == "\U0010fffd"


@pytest.mark.parametrize("samples", [1, 3000])
def test_short_and_silent_sounds(samples: int):
    found = reduced([np.zeros(samples, np.float32)], per=1)
    assert draw(Sheet("a.wav", "", found), width=WIDTH).png.startswith(b"\x89PNG")


def test_long_texts_are_cut_and_tiny_bands_have_no_name():
    bands = [Band("Verse", 0.0, 0.05), Band("[" * 3000, 1.0, 2.0)]
    facts = "a tag, " * 20_000
    assert draw(Sheet("b" * 255, facts, OUTLINE, bands), width=WIDTH).width == WIDTH
