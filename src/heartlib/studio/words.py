"""What the page says of a song, in text and in elements that the page's scripts bring to life."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from heartlib.serving.store import SongRow
from heartlib.studio.section_starts import sung_sections

STATES = {"waiting": "waits", "singing": "is sung", "failed": "failed", "cancelled": "cancelled"}
TITLE = 36  # signs


def title(row: SongRow) -> str:
    """The first line that is sung."""
    lines = [line.strip() for line in row.request["lyrics"].splitlines()]
    sung = [line for line in lines if line and not line.startswith("[")]
    text = sung[0] if sung else row.request["tags"]
    return text if len(text) <= TITLE else text[: TITLE - 1] + "…"


def label(row: SongRow) -> str:
    """One line in the list of songs."""
    seconds = (row.result or {}).get("seconds")
    state = (
        STATES.get(row.status, "")
        if seconds is None
        else f"{seconds // 60:.0f}:{seconds % 60:02.0f}"
    )
    about = [state, f"seed {row.request['settings']['seed']}"]
    kept = row.request.get("kept")
    if kept:
        start = kept.get("from")
        about.append("goes on" if start is None else f"goes on from {start:.1f} s")
    return f"{title(row)} · {' · '.join(about)}"


def sections(row: SongRow) -> list[tuple[str, int]]:
    """The sections of a song that can be sung again: what they are called, and their number."""
    return [
        (f"{number + 1}. {name or 'Beginning'}", number)
        for number, (name, _) in enumerate(sung_sections(row.request["lyrics"]))
    ]


def player(row: SongRow | None, *, play: bool = False) -> str:
    """The element that follows and plays a song."""
    if row is None:
        return '<p class="empty">A song that you make, or choose from your songs, plays here.</p>'
    start = " autoplay" if play else ""
    return f'<heartlib-player song="{row.id}" name="{escape(title(row))}"{start}></heartlib-player>'


def compare(first: SongRow | None, second: SongRow | None) -> str:
    """The element that plays two songs by turns; empty without two."""
    if first is None or second is None:
        return '<p class="empty">Choose a song for A and one for B.</p>'
    names = f'a-name="{escape(label(first))}" b-name="{escape(label(second))}"'
    return f'<heartlib-compare a="{first.id}" b="{second.id}" {names}></heartlib-compare>'


def choices(rows: Sequence[SongRow]) -> list[tuple[str, str]]:
    """Songs for a list."""
    return [(label(row), row.id) for row in rows]
