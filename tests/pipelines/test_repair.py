"""A song that corrects itself: what is kept, what is tried, and what a stop leaves."""

import threading
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("jiwer")
pytest.importorskip("transformers")

from heartlib import HeartMuLaGenPipeline
from heartlib.errors import HeartlibError, UsageError
from heartlib.evaluation.adherence import Adherence, Section
from heartlib.evaluation.alignment import Count
from heartlib.hearttranscriptor.word_times import Word
from heartlib.pipelines.listening import Hearing, Listeners
from heartlib.pipelines.repair import Repaired, Repairs, Try, earliest_above, outlook
from heartlib.pipelines.section_times import section_starts
from heartlib.pipelines.settings import GenerationSettings
from heartlib.pipelines.splices import sing_again

LYRICS = "[Verse]\nThe morning light\n\n[Chorus]\nis on the sea\n"
TAGS = "pop,female"
SHORT = GenerationSettings(max_audio_length_ms=1600, num_steps=1, seed=5)
WORDS = ("The", "morning", "light", "is", "on", "the", "sea")
TIMES = tuple(Word(word, 0.2 * at + 0.1, 0.2 * at + 0.25) for at, word in enumerate(WORDS))
CHORUS = 8  # the frame: "light" ends at 0.65 s, "is" starts at 0.70 s


def adherence(verse: int, chorus: int) -> Adherence:
    """Errors of two sections of 100 phonemes each."""
    parts = (("Verse", Count(verse, 100)), ("Chorus", Count(chorus, 100)))
    return Adherence("phonemes", Count(verse + chorus, 200), parts)


class Scripted(Listeners):
    """Listeners that hear what they are told to, one song after another."""

    def __init__(self, *errors: tuple[int, int]) -> None:
        self.errors = iter(errors)
        self.heard = 0

    def prepare(self, lyrics: str, language: str | None = None) -> str | None:
        return "en" if "light" in lyrics else None

    def hear(self, wave: np.ndarray, rate: int, lyrics: str, language: str) -> Hearing:
        self.heard += 1
        return Hearing(adherence(*next(self.errors)), " ".join(WORDS), TIMES)


@pytest.fixture
def pipe(tiny_checkpoint: Path) -> HeartMuLaGenPipeline:
    return HeartMuLaGenPipeline.from_pretrained(tiny_checkpoint, device="cpu")


def repair(
    pipe: HeartMuLaGenPipeline, *errors: tuple[int, int], tries: int = 4, **told: object
) -> tuple[Repaired, Scripted]:
    ear = Scripted(*errors)
    return Repairs(pipe, ear)(LYRICS, TAGS, tries=tries, above=0.25, settings=SHORT, **told), ear


def test_a_well_understood_song_is_the_song_of_its_seed(pipe: HeartMuLaGenPipeline):
    found, _ = repair(pipe, (20, 25))
    alone = pipe.generate(LYRICS, TAGS, **asdict(SHORT))
    assert found.tries == () and torch.equal(found.song.waveform, alone.waveform)
    assert found.frames == 20 and found.song.repaired is not None
    assert found.song.repaired["splices"] == [] and "repaired" not in alone.metadata()


def test_codes_before_the_section_are_kept_and_the_best_try_is(pipe: HeartMuLaGenPipeline):
    stages: list[str] = []
    found, ear = repair(
        pipe, (10, 60), (10, 40), (10, 50), tries=2, progress=lambda stage, *_: stages.append(stage)
    )
    alone = pipe.generate(LYRICS, TAGS, **asdict(SHORT))
    kept, old = found.song.codes, alone.codes
    assert torch.equal(kept[:, :CHORUS], old[:, :CHORUS])
    assert not torch.equal(kept[:, CHORUS:], old[:, CHORUS:])
    assert [(t.section, t.name, t.frames, t.seed, t.sung) for t in found.tries] == [
        (1, "Chorus", CHORUS, 6, 20 - CHORUS),
        (1, "Chorus", CHORUS, 7, 20 - CHORUS),
    ]
    assert [(t.before, t.after, t.kept) for t in found.tries] == [
        (0.6, 0.4, True),
        (0.4, 0.5, False),
    ]
    assert found.frames == 20 + 2 * (20 - CHORUS) and ear.heard == 3
    assert list(dict.fromkeys(stages)) == [
        *("singing", "decoding", "listening"),
        *("singing again from 0:00, try 1 of 2", "decoding, try 1 of 2", "listening, try 1 of 2"),
        *("singing again from 0:00, try 2 of 2", "decoding, try 2 of 2", "listening, try 2 of 2"),
    ]
    held = found.song.metadata()
    assert held["seed"] == held["settings"]["seed"] == 5 and "extended" not in held
    assert held["repaired"] == {
        "tries": 2,
        "above": 0.25,
        "splices": [{"frames": CHORUS, "seed": 6}],
        "tried": 2,
        "first_error": 0.35,
    }


def test_the_same_seed_repairs_the_same_and_the_file_sings_it_again(pipe: HeartMuLaGenPipeline):
    errors = (50, 60), (20, 70), (20, 30), (20, 20)
    one, two = (repair(pipe, *errors)[0] for _ in range(2))
    assert torch.equal(one.song.waveform, two.song.waveform) and one.tries == two.tries
    assert [t.section for t in one.tries] == [0, 1, 1] and one.song.repaired is not None
    assert [x["seed"] for x in one.song.repaired["splices"]] == [6, 8]
    again = sing_again(pipe, LYRICS, TAGS, SHORT, one.song.repaired)
    assert torch.equal(again.codes, one.song.codes)
    assert torch.equal(again.waveform, one.song.waveform)
    assert again.repaired == one.song.repaired and again.settings == one.song.settings
    with pytest.raises(HeartlibError, match="damaged"):
        sing_again(pipe, LYRICS, TAGS, SHORT, {"splices": [{"frames": "x"}]})


def test_the_budget_is_shared_out_and_kept_to(pipe: HeartMuLaGenPipeline):
    bad = [(60, 60)] * 6
    found, ear = repair(pipe, *bad, tries=3)
    assert [t.section for t in found.tries] == [0, 0, 1] and ear.heard == 4
    assert found.song.codes.equal(pipe.generate(LYRICS, TAGS, **asdict(SHORT)).codes)
    for tries in (0, 33):
        with pytest.raises(UsageError, match="1 to 32 tries"):
            repair(pipe, tries=tries)


def test_a_stop_keeps_the_best_so_far(pipe: HeartMuLaGenPipeline):
    cancel = threading.Event()

    def stop(stage: str, done: int, total: int) -> None:
        if "singing" in stage and "try 2" in stage:
            cancel.set()

    found, ear = repair(pipe, (10, 60), (10, 40), progress=stop, cancel=cancel)
    assert found.stopped and found.song.complete and len(found.tries) == 1 and ear.heard == 2
    assert found.song.repaired and found.song.repaired["splices"] == [{"frames": 8, "seed": 6}]


def test_a_stop_in_the_first_take_keeps_what_was_sung(pipe: HeartMuLaGenPipeline):
    cancel = threading.Event()

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "singing" and done == 3:
            cancel.set()

    found, ear = repair(pipe, progress=stop, cancel=cancel)
    assert found.stopped and found.score is None and ear.heard == 0
    assert not found.song.complete and found.song.codes.shape[1] == 3


def test_lyrics_without_words_are_refused(pipe: HeartMuLaGenPipeline):
    with pytest.raises(UsageError, match="no words"):
        Repairs(pipe, Scripted())("[Instrumental]", TAGS, settings=SHORT)
    with pytest.raises(UsageError, match="not 'xx'"):
        Repairs(pipe)(LYRICS, TAGS, settings=SHORT, language="xx")


def test_what_is_sung_again_counts_as_if_at_the_bar():
    heard = adherence(30, 60)
    assert earliest_above(heard, 0.25) == 0 and earliest_above(heard, 0.25, 1) == 1
    assert earliest_above(heard, 0.3) == 1 and earliest_above(heard, 0.6) is None
    assert outlook(heard, 0, 0.25, more=True) == 30 + 25
    assert outlook(heard, 0, 0.25, more=False) == outlook(heard, 1, 0.25, more=True) == 90


def test_sections_begin_after_the_longest_rest_between_them():
    lyrics = [
        Section("Verse", ("the", "morning", "light")),
        Section("Chorus", ("on", "the", "sea")),
    ]
    heard = [
        Word("the", 2.0, 2.4),
        Word("morning", 2.5, 3.4),
        Word("lied", 3.5, 4.0),
        Word("an", 5.0, 5.2),
        Word("the", 5.3, 5.5),
        Word("sea", 5.6, 6.5),
    ]
    assert section_starts(lyrics, heard, 8.0) == pytest.approx([1.7, 4.7])
    close = [*heard[:3], Word("an", 4.1, 4.3), *heard[4:]]
    assert section_starts(lyrics, close, 8.0) == pytest.approx([1.7, 4.0])  # where "lied" ends
    assert section_starts(lyrics, [], 8.0) == [0.0, 0.0]


def test_a_try_is_described_for_the_table():
    from heartlib.cli.repairs import table
    from heartlib.pipelines.listening import SongScore

    scores = [SongScore(adherence(10, n), None, "", "en") for n in (30, 50)]
    tries = (Try(1, "Chorus", 150, 6, 90, 0.5, 0.3, True), Try(1, "", 150, 7, 0, 0.3, None, False))
    told = table(Repaired(None, *scores, tries)).splitlines()  # type: ignore[arg-type]
    assert told[1].split() == ["1", "0:12", "Chorus", "50.0%", "30.0%", "kept"]
    assert told[2].split() == ["2", "0:12", "-", "30.0%", "ended"]
    assert told[3].startswith("lyrics error: 30.0% in the first take, 20.0% now; phonemes, heard")
