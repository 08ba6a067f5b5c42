"""One row a bar: what was found, what must be found, and how the same measure fares on true songs."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import binom, mannwhitneyu

from heartlib.evaluation.interval import ratio_interval
from heartlib.evaluation.measures import SongMeasures

MOST = 0.9
"""Share of songs that a detector, which errs too, must confirm."""
CHANCE = 0.05
JUMP = 99.0


@dataclass(frozen=True)
class Row:
    """name: what is measured. bar: what must be, "" where it is only reported; met is then None.

    true_songs: what the same measure says of true songs.
    """

    name: str
    bar: str
    figure: str
    met: bool | None
    true_songs: str
    values: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def pair_row(
    name: str,
    more: Sequence[SongMeasures],
    less: Sequence[SongMeasures],
    value: Callable[[SongMeasures], float],
    right: float | None,
) -> Row:
    """Whether `more` songs have larger values than `less`: a Mann–Whitney test, met at p < 0.05."""
    high, low = [value(song) for song in more], [value(song) for song in less]
    test = mannwhitneyu(high, low, alternative="greater")
    pairs = len(high) * len(low)
    figure = (
        f"{_spread(high)} / {_spread(low)}; {float(test.statistic):g} of {pairs} pairs, "
        f"p = {float(test.pvalue):.2g}"
    )
    return Row(
        name=name,
        bar=f"p < {CHANCE:g}",
        figure=figure,
        met=bool(test.pvalue < CHANCE),
        true_songs=percent(right),
        values={
            "more": high,
            "less": low,
            "pairs_right": float(test.statistic),
            "p": float(test.pvalue),
        },
    )


def share_row(name: str, right: Sequence[bool], true_songs: str, least: float | None = MOST) -> Row:
    """How many songs are as they should be; met where `least` of them are, None: only reported."""
    count, whole = int(sum(right)), len(right)
    return Row(
        name=name,
        bar=f"≥ {100 * least:.0f} %" if least else "",
        figure=f"{count} of {whole} ({percent(count / whole)})",
        met=count >= least * whole if least else None,
        true_songs=true_songs,
        values={"right": count, "songs": whole},
    )


def rate_row(
    name: str,
    errors: Sequence[float],
    wholes: Sequence[float],
    true_songs: str,
    most: float | None,
) -> Row:
    """Errors a phoneme over all songs, with its interval; met where at most `most`."""
    rate = sum(errors) / sum(wholes)
    low, high = ratio_interval(errors, wholes)
    return Row(
        name=name,
        bar=f"≤ {most:.2f}" if most else "",
        figure=f"{rate_text(rate, low, high)}, {len(errors)} songs",
        met=rate <= most if most else None,
        true_songs=true_songs,
        values={"rate": rate, "low": low, "high": high, "songs": len(errors)},
    )


def joins_row(songs: Sequence[SongMeasures], on_true_songs: float) -> Row:
    """Joins that jump more than 99 % of the beats; met where true songs would have as many (95 %)."""
    jumps = [jump for song in songs for jump in song.join_jumps]
    count = sum(jump > JUMP for jump in jumps)
    allowed = int(binom.ppf(1 - CHANCE, len(jumps), max(on_true_songs, 1 - JUMP / 100)))
    name = "jumps at window joins"
    if not jumps:
        return Row(name, "", "no song reaches a join", True, "", {"joins": 0})
    return Row(
        name=name,
        bar=f"≤ {allowed} above the 99th percentile",
        figure=f"{count} of {len(jumps)}",
        met=count <= allowed,
        true_songs=f"{100 * on_true_songs:.1f} %",
        values={"above": count, "joins": len(jumps), "allowed": allowed},
    )


def range_row(name: str, values: Sequence[float], low: float, high: float) -> Row:
    """Met where every song is between `low` and `high`."""
    met = all(low <= value <= high for value in values)
    bar = f"all {low:g} to {high:g}".replace("-", "−")
    return Row(name, bar, _spread(values), met, "", {"values": list(values)})


def most_row(name: str, values: Sequence[float], limit: float) -> Row:
    """Met where no song is above `limit`."""
    over = sum(value > limit for value in values)
    figure = f"at most {max(values):g}; {len(values) - over} of {len(values)} songs within"
    return Row(name, f"all ≤ {limit:g}", figure, over == 0, "", {"values": list(values)})


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = ["| what | bar | figure | met | on true songs |", "|---|---|---|---|---|"]
    words = {True: "yes", False: "no", None: ""}
    for row in rows:
        lines.append(
            f"| {row.name} | {row.bar} | {row.figure} | {words[row.met]} | {row.true_songs} |"
        )
    return "\n".join(lines)


def percent(rate: float | None) -> str:
    """A share for the table."""
    return "not known" if rate is None else f"{100 * rate:.0f} %"


def rate_text(rate: float, low: float, high: float) -> str:
    """An error rate and its interval for the table."""
    return f"{rate:.3f} ({low:.3f} to {high:.3f})"


def _spread(values: Sequence[float]) -> str:
    text = f"{np.median(values):.4g} ({min(values):.4g} to {max(values):.4g})"
    return text.replace("-", "−")
