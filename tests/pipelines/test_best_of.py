"""Several takes: how they are ranked, which is kept, and what a stop leaves."""

import threading
from pathlib import Path

import pytest
import torch

pytest.importorskip("jiwer")
pytest.importorskip("transformers")

from heartlib import HeartMuLaGenPipeline
from heartlib.errors import HeartlibError, UsageError
from heartlib.evaluation.adherence import Adherence
from heartlib.evaluation.alignment import Count
from heartlib.pipelines import listening
from heartlib.pipelines.best_of import Take, Takes, describe, ranks, take_seeds
from heartlib.pipelines.listening import Listeners, SongScore
from heartlib.pipelines.settings import GenerationSettings

LYRICS, TAGS = "[Verse]\nThe morning light is on the sea", "pop,female"
SHORT = GenerationSettings(max_audio_length_ms=400, num_steps=1, seed=5)


def score(errors: int, tags: float | None = None) -> SongScore:
    return SongScore(Adherence("phonemes", Count(errors, 100), ()), tags, "", "en")


class Scripted(Listeners):
    """Listeners that say what they are told to, one score after another."""

    def __init__(self, scores: list[SongScore]) -> None:
        self.scores = iter(scores)

    def prepare(self, lyrics: str, language: str | None = None) -> str | None:
        return "en"

    def __call__(self, *song: object) -> SongScore:
        return next(self.scores)


@pytest.fixture
def pipe(tiny_checkpoint: Path) -> HeartMuLaGenPipeline:
    return HeartMuLaGenPipeline.from_pretrained(tiny_checkpoint, device="cpu")


def test_lyrics_come_first_and_tags_second():
    assert ranks([score(30, 0.9), score(10, 0.1), score(20, 0.5)]) == [3, 1, 2]
    assert ranks([score(30, 0.1), score(30, 0.4), score(31, 0.9)]) == [3, 2, 1]  # 0.5 is 5 %
    assert ranks([score(30, 0.2), score(30, 0.2)]) == [1, 2]
    assert ranks([SongScore(None, 0.2), SongScore(None, 0.6), SongScore(None, -0.1)]) == [2, 1, 3]
    assert ranks([]) == []
    assert score(30, 0.2).value == pytest.approx(0.28) and score(30).value == pytest.approx(0.3)


def test_every_take_is_described():
    assert describe({7: score(30, 0.5), 8: SongScore(None, 0.25)}) == [
        {
            "seed": 7,
            "rank": 2,
            "score": 0.25,
            "lyrics_error": 0.3,
            "unit": "phonemes",
            "language": "en",
            "tag_similarity": 0.5,
        },
        {"seed": 8, "rank": 1, "score": -0.025, "tag_similarity": 0.25},
    ]


def test_seeds_follow_each_other():
    assert take_seeds(7, 3) == [7, 8, 9]
    assert take_seeds(2**63 - 2, 2)[-1] == 2**63 - 1
    drawn = take_seeds(None, 16)
    assert drawn == list(range(drawn[0], drawn[0] + 16)) and drawn != take_seeds(None, 16)
    for count in (1, 17):
        with pytest.raises(UsageError, match="2 to 16 takes"):
            take_seeds(7, count)
    with pytest.raises(UsageError, match=r"below 2\*\*63"):
        take_seeds(2**63 - 1, 2)


def test_the_best_is_kept_and_is_the_song_of_its_seed(pipe: HeartMuLaGenPipeline):
    stages: list[str] = []
    done: list[Take] = []
    takes = Takes(pipe, Scripted([score(30, 0.5), score(10, 0.5), score(20, 0.5)]))
    best = takes(
        LYRICS,
        TAGS,
        count=3,
        settings=SHORT,
        progress=lambda stage, *_: stages.append(stage),
        finished=done.append,
    )
    assert list(best.scores) == [5, 6, 7] and best.song.seed == 6
    assert [take.song.seed for take in done] == [5, 6, 7]
    alone = pipe.generate(LYRICS, TAGS, max_audio_length_ms=400, num_steps=1, seed=6)
    assert torch.equal(alone.waveform, best.song.waveform)
    held = best.song.metadata()["scores"]
    assert held["lyrics_error"] == 0.1 and [take["rank"] for take in held["takes"]] == [3, 1, 2]
    assert done[0].song.metadata()["scores"]["lyrics_error"] == 0.3
    assert "scores" not in alone.metadata()
    assert list(dict.fromkeys(stages)) == [
        f"take {number} of 3, {stage}"
        for number in (1, 2, 3)
        for stage in ("singing", "decoding", "listening")
    ]


@pytest.mark.parametrize("stage", ["singing", "decoding", "listening"])
def test_a_stop_keeps_the_best_of_the_finished_takes(pipe: HeartMuLaGenPipeline, stage: str):
    cancel = threading.Event()

    def stop(told: str, done: float, total: float) -> None:
        if told == f"take 3 of 4, {stage}":
            cancel.set()

    listeners = Scripted([score(20, 0.5), score(30, 0.5), score(10, 0.5)])
    best = Takes(pipe, listeners)(
        LYRICS, TAGS, count=4, settings=SHORT, progress=stop, cancel=cancel
    )
    # one window is decoded whole, so only a stop while singing loses the third take
    finished, kept = ([5, 6], 5) if stage == "singing" else ([5, 6, 7], 7)
    assert list(best.scores) == finished and best.song.seed == kept and best.song.complete


def test_a_stop_in_the_first_take_keeps_what_was_sung(pipe: HeartMuLaGenPipeline):
    cancel = threading.Event()

    def stop(told: str, done: float, total: float) -> None:
        if told.endswith("singing") and done == 2:
            cancel.set()

    best = Takes(pipe, Scripted([]))(LYRICS, TAGS, settings=SHORT, progress=stop, cancel=cancel)
    assert best.scores == {} and not best.song.complete and 0 < best.song.codes.shape[1] < 5


def test_nanos_listeners_stand_in_and_instrumental_songs_go_by_tags(
    pipe: HeartMuLaGenPipeline, monkeypatch: pytest.MonkeyPatch
):
    takes = Takes(pipe)
    assert takes.listeners.clap_folder.parent.name == "nano"
    assert takes.listeners.transcriptor_folder.parent.name == "nano"
    monkeypatch.setattr(listening, "find_spec", lambda name: None)  # words are not listened to
    best = takes("[Instrumental]", TAGS, count=2, settings=SHORT)
    assert all(found.lyrics is None and found.tags is not None for found in best.scores.values())
    likest = max(best.scores, key=lambda seed: best.scores[seed].tags or 0)
    assert best.song.seed == likest
    with pytest.raises(HeartlibError, match=r"transformers and jiwer.*transcribe,evaluation"):
        takes(LYRICS, TAGS, count=2, settings=SHORT)


def test_a_familys_own_listeners_are_taken(tmp_path: Path):
    from heartlib import checkpoints

    (tmp_path / "HeartCLAP-oss").symlink_to(checkpoints.NANO / "HeartCLAP-oss")
    listeners = Listeners(tmp_path)
    assert listeners.clap_folder == tmp_path / "HeartCLAP-oss"
    assert listeners.transcriptor_folder == checkpoints.NANO / "HeartTranscriptor-oss"
