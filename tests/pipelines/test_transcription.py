"""The files that say what was heard."""

import json

import pytest

from heartlib.errors import UsageError
from heartlib.hearttranscriptor.word_times import Word
from heartlib.pipelines import Transcription

MODEL = {"name": "nano", "hash": "0" * 12}
HEARD = Transcription(
    words=(Word("low", 61.204, 61.5), Word("tide", 61.5, 62.0), Word("rolls", 63.999, 64.5)),
    language="en",
    duration=3700.0,
    spaced=True,
    model=MODEL,
)


def test_text_and_json():
    assert HEARD.write("txt") == "low tide\nrolls\n"
    found = json.loads(HEARD.write("json"))
    assert found["words"][0] == {"word": "low", "start": 61.204, "end": 61.5}
    assert (found["text"], found["language"], found["model"]) == ("low tide rolls", "en", MODEL)


def test_subrip():
    assert HEARD.write("srt") == (
        "1\n00:01:01,204 --> 00:01:02,000\nlow tide\n\n2\n00:01:03,999 --> 00:01:04,500\nrolls\n"
    )


def test_enhanced_lrc():
    assert HEARD.write("lrc") == (
        "[la:en]\n[01:01.20] <01:01.20> low <01:01.50> tide <01:02.00>\n"
        "[01:04.00] <01:04.00> rolls <01:04.50>\n"
    )


def test_signs_stand_side_by_side():
    signs = (Word("春", 0.0, 0.5), Word("天", 0.5, 1.0))
    heard = Transcription(signs, "zh", 1.0, spaced=False, model=MODEL)
    assert heard.text == "春天"
    assert heard.write("lrc") == "[la:zh]\n[00:00.00]<00:00.00>春<00:00.50>天<00:01.00>\n"


def test_long_lines_are_parted():
    words = tuple(Word("wanderer", at * 0.5, at * 0.5 + 0.5) for at in range(3000))
    heard = Transcription(words, "en", 1500.0, spaced=True, model=MODEL)
    assert [word for line in heard.lines for word in line] == list(words)
    assert all(len(heard.join(line)) <= 48 for line in heard.lines)


def test_another_format():
    with pytest.raises(UsageError, match="format 'doc' is not known; use one of txt, json"):
        HEARD.write("doc")
