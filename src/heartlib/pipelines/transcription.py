"""What was heard of a song, and the files that say it: plain text, JSON, SubRip and enhanced LRC.

Times are in seconds of the song.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from heartlib.errors import UsageError
from heartlib.hearttranscriptor.word_times import Word

FORMATS = ("txt", "json", "srt", "lrc")
PAUSE = 0.5  # seconds of silence that end a line
LONGEST = 48  # signs of a line that is not parted at its longest pause


@dataclass(frozen=True)
class Transcription:
    """The words of one song, none where nothing was heard; `duration` in seconds.

    language: its code, "" where it was not told and there was nothing to tell it by. spaced: whether
    words are written with spaces between them. model: name and weights hash. ends: how many words
    there are to the end of each line, where the lines are given.
    """

    words: tuple[Word, ...]
    language: str
    duration: float
    spaced: bool
    model: dict[str, str]
    ends: tuple[int, ...] | None = None

    @property
    def text(self) -> str:
        """All words in one line."""
        return self.join(list(self.words))

    @property
    def lines(self) -> list[list[Word]]:
        """The words, parted as given, or at pauses, and long lines at their longest pause."""
        words = list(self.words)
        if self.ends is not None:
            return [words[a:b] for a, b in pairwise([0, *self.ends])]
        ends = [at for at in range(1, len(words)) if _rest(words, at) >= PAUSE]
        lines = [words[a:b] for a, b in pairwise([0, *ends, len(words)])] if words else []
        return [part for line in lines for part in self._part(line)]

    def join(self, words: list[Word]) -> str:
        """Words as they are written side by side."""
        return (" " if self.spaced else "").join(word.text for word in words)

    def write(self, format: str) -> str:
        """The text of a file, `format` one of FORMATS; UsageError for another."""
        writers = {"txt": self._txt, "json": self._json, "srt": self._srt, "lrc": self._lrc}
        if format not in writers:
            raise UsageError(f"format {format!r} is not known; use one of {', '.join(FORMATS)}")
        return writers[format]()

    def to_dict(self) -> dict[str, Any]:
        """Everything, JSON-able."""
        words = [
            {"word": word.text, "start": round(word.start, 3), "end": round(word.end, 3)}
            for word in self.words
        ]
        return {
            "text": self.text,
            "language": self.language,
            "duration": round(self.duration, 3),
            "model": self.model,
            "words": words,
        }

    def _part(self, line: list[Word]) -> list[list[Word]]:
        """A line in lines of at most LONGEST signs, of one word at least."""
        if len(line) < 2 or len(self.join(line)) <= LONGEST:
            return [line]
        middle = len(line) / 2
        place = max(range(1, len(line)), key=lambda at: (_rest(line, at), -abs(at - middle)))
        return self._part(line[:place]) + self._part(line[place:])

    def _txt(self) -> str:
        return "".join(f"{self.join(line)}\n" for line in self.lines)

    def _json(self) -> str:
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=1) + "\n"

    def _srt(self) -> str:
        return "\n".join(
            f"{number}\n{_srt_time(line[0].start)} --> {_srt_time(line[-1].end)}\n{self.join(line)}\n"
            for number, line in enumerate(self.lines, 1)
        )

    def _lrc(self) -> str:
        head = f"[la:{self.language}]\n" if self.language else ""
        space = " " if self.spaced else ""
        lines = []
        for line in self.lines:
            tagged = space.join(f"<{_lrc_time(word.start)}>{space}{word.text}" for word in line)
            lines.append(
                f"[{_lrc_time(line[0].start)}]{space}{tagged}{space}<{_lrc_time(line[-1].end)}>\n"
            )
        return head + "".join(lines)


def _rest(words: list[Word], at: int) -> float:
    """Seconds of silence before a word, to the hundredth."""
    return round(words[at].start - words[at - 1].end, 2)


def _srt_time(seconds: float) -> str:
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02},{milliseconds:03}"


def _lrc_time(seconds: float) -> str:
    whole, hundredths = divmod(round(seconds * 100), 100)
    return f"{whole // 60:02}:{whole % 60:02}.{hundredths:02}"
