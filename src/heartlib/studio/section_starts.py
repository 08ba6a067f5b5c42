"""When the sections of a finished song begin, from its lyrics with times."""

from __future__ import annotations

import re

from heartlib.serving.sections import MARKER

STAMP = re.compile(r"\[(\d{1,5}):(\d{1,2}\.\d{2})\]")
LEAD = 0.3
"""Seconds before its first word that a section begins."""
SHORTEST = 0.08


def sung_sections(lyrics: str) -> list[tuple[str, int]]:
    """The sections with words, in order: the name, and how many lines are sung before it."""
    found: list[tuple[str, int]] = []
    name, lines, begun = "", 0, False
    for line in lyrics.splitlines():
        marker = MARKER.fullmatch(line)
        if marker is not None:
            name, begun = marker[1], False
        elif line.strip():
            if not begun:
                found.append((name, lines))
                begun = True
            lines += 1
    return found


def section_starts(lyrics: str, lrc: str) -> list[float | None]:
    """The second at which each section with words begins; None where that is the song's own begin.

    lrc: the song's words with times, one line for each of the lyrics that is sung.
    """
    stamps = [STAMP.match(line) for line in lrc.splitlines()]
    times = [60 * int(stamp[1]) + float(stamp[2]) for stamp in stamps if stamp]
    starts = [
        max(0.0, times[min(line, len(times) - 1)] - LEAD) if times else 0.0
        for _, line in sung_sections(lyrics)
    ]
    return [start if start >= SHORTEST else None for start in starts]
