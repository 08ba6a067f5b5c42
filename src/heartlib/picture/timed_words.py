"""The words of a song and when they are sung: from a file of `heartlib transcribe`."""

import json
import math
import os
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

from heartlib.errors import UsageError
from heartlib.hearttranscriptor.word_times import Word
from heartlib.pipelines.inputs import read_text

LAST = 1.0  # seconds of a word whose end no file tells
BEYOND = 1.0  # seconds that words may go beyond their song: files round
STAMP = re.compile(r"[\[<](\d{1,5}):(\d{1,2}(?:[.:]\d{1,6})?)[\]>]")


def read_words(path: str | Path, duration: float) -> list[Word]:
    """The words of a .json or .lrc file, in order of time; UsageError for any other or a longer song's."""
    path = Path(os.path.expanduser(path))
    readers = {".json": _read_json, ".lrc": _read_lrc}
    if path.suffix.lower() not in readers:
        raise UsageError(
            f"--words {path}: give the .json or .lrc that `heartlib transcribe` writes"
        )
    words = sorted(readers[path.suffix.lower()](path), key=lambda word: word.start)
    if words and words[-1].start > duration + BEYOND:
        raise UsageError(
            f"--words {path}: its words go on to {words[-1].start:.0f} s and the song ends at "
            f"{duration:.0f} s; are they another song's?"
        )
    return words


def _read_json(path: Path) -> list[Word]:
    text = read_text(path, "--words")
    try:
        return [_word(entry) for entry in json.loads(text)["words"]]
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise UsageError(
            f'--words {path}: there is no "words" with "word", "start" and "end" in it, '
            "as `heartlib transcribe --format json` writes them"
        ) from None


def _word(entry: Any) -> Word:
    """One word of a JSON file; raises TypeError, KeyError or ValueError for what is none."""
    text, start, end = entry["word"], float(entry["start"]), float(entry["end"])
    if not isinstance(text, str) or not 0 <= start <= end < math.inf:
        raise ValueError(entry)
    return Word(text, start, end)


def _read_lrc(path: Path) -> list[Word]:
    """The words of enhanced LRC; the whole line where a line's time is the only one."""
    stamps: list[tuple[float, str]] = []  # a time, and what is sung from there to the next
    for line in read_text(path, "--words").splitlines():
        found = list(STAMP.finditer(line))
        for at, stamp in enumerate(found):
            end = found[at + 1].start() if at + 1 < len(found) else len(line)
            seconds = 60 * int(stamp[1]) + float(stamp[2].replace(":", "."))
            stamps.append((seconds, line[stamp.end() : end].strip()))
    if not stamps:
        raise UsageError(f"--words {path}: there is no line with a time, [00:05.60] …, in it")
    last = stamps[-1][0] + LAST
    return [
        Word(text, start, max(start, end))
        for (start, text), (end, _) in pairwise([*stamps, (last, "")])
        if text
    ]
