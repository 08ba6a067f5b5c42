"""Composing needs no tools; these are the properties that the renderer and the models rely on."""

import random
from collections import Counter
from itertools import pairwise
from statistics import mean

import pytest

from heartlib.corpus.compose import compose
from heartlib.corpus.genres import GENRES
from heartlib.corpus.groove import Groove
from heartlib.corpus.harmony import NAMES, SCALES
from heartlib.corpus.lexicon import LANGUAGES
from heartlib.corpus.melody import FEELS, contour, related, rhythm
from heartlib.corpus.score import Score
from heartlib.corpus.styles import BEAT_FRAMES, FRAME, tag_vocabulary
from heartlib.corpus.voices import CASTS, VOICES
from heartlib.corpus.words import Poet, held_out, line_syllables, vocabulary, written
from heartlib.errors import UsageError

MARKERS = {"Intro", "Verse", "Prechorus", "Chorus", "Bridge", "Outro", "Instrumental"}


@pytest.fixture(scope="module")
def scores() -> list[Score]:
    return [compose(seed) for seed in range(120)]


def test_a_seed_is_a_song() -> None:
    assert compose(5) == compose(5)
    assert compose(5) != compose(6)


def test_one_note_a_syllable(scores: list[Score]) -> None:
    for score in scores:
        lines = [line for section in score.sections for line in section.lines]
        assert [word.text for word in score.words] == " ".join(lines).split()
        notes = sum(len(word.notes) for word in score.words)
        assert notes == sum(line_syllables(line, score.style.language) for line in lines)


def test_words_that_have_their_turn_give_it_up_where_they_do_not_rhyme() -> None:
    lines = [line for line in compose(6400592).lyrics.splitlines() if line]
    assert len(lines) == len(set(lines)) == 12


def test_lyrics_are_the_sections(scores: list[Score]) -> None:
    for score in scores:
        language = score.style.language
        sections = [
            [f"[{section.name}]", *(written(line, language) for line in section.lines)]
            for section in score.sections
        ]
        assert [block.split("\n") for block in score.lyrics.split("\n\n")] == sections
        assert {section.name for section in score.sections} <= MARKERS


def test_every_language_is_sung(scores: list[Score]) -> None:
    sung = [score for score in scores if score.words]
    told = Counter(score.style.language for score in sung)
    assert set(told) == set(LANGUAGES) and told["en"] > len(sung) / 2
    for language in LANGUAGES:
        for seed in range(8):
            score, other = compose(seed, language=language), compose(seed)
            assert score.style.language == (language if score.words else "en")
            assert (score.style.instrument, score.key) == (other.style.instrument, other.key)
            assert all(word.text in vocabulary(language) for word in score.words)


def test_unseen_words_come_when_asked_for() -> None:
    def share(unseen: bool) -> float:
        words = [
            w.text for seed in range(12) for w in compose(seed, "main", "en", unseen=unseen).words
        ]
        return sum(word in held_out() for word in words) / len(words)

    assert share(False) == 0 and share(True) > 0.1


def test_verses_never_repeat_a_line(scores: list[Score]) -> None:
    for score in scores:
        lines = [t for part in score.sections if part.name != "Chorus" for t in part.lines]
        assert len(lines) == len(set(lines))


def test_verses_rhyme(scores: list[Score]) -> None:
    for score in scores:
        for section in score.sections:
            known = vocabulary(score.style.language)
            ends = [known[line.split()[-1]] for line in section.lines]
            if section.name == "Chorus" and len(ends) == 2:
                continue  # it may be the first half of a longer one
            pairs = {4: ((0, 1), (2, 3), (0, 2), (1, 3)), 2: ((0, 1),)}.get(len(ends), ())
            rhymed = {pair for pair in pairs if ends[pair[0]].rhyme == ends[pair[1]].rhyme}
            assert all(ends[one].text != ends[other].text for one, other in rhymed)
            assert (
                not pairs
                or (len(ends) // 2 - 1, len(ends) - 1) in rhymed
                or rhymed
                == {
                    (0, 1),
                    (2, 3),
                }
            )


def test_sections_cover_the_song(scores: list[Score]) -> None:
    for score in scores:
        assert score.sections[0].start == 0.0
        assert score.sections[-1].end == score.duration
        for before, after in pairwise(score.sections):
            assert before.end == after.start > before.start


def test_singing_stays_in_its_section_and_in_order(scores: list[Score]) -> None:
    for score in scores:
        notes = [note for word in score.words for note in word.notes]
        for before, after in pairwise(notes):
            assert before.start < before.end <= after.start + 1e-9
        language = score.style.language
        counts = [
            sum(line_syllables(line, language) for line in part.lines) for part in score.sections
        ]
        for section, count in zip(score.sections, counts, strict=True):
            own, notes = notes[:count], notes[count:]
            assert all(section.start <= n.start and n.end <= section.end + 1e-9 for n in own)


def test_tempo_and_length_are_on_the_grid(scores: list[Score]) -> None:
    for score in scores:
        frames = score.beat / FRAME
        assert frames == pytest.approx(round(frames))
        assert round(frames) in BEAT_FRAMES[score.style.tempo_class]
        assert score.duration / FRAME == pytest.approx(round(score.duration / FRAME))
        bars = len(score.beats) / score.meter
        assert bars == round(bars) and score.meter == GENRES[score.style.genre].meter
        assert 20 <= score.duration <= 64
    assert 30 < mean(score.duration for score in scores) < 43


def test_melody_is_in_key_and_in_range(scores: list[Score]) -> None:
    for score in scores:
        tonic = NAMES.index(score.key)
        scale = {(tonic + step) % 12 for step in SCALES[score.mode]}
        for word in score.words:
            for note in word.notes:
                assert note.midi % 12 in scale
                assert abs(note.midi - VOICES[score.style.voice].centre) <= 8


def test_men_sing_below_women(scores: list[Score]) -> None:
    pitches: dict[str, list[int]] = {"female": [], "male": []}
    for score in scores:
        for word in score.words:
            pitches[score.style.singer] += [note.midi for note in word.notes]
    assert mean(pitches["female"]) - mean(pitches["male"]) > 7


def test_tags_are_known_ordered_and_true(scores: list[Score]) -> None:
    for score in scores:
        tags = score.tags.split(",")
        style = score.style
        singer = style.singer if score.words else "instrumental"
        truth = [style.genre, style.timbre, singer, style.mood, style.instrument, style.tempo_class]
        assert set(tags) <= tag_vocabulary()
        assert [tag for tag in truth if tag in tags] == tags


def test_instrumental_songs_have_no_words(scores: list[Score]) -> None:
    silent = [score for score in scores if score.style.singer == "none"]
    assert 0.05 < len(silent) / len(scores) < 0.3
    assert not any(score.words or part.lines for score in silent for part in score.sections)


def test_sad_is_minor_and_happy_is_major(scores: list[Score]) -> None:
    modes = {(score.style.mood, score.mode) for score in scores}
    assert ("sad", "major") not in modes and ("happy", "minor") not in modes
    assert {("sad", "minor"), ("happy", "major")} <= modes


def test_something_plays_in_every_bar_and_ends(scores: list[Score]) -> None:
    for score in scores:
        starts = {round(hit.start / score.beat / score.meter - 0.1) for hit in score.hits}
        assert starts >= set(range(len(score.beats) // score.meter))
        assert 0.4 <= score.duration - max(hit.end for hit in score.hits) <= 1.5


def test_women_and_men_have_ranges_apart() -> None:
    for cast, least in (("main", 5), ("judge", 2)):
        centres = {
            singer: [VOICES[name].centre for name in names] for singer, names in CASTS[cast].items()
        }
        assert min(len(set(CASTS[cast][singer])) for singer in centres) >= least
        assert min(centres["female"]) - max(centres["male"]) >= 9


def test_casts_share_no_voice() -> None:
    main, judge = (
        {voice for names in CASTS[cast].values() for voice in names} for cast in ("main", "judge")
    )
    assert not main & judge
    assert not {VOICES[name].espeak for name in main} & {VOICES[name].espeak for name in judge}
    assert compose(3, "judge").style.voice in {*judge, "none"}


def test_an_unknown_cast_names_the_known() -> None:
    with pytest.raises(UsageError, match="main, judge"):
        compose(1, "choir")


@pytest.mark.parametrize("feel", sorted(set(FEELS)))
def test_rhythm_fills_a_line_without_overlap(feel: str) -> None:
    first = {"pickup": {-1}, "late": {1, 2}}.get(feel, {0})
    for seed in range(50):
        for count, beats in ((4, 4), (7, 8)):
            notes = rhythm(random.Random(seed), count, beats, 0.72, feel)
            assert len(notes) == count and notes[0][0] in first
            assert all(a + length <= b for (a, length), (b, _) in pairwise(notes))
            assert notes[-1][0] + notes[-1][1] <= 2 * beats - 1
    with pytest.raises(ValueError, match="do not fit"):
        rhythm(random.Random(0), 9, 4, 0.72, feel)


def test_an_inverted_contour_mirrors_every_step() -> None:
    steps = contour(random.Random(3))
    assert related(random.Random(0), steps, "inversion")[1:] == [-step for step in steps[1:]]
    assert related(random.Random(0), steps, "sequence")[1:] == steps[1:]
    assert related(random.Random(0), steps, "sequence")[0] != steps[0]


def test_swing_delays_only_what_is_off_the_beat() -> None:
    swung = Groove(0.5, 4, swing=0.15)
    assert [swung.seconds(at) for at in (0, 1, 7)] == pytest.approx([0, 0.5, 3.5])
    assert swung.seconds(2.5) == pytest.approx(2.65 * 0.5)
    assert Groove(0.5, 4).seconds(2.75) == pytest.approx(1.375)


def test_lines_have_the_syllables_asked_for() -> None:
    poet = Poet(random.Random(1), "happy")
    assert all(5 <= line_syllables(line) <= 7 for line in poet.lines(8, 5, 7))
