"""Words as phonemes in five languages."""

import ctypes.util

import pytest

from heartlib.corpus.compose import compose
from heartlib.corpus.lexicon import LANGUAGES
from heartlib.errors import UsageError
from heartlib.evaluation.phonemes import part, phonemes, pinyin, words

espeak = pytest.mark.skipif(
    ctypes.util.find_library("espeak-ng") is None, reason="espeak-ng is missing"
)


def test_words_of_a_text():
    assert words("[Verse]\nHello, the World’s\n\n[Chorus]\n'sea'!") == [
        "hello",
        "the",
        "world's",
        "sea",
    ]
    assert words("¿Qué corazón?", "es") == ["qué", "corazón"]
    assert words("밤이 산을", "ko") == ["밤이", "산을"]
    assert words("[Intro]\n\n[Outro]") == []


@pytest.mark.parametrize("language", ["zh", "ja"])
def test_words_that_run_together_are_parted(language: str):
    score = next(s for s in (compose(i, language=language) for i in range(9)) if s.words)
    sung = [word.text for word in score.words]
    found = words(score.lyrics, language)
    assert "".join(found) == "".join(sung)
    right = sum(word in sung for word in found)
    assert right >= 0.9 * len(found)


def test_signs_outside_the_vocabulary_stand_alone():
    assert part("声音龘河", "zh") == ["声音", "龘", "河"]
    assert pinyin("龘") is None and pinyin("声河") == "sheng1he2"


@espeak
def test_what_sounds_the_same_is_the_same():
    assert phonemes("sea") == phonemes("see") == ("s", "i")
    assert phonemes("wanted")[-2:] == ("ɪ", "d")
    assert phonemes("a") == ("ə",)


@espeak
def test_mandarin_has_no_tones_and_japanese_reads_particles():
    mother = phonemes("妈妈", "zh")
    assert len(mother) == 4 and mother[:2] == mother[2:]
    assert phonemes("龘", "zh") == ("龘",)
    assert phonemes("は", "ja") == phonemes("わ", "ja")


@espeak
@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_every_word_has_plain_phonemes(language: str):
    score = next(s for s in (compose(i, language=language) for i in range(9)) if s.words)
    for word in score.words:
        sounds = phonemes(word.text, language)
        assert sounds, word.text
        for sound in sounds:
            assert not set(sound) & set("ˈˌː_() 0123456789"), (word.text, sounds)


def test_an_unknown_language():
    with pytest.raises(UsageError, match="no language 'fr'"):
        phonemes("chanson", "fr")
