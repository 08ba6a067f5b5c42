"""The corpus card: how much there is of what."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

_COUNTED = ("genre", "singer", "voice", "timbre", "mood", "mode", "main_instrument", "tempo_class")


def write_card(folder: Path, truths: Sequence[dict]) -> float:
    """Writes DIR/card.md from the truths; returns the seconds of music."""
    seconds = sum(truth["duration"] for truth in truths)
    (folder / "card.md").write_text(card(truths))
    return seconds


def card(truths: Sequence[dict]) -> str:
    """Markdown: amounts, then the share of songs by property and by tag as it is told."""
    count = max(len(truths), 1)
    seconds = sum(truth["duration"] for truth in truths)
    words = Counter(item["word"] for truth in truths for item in truth["words"])
    lines = [
        "# Corpus card",
        "",
        f"{len(truths)} songs, {seconds / 3600:.2f} hours, {seconds / count:.1f} s a song; "
        f"{sum(words.values())} sung words, {len(words)} different.",
        "Composed, sung (espeak-ng, WORLD) and played (FluidSynth) by heartlib.corpus.",
    ]
    for name in _COUNTED:
        lines += _table(name, Counter(str(truth[name]) for truth in truths), count)
    told = Counter(tag for truth in truths for tag in truth["tags"].split(","))
    lines += _table("tag as told", told, count)
    return "\n".join(lines) + "\n"


def _table(name: str, counter: Counter, count: int) -> list[str]:
    rows = [f"| {value} | {100 * hits / count:.1f} % |" for value, hits in counter.most_common()]
    return ["", f"| {name} | share of songs |", "|---|---|", *rows]
