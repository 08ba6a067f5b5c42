"""nano puts times to the true words of a song of the corpus, whatever it hears of them."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")

from heartlib import audio
from heartlib.errors import UsageError
from heartlib.hearttranscriptor.windows import RATE
from heartlib.pipelines import HeartTranscriptorPipeline, Transcription

DATA = Path(__file__).parents[1] / "data"
SONG = DATA / "song.ogg"
TRUE = json.loads((DATA / "song.json").read_text())["words"]
WORDS = [word["word"] for word in TRUE]
LYRICS = "[Verse]\n" + " ".join(WORDS[:9]).title() + ",\n\n[Chorus]\n" + " ".join(WORDS[9:]) + "!\n"


@pytest.fixture(scope="module")
def pipe() -> HeartTranscriptorPipeline:
    return HeartTranscriptorPipeline.from_pretrained("nano", "cpu")


@pytest.fixture(scope="module")
def found(pipe: HeartTranscriptorPipeline) -> Transcription:
    return pipe.align(SONG, LYRICS)


def in_order(found: Transcription) -> bool:
    edges = [edge for word in found.words for edge in (word.start, word.end)]
    return edges == sorted(edges) and edges[0] >= 0 and edges[-1] <= found.duration + 1e-6


def test_every_word_has_its_time(found: Transcription):
    late = [abs(word.start - true["start"]) for word, true in zip(found.words, TRUE, strict=True)]
    assert np.median(late) < 0.03 and np.quantile(late, 0.9) < 0.1
    assert found.language == "en" and in_order(found)


def test_lines_are_those_of_the_lyrics(found: Transcription):
    lines = [line for line in LYRICS.splitlines() if line and "[" not in line]
    assert found.write("txt").splitlines() == lines
    assert found.write("srt").count("-->") == 2
    assert found.write("lrc").count("\n[") == 2
    assert len(json.loads(found.write("json"))["words"]) == len(TRUE)


def test_words_that_are_not_heard_have_times_too(pipe: HeartTranscriptorPipeline):
    """A minute with a long rest, and a line that nobody sings."""
    mono = np.concatenate(list(audio.mono_blocks(SONG, RATE)))[: 10 * RATE]
    wave = np.concatenate([mono, np.zeros(40 * RATE, np.float32), mono])
    once = WORDS[:10]
    lyrics = " ".join(once) + "\nnobody — sings this\n" + " ".join(once)
    found = pipe.align(wave, lyrics, language="en")
    assert [word.text for word in found.words] == lyrics.split() and in_order(found)
    again = [word.start - 50 for word in found.words[-10:]]
    late = [abs(at - true["start"]) for at, true in zip(again, TRUE[:10], strict=True)]
    assert np.median(late) < 0.05


def test_more_words_than_the_decoder_has_room_for(pipe: HeartTranscriptorPipeline):
    wave = np.concatenate(list(audio.mono_blocks(SONG, RATE)))[: 3 * RATE]
    found = pipe.align(wave, "wonderful mountains " * 400, language="en")
    assert len(found.words) == 800 and in_order(found)


def test_what_cannot_be_aligned(pipe: HeartTranscriptorPipeline, tmp_path: Path):
    with pytest.raises(UsageError, match="the lyrics are empty"):
        pipe.align(SONG, "\n")
    with pytest.raises(UsageError, match="only section markers"):
        pipe.align(SONG, "[Verse]\n[Chorus]\n")
    for seconds in (0, 1):
        with pytest.raises(UsageError, match="the song is silent"):
            pipe.align(np.zeros(seconds * RATE, np.float32), "la la")
    with pytest.raises(UsageError, match="there is no sound file"):
        pipe.align(tmp_path / "none.mp3", "la la")
    with pytest.raises(UsageError, match="not 'xx'"):
        pipe.align(SONG, "la la", language="xx")
