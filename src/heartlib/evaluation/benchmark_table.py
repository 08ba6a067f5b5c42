"""The table of a benchmark: a row a language and one of all, each figure with its interval over items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from heartlib.corpus.lexicon import LANGUAGES
from heartlib.evaluation.adherence import CHARACTERS, PHONEMES, WORDS
from heartlib.evaluation.aesthetics import AXES
from heartlib.evaluation.benchmark_song import SongResult
from heartlib.evaluation.card import SILENCE
from heartlib.evaluation.interval import ratio_interval
from heartlib.evaluation.structure import FOUND

BY_CHARACTERS = ("zh", "ja", "yue", "th")
"""Languages without spaces between words: their errors are told in characters, those of others in words."""
ALL = "all"

Part = tuple[float, float]
"""What a song adds to a figure, and to what the figure is a share of."""


@dataclass(frozen=True)
class Figure:
    """A value and its 95 % interval over items; low and high None where there is one item only."""

    value: float
    low: float | None
    high: float | None
    items: int


@dataclass(frozen=True)
class Line:
    """A row: a language, or "all". figures: by the key of their metric, only those that there are."""

    language: str
    items: int
    songs: int
    figures: dict[str, Figure]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Metric:
    """A column. of: what a song adds, None where it has no such figure. form: of a value."""

    key: str
    title: str
    of: Callable[[SongResult], Part | None]
    form: str = ".3f"


def _errors(unit: str, song: SongResult) -> Part | None:
    count = song.units.get(unit)
    return (count.errors, count.phonemes) if count and count.phonemes else None


def _words(song: SongResult) -> Part | None:
    return None if song.language in BY_CHARACTERS else _errors(WORDS, song)


def _characters(song: SongResult) -> Part | None:
    return _errors(CHARACTERS, song) if song.language in BY_CHARACTERS else None


def _sections(song: SongResult) -> Part | None:
    kept = [count.rate <= FOUND for _, count in song.sections]
    return (sum(kept), len(kept)) if kept else None


def _value(value: float | None) -> Part | None:
    return None if value is None else (value, 1.0)


def _axis(axis: str) -> Metric:
    return Metric(axis, axis, lambda song: _value((song.aesthetics or {}).get(axis)), ".2f")


METRICS = (
    Metric("per", "PER", lambda song: _errors(PHONEMES, song)),
    Metric("wer", "WER", _words),
    Metric("cer", "CER", _characters),
    Metric("sections", "sections kept", _sections, ".0%"),
    Metric("tags", "tag similarity", lambda song: _value(song.tags)),
    Metric(
        "no_silence", "no silence", lambda song: _value(song.measures["silence"] <= SILENCE), ".0%"
    ),
    Metric("no_clipping", "no clipping", lambda song: _value(not song.measures["clipped"]), ".0%"),
    Metric("ended", "ends by itself", lambda song: _value(song.ended), ".0%"),
    *map(_axis, AXES),
)


def lines(songs: Sequence[SongResult]) -> list[Line]:
    """A row of each language, in the order of the corpus and then of the alphabet, and one of all."""
    order = {language: place for place, language in enumerate(LANGUAGES)}
    languages = sorted(
        {song.language for song in songs}, key=lambda code: (order.get(code, len(order)), code)
    )
    found = [line(code, [song for song in songs if song.language == code]) for code in languages]
    return [*found, line(ALL, songs)] if found else []


def line(name: str, songs: Sequence[SongResult]) -> Line:
    """One row of songs: of each figure the sum over items of the mean over an item's songs."""
    figures: dict[str, Figure] = {}
    items: dict[str, list[SongResult]] = {}
    for song in songs:
        items.setdefault(song.item, []).append(song)
    for metric in METRICS:
        parts: list[Part] = []
        for group in items.values():
            known = [part for part in map(metric.of, group) if part is not None]
            if known:
                parts.append((fmean(part[0] for part in known), fmean(part[1] for part in known)))
        if parts:
            figures[metric.key] = _figure([top for top, _ in parts], [whole for _, whole in parts])
    return Line(name, len(items), len(songs), figures)


def _figure(tops: Sequence[float], wholes: Sequence[float]) -> Figure:
    low, high = ratio_interval(tops, wholes) if len(tops) > 1 else (None, None)
    return Figure(sum(tops) / sum(wholes), low, high, len(tops))


def table(rows: Sequence[Line]) -> str:
    """Markdown; only columns of which some row has a figure."""
    shown = [metric for metric in METRICS if any(metric.key in row.figures for row in rows)]
    titles = ["language", "items", "songs", *(metric.title for metric in shown)]
    out = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for row in rows:
        cells = [_cell(row.figures.get(metric.key), metric.form) for metric in shown]
        out.append(f"| {' | '.join([row.language, str(row.items), str(row.songs), *cells])} |")
    return "\n".join(out)


def _cell(figure: Figure | None, form: str) -> str:
    if figure is None:
        return ""
    value = _number(figure.value, form)
    if figure.low is None or figure.high is None:
        return value
    return f"{value} ({_number(figure.low, form)} to {_number(figure.high, form)})"


def _number(value: float, form: str) -> str:
    return format(value, form).replace("-", "−").replace("%", " %")
