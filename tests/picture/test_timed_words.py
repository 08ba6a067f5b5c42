"""Files of timed words: what `heartlib transcribe` writes comes back, and one line for anything else."""

from pathlib import Path

import pytest

from heartlib.errors import UsageError
from heartlib.hearttranscriptor.word_times import Word
from heartlib.picture.timed_words import read_words
from heartlib.pipelines.transcription import Transcription


@pytest.mark.parametrize("format", ["json", "lrc"])
@pytest.mark.parametrize(
    ("spaced", "texts"), [(True, ["oh", "the", "sea,"]), (False, ["我", "爱", "你"])]
)
def test_a_transcription_comes_back(tmp_path: Path, format: str, spaced: bool, texts: list[str]):
    times = [(61.0, 61.5), (61.5, 62.25), (70.0, 71.0)]
    words = tuple(Word(text, *time) for text, time in zip(texts, times, strict=True))
    path = tmp_path / f"words.{format}"
    path.write_text(Transcription(words, "", 90.0, spaced, {}).write(format), encoding="utf-8")
    assert read_words(path, 90.0) == list(words)


def test_plain_lrc_has_the_time_of_lines(tmp_path: Path):
    path = tmp_path / "words.lrc"
    path.write_text("[ti:a song]\n[00:01.50]one two\n[00:04.00]three\n")
    assert read_words(path, 9.0) == [Word("one two", 1.5, 4.0), Word("three", 4.0, 5.0)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("words.txt", "a", "give the .json or .lrc that"),
        ("words.json", "[", 'there is no "words" with'),
        ("words.json", "[]", 'there is no "words" with'),
        ("words.json", '{"words": [{"word": "a"}]}', 'there is no "words" with'),
        ("words.json", '{"words": [{"word": 1, "start": 0, "end": 1}]}', 'there is no "words"'),
        ("words.json", '{"words": [{"word": "a", "start": NaN, "end": 1}]}', 'there is no "words"'),
        ("words.json", '{"words": [{"word": "a", "start": 2, "end": 1}]}', 'there is no "words"'),
        (
            "words.json",
            '{"words": [{"word": "a", "start": 1, "end": 1%s}]}' % ("0" * 400),
            'there is no "w',
        ),
        ("words.lrc", "no times", "there is no line with a time"),
        ("words.lrc", "[01:30.00]late", "its words go on to 90 s and the song ends at 9 s"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, text: str, message: str):
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=message):
        read_words(tmp_path / name, 9.0)
    with pytest.raises(UsageError, match="there is no file"):
        read_words(tmp_path / "none.json", 9.0)
