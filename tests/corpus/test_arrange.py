"""What genres, instruments and moods promise, measured in composed songs."""

from collections import defaultdict
from itertools import pairwise
from statistics import mean, median

import pytest

from heartlib.corpus import bass, drums
from heartlib.corpus.accompany import CHORDAL, VOICED
from heartlib.corpus.compose import compose
from heartlib.corpus.doubling import doubled_spans, second_words, take_of
from heartlib.corpus.form import MARKERS, PLAYED_FORMS, SUNG_FORMS
from heartlib.corpus.genres import GENRES
from heartlib.corpus.harmony import COMMON, NAMES, SCALES, chord_of
from heartlib.corpus.moods import MOODS
from heartlib.corpus.orchestra import BACKING, BACKINGS, INSTRUMENTS
from heartlib.corpus.player import Hands
from heartlib.corpus.score import Hit, Score


@pytest.fixture(scope="module")
def scores() -> list[Score]:
    return [compose(seed) for seed in range(1000, 1400)]


def main_of(score: Score) -> list[Hit]:
    return [hit for hit in score.hits if hit.part == "main"]


@pytest.mark.parametrize("name", sorted(GENRES))
def test_a_genre_has_its_patterns(name: str) -> None:
    genre = GENRES[name]
    assert len(set(genre.drums)) >= 4 and len(set(genre.bass)) >= 3
    for pattern in genre.drums:
        rows = drums.rows_of(pattern).values()
        assert {len(row) for row in rows} == {4 * genre.meter}
        assert all(set(row) <= set("Xxo.") and set(row) != {"."} for row in rows)
    for pattern in genre.bass:
        strokes = bass.PATTERNS[pattern].split()
        assert max(float(stroke.split(":")[1]) for stroke in strokes) < genre.meter
    assert set(genre.suits) <= set(INSTRUMENTS) and genre.backing in BACKINGS
    for mode, pool in genre.progressions.items():
        for row in pool:
            chords = [chord_of(token, 0, mode, sevenths=False) for token in row.split()]
            assert min(len(chords), 4) >= 3 and len({chord.name for chord in chords}) > 1


def test_every_genre_mood_and_instrument_is_drawn(scores: list[Score]) -> None:
    assert {score.style.genre for score in scores} == set(GENRES)
    assert {score.style.mood for score in scores} == set(MOODS)
    assert {score.style.instrument for score in scores} == set(INSTRUMENTS)


def test_forms_differ_and_are_known() -> None:
    assert len(set(SUNG_FORMS)) > 20
    for form in SUNG_FORMS + PLAYED_FORMS:
        assert {item[0] for item in form.split()} <= set(MARKERS)
    assert all("C" in form for form in SUNG_FORMS)


def test_instruments_stay_in_their_ranges(scores: list[Score]) -> None:
    for score in scores:
        instrument = INSTRUMENTS[score.style.instrument]
        assert set(instrument.patterns) <= set(CHORDAL if instrument.chordal else VOICED)
        assert all(instrument.low <= hit.midi <= instrument.high for hit in main_of(score))
        backing = [hit.midi for hit in score.hits if hit.part == "backing"]
        assert bool(backing) != instrument.chordal
        assert all(BACKING[0] <= midi <= BACKING[1] for midi in backing)


def test_one_voice_plays_one_note_at_a_time(scores: list[Score]) -> None:
    together = []
    for score in scores:
        if not INSTRUMENTS[score.style.instrument].chordal:
            hits = main_of(score)
            together += [max(0.0, a.end - b.start) / score.beat for a, b in pairwise(hits)]
    assert max(together) < 0.25 and mean(together) < 0.02


def test_a_key_is_let_go_before_it_is_struck_again(scores: list[Score]) -> None:
    for score in scores[:100]:
        keys = defaultdict(list)
        for hit in score.hits:
            keys[hit.part, hit.midi].append(hit)
        for hits in keys.values():
            assert all(a.start < a.end < b.start for a, b in pairwise(hits))


def test_the_main_instrument_plays_in_every_bar(scores: list[Score]) -> None:
    for score in scores:
        bar = score.meter * score.beat
        for _, start, _ in score.chords:
            assert any(h.start < start + bar and h.end > start for h in main_of(score))


def test_moods_sound_as_they_say(scores: list[Score]) -> None:
    force, length, height = defaultdict(list), defaultdict(list), defaultdict(list)
    notes = defaultdict(list)
    for score in scores:
        mood = score.style.mood
        assert score.style.tempo_class in MOODS[mood].tempi
        assert MOODS[mood].minor not in (0.0, 1.0) or (score.mode == "minor") == MOODS[mood].minor
        hits = main_of(score)
        force[mood].append(mean(hit.velocity for hit in hits))
        length[mood].append(median(hit.end - hit.start for hit in hits) / score.beat)
        middle = INSTRUMENTS[score.style.instrument].centre
        height[mood].append(mean(hit.midi for hit in hits) - middle)
        notes[mood].append(
            len({round(8 * hit.start / score.beat) for hit in hits}) / len(score.beats)
        )
    for soft in MOODS:
        for loud in MOODS:
            if MOODS[loud].force - MOODS[soft].force >= 10:
                assert mean(force[loud]) > mean(force[soft])
    for quick, slow in (("angry", "calm"), ("happy", "sad"), ("energetic", "dreamy")):
        assert mean(length[quick]) < 0.8 * mean(length[slow])
        assert mean(notes[quick]) > 1.1 * mean(notes[slow])
    for high, low in (("dreamy", "sad"), ("happy", "angry"), ("hopeful", "dark")):
        assert mean(height[high]) > mean(height[low]) + 3


def test_the_chorus_is_louder_than_the_verse(scores: list[Score]) -> None:
    louder = []
    for score in scores:
        spans = {
            name: [p for p in score.sections if p.name == name] for name in ("Verse", "Chorus")
        }
        level = {}
        for name, parts in spans.items():
            for part in parts:
                own = [h.velocity for h in score.hits if part.start <= h.start < part.end]
                level.setdefault(name, []).append(mean(own))
        if len(level) == 2:
            louder.append(mean(level["Chorus"]) - mean(level["Verse"]))
    assert len(louder) > 200 and mean(d > 0 for d in louder) > 0.9 and mean(louder) > 5


def test_swing_is_heard_where_it_belongs(scores: list[Score]) -> None:
    late = {
        name: [
            (hit.start / score.beat) % 1
            for score in scores
            if score.style.genre == name
            for hit in score.hits
            if hit.part == "drums" and 0.4 < (hit.start / score.beat) % 1 < 0.72
        ]
        for name in ("jazz", "rock")
    }
    assert median(late["jazz"]) > 0.62 and abs(median(late["rock"]) - 0.5) < 0.02


def test_a_quarter_of_the_songs_has_a_second_take(scores: list[Score]) -> None:
    sung = [score for score in scores if score.words]
    kinds = [score.style.doubling for score in sung]
    assert 0.18 < mean(kind != "none" for kind in kinds) < 0.35
    assert {"unison", "third"} <= set(kinds)
    assert not any(doubled_spans(score) for score in scores if not score.words)


def test_a_third_is_sung_in_the_key_and_in_time(scores: list[Score]) -> None:
    for score in (score for score in scores if score.style.doubling == "third"):
        tonic = NAMES.index(score.key)
        scale = {(tonic + step) % 12 for step in SCALES[score.mode]}
        first = [w for w in score.words if _inside(w.notes[0].start, doubled_spans(score))]
        second = second_words(score)
        assert first and [w.text for w in first] == [w.text for w in second]
        for word, above in zip(first, second, strict=True):
            for a, b in zip(word.notes, above.notes, strict=True):
                assert b.midi - a.midi in (3, 4) and b.midi % 12 in scale
                assert (a.start, a.end) == (b.start, b.end)
        assert 0.08 <= abs(take_of(score).detune) <= 0.15 and 0.015 <= take_of(score).late <= 0.03


def _inside(at: float, spans: list[tuple[float, float]]) -> bool:
    return any(start <= at < end for start, end in spans)


def test_chords_are_what_their_tokens_say() -> None:
    def names(row: str, mode: str, sevenths: bool = False) -> list[str]:
        return [chord_of(token, 9, mode, sevenths).name for token in row.split()]

    assert names("1 5/6 6 4m b7 17", "major") == ["A", "C#7", "F#m", "Dm", "G", "A7"]
    assert names("1 2 3 5M", "minor") == ["Am", "Bdim", "C", "E"]
    assert names("1 2 5 4", "major", sevenths=True) == ["Amaj7", "Bm7", "E7", "Dmaj7"]
    assert any(len(row.split()) == 8 for row in COMMON["major"])


def test_voicings_move_little_and_stay_in_range() -> None:
    hands = Hands(48, 84, 64, spread=False)
    rows = [hands.voicing(chord_of(token, 0, "major", False).classes) for token in "1456214"]
    assert all(row[0] >= 48 and row[-1] <= 84 and row == sorted(row) for row in rows)
    assert max(abs(mean(a) - mean(b)) for a, b in pairwise(rows)) < 5
