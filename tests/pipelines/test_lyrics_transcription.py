"""nano hears a true song of the corpus: its words, and when they are sung."""

import difflib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")

from heartlib import audio, checkpoints
from heartlib.errors import CheckpointError, HeartlibError, UsageError
from heartlib.hearttranscriptor.windows import RATE
from heartlib.pipelines import HeartTranscriptorPipeline, Transcription

DATA = Path(__file__).parents[1] / "data"
SONG = DATA / "song.ogg"
SCRIPT = Path(__file__).parents[2] / "examples" / "run_lyrics_transcription.py"


@pytest.fixture(scope="module")
def pipe() -> HeartTranscriptorPipeline:
    return HeartTranscriptorPipeline.from_pretrained("nano", "cpu")


@pytest.fixture(scope="module")
def heard(pipe: HeartTranscriptorPipeline) -> Transcription:
    return pipe(SONG)


def test_it_hears_the_language_and_most_words(heard: Transcription):
    true = [word["word"].lower() for word in json.loads((DATA / "song.json").read_text())["words"]]
    found = [word.text for word in heard.words]
    assert heard.language == "en"
    assert difflib.SequenceMatcher(None, true, found, autojunk=False).ratio() > 0.8
    assert heard.text == " ".join(found)


def test_words_start_when_they_are_sung(heard: Transcription):
    true = json.loads((DATA / "song.json").read_text())["words"]
    names = [word["word"].lower() for word in true], [word.text for word in heard.words]
    matches = difflib.SequenceMatcher(None, *names, autojunk=False).get_matching_blocks()
    late = [
        abs(heard.words[match.b + at].start - true[match.a + at]["start"])
        for match in matches
        for at in range(match.size)
    ]
    assert len(late) > 15 and np.median(late) < 0.04


def test_times_are_in_order_and_inside(heard: Transcription):
    edges = [edge for word in heard.words for edge in (word.start, word.end)]
    assert edges == sorted(edges)
    assert edges[0] >= 0 and edges[-1] <= heard.duration
    assert heard.duration == pytest.approx(audio.duration(SONG), abs=0.01)


def test_batched_is_alone_and_silence_between_is_kept(
    pipe: HeartTranscriptorPipeline, heard: Transcription
):
    mono = np.concatenate(list(audio.mono_blocks(SONG, RATE)))[: 6 * RATE]
    wave = np.concatenate([mono, np.zeros(25 * RATE, np.float32), mono])
    alone = pipe(wave, language="en")
    pipe.batch = 4
    together = pipe(wave, language="en")
    pipe.batch = 1
    assert together.text == alone.text
    half = len(alone.words) // 2
    assert [w.text for w in alone.words[:half]] == [w.text for w in alone.words[half:]]
    pairs = zip(alone.words[:half], alone.words[half:], strict=True)
    later = [second.start - first.start for first, second in pairs]
    assert np.median(later) == pytest.approx(31, abs=0.05)


def test_any_channels_and_rate(
    pipe: HeartTranscriptorPipeline, heard: Transcription, tmp_path: Path
):
    import soundfile

    mono = np.concatenate(list(audio.mono_blocks(SONG, 192_000)))[: 5 * 192_000]
    soundfile.write(tmp_path / "six.wav", np.repeat(mono[:, None], 6, axis=1), 192_000)
    soundfile.write(tmp_path / "eight.wav", audio.resample(mono[None], 192_000, 8000)[0], 8000)
    six, eight = (pipe(tmp_path / f"{name}.wav", language="en") for name in ("six", "eight"))
    assert six.text.split()[:4] == heard.text.split()[:4]
    assert eight.words  # without what is above 4 kHz other words are heard


def test_silence_has_no_words(pipe: HeartTranscriptorPipeline):
    for seconds in (0, 1):
        found = pipe(np.zeros(seconds * RATE, np.float32))
        assert (found.text, found.language, found.lines) == ("", "", [])
        assert [found.write(format) for format in ("txt", "srt", "lrc")] == [""] * 3


def test_what_cannot_be_heard(pipe: HeartTranscriptorPipeline, tmp_path: Path):
    import soundfile

    (tmp_path / "words.mp3").write_text("words")
    nan = np.full(RATE, np.nan, np.float32)
    soundfile.write(tmp_path / "nan.wav", nan, RATE, subtype="FLOAT")
    with pytest.raises(UsageError, match="there is no sound file"):
        pipe(tmp_path / "none.wav")
    with pytest.raises(HeartlibError, match="cannot be read as sound"):
        pipe(tmp_path / "words.mp3")
    with pytest.raises(HeartlibError, match="not finite"):
        pipe(tmp_path / "nan.wav")
    with pytest.raises(UsageError, match="finite numbers"):
        pipe(nan)
    with pytest.raises(UsageError, match="knows en, es, ja, ko, zh, not 'xx'"):
        pipe(SONG, language="xx")


def test_where_the_model_is(tmp_path: Path):
    nano = checkpoints.NANO
    found = nano / "HeartTranscriptor-oss"
    assert checkpoints.find_transcriptor("nano") == found
    assert checkpoints.find_transcriptor(nano) == checkpoints.find_transcriptor(found) == found
    for wrong in (tmp_path, tmp_path / "none", nano / "HeartCodec-oss"):
        with pytest.raises(CheckpointError, match=r"no (transcriptor|checkpoint folder) at"):
            checkpoints.find_transcriptor(wrong)


def test_the_published_script(tmp_path: Path):
    flags = ["--model_path", "none", "--music_path", str(SONG)]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *flags], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: no checkpoint folder at 'none'; give a folder, 'nano'")
    assert done.stderr.count("\n") == 1
