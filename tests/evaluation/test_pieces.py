"""What is given to a model, and what is known of it."""

import json
from pathlib import Path

import pytest

from heartlib.corpus.compose import compose
from heartlib.corpus.lexicon import held_out
from heartlib.corpus.styles import tag_vocabulary
from heartlib.errors import UsageError
from heartlib.evaluation.pieces import KINDS, pieces
from heartlib.evaluation.trials import TAGS, trials
from heartlib.evaluation.true_songs import true_songs
from heartlib.evaluation.truth import Truth


@pytest.mark.parametrize("group", sorted(KINDS))
def test_a_set_is_always_the_same(group: str):
    found = pieces(group, 3)
    assert found == pieces(group, 3) and pieces(group, 2) == found[:2]
    for piece in found:
        assert piece.truth and piece.truth.language == KINDS[group].language
        assert piece.seed > 9_000_000 and piece.truth.words
        assert piece.truth.duration < piece.length < 1.35 * piece.truth.duration
        assert set(piece.tags.split(",")) <= tag_vocabulary() and piece.tags.count(",") == 5


def test_unseen_words_are_only_in_their_set():
    unseen = held_out()
    plain, held = (
        [word in unseen for piece in pieces(name, 4) if piece.truth for word in piece.truth.words]
        for name in ("lyrics", "unseen")
    )
    assert not any(plain) and sum(held) > 0.15 * len(held)


def test_sets_share_no_song():
    seeds = [piece.seed for name in KINDS for piece in pieces(name, 3)]
    assert len(set(seeds)) == len(seeds)


def test_only_tags_that_the_model_knows():
    known = tag_vocabulary() - {"piano", "pop"}
    told = [set(piece.tags.split(",")) for piece in pieces("lyrics", 12, known)]
    assert len(told) == 12 and all(tags <= known for tags in told)
    with pytest.raises(UsageError, match="too few of the corpus's tags for the set 'es'"):
        pieces("es", 1, {"polka"})


def test_an_unknown_set():
    with pytest.raises(UsageError, match="no set 'fr'; there are lyrics"):
        pieces("fr")


def test_trials_differ_in_one_tag():
    found = trials(2, 45.0)
    assert [piece.name for piece in found[:6]] == [f"{kind}-1" for kind in TAGS]
    assert len({piece.name for piece in found}) == 12
    for piece in found:
        assert len(set(piece.tags.split(",")) ^ set(TAGS["female"].split(","))) in (0, 2)


def test_tags_of_a_song_without_a_singer():
    score = next(s for s in map(compose, range(60)) if not s.words)
    truth = Truth.of_score(score)
    assert truth.language == "" and truth.tags["singer"] == "instrumental"
    assert truth.told.split(",")[1] == "instrumental" and truth.told.count(",") == 4


def corpus(folder: Path, songs: int) -> Path:
    """A corpus folder's texts, as `heartlib corpus make` writes them."""
    (folder / "truth").mkdir(parents=True)
    (folder / "audio").mkdir()
    lines = []
    for seed in range(songs):
        score = compose(seed, language="en")
        words = [(w.text, w.notes[0].start, w.notes[-1].end) for w in score.words]
        data = {
            "seed": seed,
            "language": score.style.language,
            "duration": score.duration,
            "tempo": score.tempo,
            "key": score.key,
            "mode": score.mode,
            "genre": score.style.genre,
            "timbre": score.style.timbre,
            "singer": score.style.singer,
            "mood": score.style.mood,
            "main_instrument": score.style.instrument,
            "tempo_class": score.style.tempo_class,
            "sections": [{"name": s.name, "start": s.start, "end": s.end} for s in score.sections],
            "words": [{"word": w, "start": a, "end": b} for w, a, b in words],
        }
        (folder / "truth" / f"song-{seed}.json").write_text(json.dumps(data))
        lines.append(json.dumps({"id": f"song-{seed}"}) + "\n")
    (folder / "songs.jsonl").write_text("".join(lines))
    return folder


def test_truth_of_a_file_is_that_of_its_score(tmp_path: Path):
    for song in true_songs(corpus(tmp_path, 12)):
        assert song.truth == Truth.of_score(compose(song.truth.seed, language="en"))
        assert song.recoded == (song.group == "en") and song.voices() is None


def test_so_many_true_songs_of_each_language(tmp_path: Path):
    found = true_songs(corpus(tmp_path, 12), 1)
    assert [song.group for song in found].count("en") == 1 and len(found) <= 2


def test_not_a_corpus_folder(tmp_path: Path):
    with pytest.raises(UsageError, match=r"is not a corpus folder: it has no songs\.jsonl"):
        true_songs(tmp_path)
