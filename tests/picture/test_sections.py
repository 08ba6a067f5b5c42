"""Sections by the words that were heard."""

import pytest

from heartlib.errors import UsageError
from heartlib.hearttranscriptor.word_times import Word
from heartlib.picture.sections import Band, bands, match, read_sections

LYRICS = """[Intro]

[verse]
The morning light is on the tree
a little bird

[Chorus]
Sing with me, the sky is new

[Outro]
"""


def timed(text: str, start: float = 5.0) -> list[Word]:
    """Words of one second each."""
    return [Word(word, start + at, start + at + 1) for at, word in enumerate(text.split())]


def test_lyrics_are_read():
    names = [(name, len(words)) for name, words in read_sections("hello\n" + LYRICS)]
    assert names == [("", 1), ("Intro", 0), ("Verse", 10), ("Chorus", 7), ("Outro", 0)]


def test_a_section_starts_with_its_first_word():
    words = timed("the morning light is on the tree a little bird sing with me the sky is new")
    assert bands(LYRICS, words, 30.0) == [
        Band("Intro", 0.0, 5.0),
        Band("Verse", 5.0, 15.0),
        Band("Chorus", 15.0, 22.0),
        Band("Outro", 22.0, 30.0),
    ]


def test_misheard_words_stay_in_their_section():
    words = timed("the mourning lights zz on tree a littel beard seeing xx me the sky is knew oh")
    found = {band.name: band for band in bands(LYRICS, words, 30.0)}
    assert found["Verse"].start == 5.0
    assert words[9].text == "seeing" and found["Chorus"].start == words[9].start
    assert found["Chorus"].end == found["Outro"].start == words[15].end


def test_sections_of_which_nothing_is_heard_share_a_band():
    lyrics = LYRICS.replace("[Chorus]", "[Instrumental]\n\n[Bridge]\nquartz jukebox\n\n[Chorus]")
    words = timed("the morning light is on the tree a little bird")
    words += timed("sing with me the sky is new", start=20.0)
    middle = bands(lyrics, words, 30.0)[2]
    assert middle == Band("Instrumental · Bridge", 15.0, 20.0)


def test_no_bands_where_no_word_is_the_lyrics():
    assert bands(LYRICS, timed("xylophone quartz jukebox"), 30.0) == []
    assert bands(LYRICS, [], 30.0) == [] and bands("", timed("a b"), 30.0) == []


def test_a_song_without_words_is_one_band():
    assert bands("[Instrumental]", [], 30.0) == [Band("Instrumental", 0.0, 30.0)]


def test_signs_of_han_are_matched_one_by_one():
    lyrics = "[Verse]\n我爱你\n[Chorus]\n天空很大"
    words = [Word("我爱", 1, 2), Word("你", 2, 3), Word("天", 4, 5), Word("空很大", 5, 6)]
    assert bands(lyrics, words, 8.0) == [Band("Verse", 1, 4), Band("Chorus", 4, 6)]


def test_matching_is_in_order_and_prefers_long_words():
    assert match(["river", "the"], ["the", "river"]) == [(0, 1)]
    assert match(["the", "a", "the"], ["the", "a", "the"]) == [(0, 0), (1, 1), (2, 2)]
    assert match([], ["a"]) == [] and match(["a"], ["b"]) == []


def test_too_many_words_are_told():
    with pytest.raises(UsageError, match="5000 words of lyrics are too many to find among 5000"):
        match(["la"] * 5000, ["la"] * 5000)
