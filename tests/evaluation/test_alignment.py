"""One alignment of a song, counted by section."""

import pytest

pytest.importorskip("jiwer")

from heartlib.evaluation.alignment import Count, align

VERSE, CHORUS = list("abcd"), list("efgh")


def test_the_same_has_no_errors():
    whole, parts = align([VERSE, CHORUS], [*VERSE, *CHORUS])
    assert whole == Count(0, 8) and parts == [Count(0, 4), Count(0, 4)]
    assert whole.rate == 0


def test_errors_belong_to_their_section():
    whole, parts = align([VERSE, CHORUS], list("axxcdegh"))
    # b became x, an x more inside the verse; f is missing in the chorus
    assert parts == [Count(2, 4), Count(1, 4)]
    assert whole == Count(3, 8)


def test_what_is_between_sections_counts_for_the_song_alone():
    whole, parts = align([VERSE, CHORUS], [*VERSE, *"xyz", *CHORUS])
    assert whole == Count(3, 8) and parts == [Count(0, 4), Count(0, 4)]


def test_swapped_sections_are_not_both_found():
    _, parts = align([VERSE, CHORUS], [*CHORUS, *VERSE])
    assert sorted(count.errors for count in parts)[1] == 4


def test_a_section_that_is_not_sung():
    _, parts = align([VERSE, CHORUS, VERSE], [*VERSE, *VERSE])
    assert [count.errors for count in parts] == [0, 4, 0]


def test_nothing_heard_and_nothing_to_hear():
    assert align([VERSE, CHORUS], []) == (Count(8, 8), [Count(4, 4), Count(4, 4)])
    whole, parts = align([], VERSE)
    assert (whole.errors, whole.rate, parts) == (4, 0, [])
