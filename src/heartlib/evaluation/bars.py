"""What a model's songs show, against what they must show: one row a bar, and the table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import binom, mannwhitneyu

from heartlib.evaluation.judges import Judges
from heartlib.evaluation.measures import SongMeasures
from heartlib.evaluation.timbre import contrast

LOUDNESS = (-24.0, -9.0)
SILENCE = 1.0
MOST = 0.9
"""Share of songs that a detector, which errs too, must confirm."""
CHANCE = 0.05
JUMP = 99.0


@dataclass(frozen=True)
class Row:
    """One bar: what was found, whether that is enough, and how often the measurement is right."""

    bar: str
    figure: str
    met: bool
    true_songs: str
    values: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def judge(results: Mapping[str, Sequence[SongMeasures]], judges: Judges) -> list[Row]:
    """All rows for the songs of `trials.sing`."""
    songs = [song for row in results.values() for song in row]
    sung = [song for name, row in results.items() if name != "instrumental" for song in row]
    rate = judges.calibration
    return [
        _range("loudness, LUFS", [song.loudness for song in songs], *LOUDNESS),
        _most("clipped samples", [song.clipped for song in songs], 0),
        _most("longest silence inside, s", [song.silence for song in songs], SILENCE),
        joins_row(songs, rate["join_jumps"]),
        _most("clicks at joins", [song.join_clicks for song in songs], 0),
        share_row("a voice in songs with lyrics", [song.sung for song in sung], rate.get("voice")),
        share_row(
            "no voice in [Instrumental]",
            [not song.sung for song in results["instrumental"]],
            rate.get("voice_absent"),
        ),
        pair_row(
            "fast / slow: tempo, bpm",
            results["fast"],
            results["slow"],
            lambda song: song.tempo,
            rate.get("tempo"),
        ),
        pair_row(
            "female / male: voice pitch, Hz",
            results["female"],
            results["male"],
            lambda song: song.voice_pitch or 0.0,
            rate.get("singer"),
        ),
        pair_row(
            "guitar / piano: timbre, nepers",
            results["guitar"],
            results["female"],
            lambda song: contrast(song.instruments, "guitar", "piano"),
            rate.get("main_instrument"),
        ),
        share_row(
            "tempo class as told",
            [song.tempo_class == name for name in ("fast", "slow") for song in results[name]],
            rate.get("tempo_class"),
        ),
        share_row(
            "singer as told",
            [song.singer == name for name in ("female", "male") for song in results[name]],
            rate.get("singer"),
        ),
        share_row(
            "main instrument as told",
            [song.main_instrument == "piano" for song in results["female"]]
            + [song.main_instrument == "guitar" for song in results["guitar"]],
            rate.get("main_instrument"),
        ),
    ]


def pair_row(
    bar: str,
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
        bar=bar,
        figure=figure,
        met=bool(test.pvalue < CHANCE),
        true_songs=_percent(right),
        values={
            "more": high,
            "less": low,
            "pairs_right": float(test.statistic),
            "p": float(test.pvalue),
        },
    )


def share_row(bar: str, right: Sequence[bool], on_true_songs: float | None) -> Row:
    """How many songs are as they should be; met where 90 % are."""
    count = int(sum(right))
    return Row(
        bar=bar,
        figure=f"{count} of {len(right)}",
        met=count >= MOST * len(right),
        true_songs=_percent(on_true_songs),
        values={"right": count, "songs": len(right)},
    )


def joins_row(songs: Sequence[SongMeasures], on_true_songs: float) -> Row:
    """Joins that jump more than 99 % of the beats; met where true songs would have as many (95 %)."""
    jumps = [jump for song in songs for jump in song.join_jumps]
    count = sum(jump > JUMP for jump in jumps)
    allowed = int(binom.ppf(1 - CHANCE, len(jumps), max(on_true_songs, 1 - JUMP / 100)))
    if not jumps:
        return Row("jumps at window joins", "no song reaches a join", True, "", {"joins": 0})
    return Row(
        bar="jumps at window joins",
        figure=f"{count} of {len(jumps)} above the 99th percentile, {allowed} allowed",
        met=count <= allowed,
        true_songs=f"{100 * on_true_songs:.1f} % above",
        values={"above": count, "joins": len(jumps), "allowed": allowed},
    )


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = ["| bar | figure | met | right on true songs |", "|---|---|---|---|"]
    for row in rows:
        met = "yes" if row.met else "no"
        lines.append(f"| {row.bar} | {row.figure} | {met} | {row.true_songs} |")
    return "\n".join(lines)


def _range(bar: str, values: Sequence[float], low: float, high: float) -> Row:
    figure = f"{_spread(values)}; allowed {low:g} to {high:g}"
    met = all(low <= value <= high for value in values)
    return Row(bar, figure, met, "", {"values": list(values)})


def _most(bar: str, values: Sequence[float], limit: float) -> Row:
    over = sum(value > limit for value in values)
    figure = (
        f"at most {max(values):g}; {len(values) - over} of {len(values)} songs within {limit:g}"
    )
    return Row(bar, figure, over == 0, "", {"values": list(values)})


def _spread(values: Sequence[float]) -> str:
    return f"{np.median(values):.4g} ({min(values):.4g} to {max(values):.4g})"


def _percent(rate: float | None) -> str:
    return "not known" if rate is None else f"{100 * rate:.0f} %"
