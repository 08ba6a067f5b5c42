"""How well lyrics are kept: sections, languages, and errors in each unit."""

import ctypes.util

import pytest

pytest.importorskip("jiwer")

from heartlib.corpus.compose import compose
from heartlib.errors import HeartlibError
from heartlib.evaluation import adherence as module
from heartlib.evaluation.adherence import (
    CHARACTERS,
    PHONEMES,
    WORDS,
    adherence,
    finest_unit,
    language_of,
    sections,
)
from heartlib.evaluation.alignment import Count
from heartlib.evaluation.structure import compare
from heartlib.evaluation.truth import Truth

needs_espeak = pytest.mark.skipif(
    ctypes.util.find_library("espeak-ng") is None, reason="espeak-ng is missing"
)
LYRICS = """[Intro]

[Verse]
The morning light, it's on the sea
[Instrumental]
[Chorus]
Oh sing
with me
"""


def test_sections_are_those_with_words():
    found = [(section.name, " ".join(section.words)) for section in sections(LYRICS)]
    assert found == [("Verse", "the morning light it's on the sea"), ("Chorus", "oh sing with me")]
    assert [section.name for section in sections("la la\n[Verse]\nla")] == ["", "Verse"]
    assert sections("[Intro]\n\n[Instrumental]") == []


@pytest.mark.parametrize(
    ("lyrics", "language"),
    [
        (LYRICS, "en"),
        ("[Verse]\nla noche y el mar", "es"),
        ("[Verse]\n我爱你", "zh"),
        ("[Verse]\n夜の海", "ja"),
        ("[Verse]\n사랑", "ko"),
        ("[Instrumental]", "en"),
    ],
)
def test_the_language_is_guessed(lyrics: str, language: str):
    assert language_of(lyrics) == language


@pytest.mark.parametrize("language", ["en", "es", "zh", "ja", "ko"])
def test_the_language_of_composed_songs_is_guessed(language: str):
    scores = [compose(seed, language=language) for seed in range(20)]
    sung = [score.lyrics for score in scores if score.words]
    assert sung and all(language_of(lyrics) == language for lyrics in sung)


def test_words_and_characters_are_counted_by_section():
    heard = "the morning night is on the sea oh sing me"
    found = adherence(LYRICS, heard, "en", WORDS)
    assert found.whole == Count(3, 11)
    assert found.parts == (("Verse", Count(2, 7)), ("Chorus", Count(1, 4)))
    found = adherence(LYRICS, heard, "en", CHARACTERS)
    assert found.whole == Count(2 + 1 + 4, 39)  # 't of it's; n for l; with
    assert adherence(LYRICS, "", "en", WORDS).whole == Count(11, 11)


@needs_espeak
def test_phonemes_are_those_of_the_evaluation():
    score = next(score for score in map(compose, range(20)) if score.words)
    heard = " ".join(score.lyrics.lower().replace("[verse]", "").split()[3:30])
    truth = Truth.of_score(score)
    found, expected = adherence(score.lyrics, heard, "en", PHONEMES), compare(truth, heard)
    assert found.whole == expected.whole
    assert [count for _, count in found.parts] == [count for _, count in expected.parts]


def test_characters_stand_in_for_phonemes(monkeypatch: pytest.MonkeyPatch):
    assert finest_unit("fr") == CHARACTERS

    def missing():
        raise HeartlibError("espeak-ng is not installed")

    monkeypatch.setattr(module, "engine", missing)
    assert finest_unit("en") == CHARACTERS
    monkeypatch.setattr(module, "engine", lambda: None)
    assert finest_unit("en") == PHONEMES
