"""Which section of the lyrics is being sung: a guess by the words that a singer has time for."""

from __future__ import annotations

import re

MARKER = re.compile(r"\s*\[([^\]\n]{1,40})\]\s*")
WORD_SECONDS = 0.5
LINE_SECONDS = 0.5  # of rest after a line
WORDLESS_SECONDS = 8.0


class Sections:
    """The sections of lyrics in their order, each with the seconds that it is guessed to take."""

    def __init__(self, lyrics: str) -> None:
        self._parts: list[tuple[str, float]] = []
        name, seconds = "", 0.0
        for line in [*lyrics.split("\n"), None]:
            marker = None if line is None else MARKER.fullmatch(line)
            if line is not None and marker is None:
                words = len(line.split())
                seconds += words * WORD_SECONDS + bool(words) * LINE_SECONDS
                continue
            if name or seconds:
                self._parts.append((name, seconds or WORDLESS_SECONDS))
            name, seconds = marker[1] if marker else "", 0.0

    def at(self, seconds: float) -> str | None:
        """The name of the section that is sung at a moment; the last one's after the end, None where there is none."""
        for name, lasts in self._parts:
            if seconds < lasts:
                return name or None
            seconds -= lasts
        return self._parts[-1][0] or None if self._parts else None
