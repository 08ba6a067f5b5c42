"""The corpus card: how much there is of what."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from heartlib.corpus.styles import tags_by_category

_CATEGORIES = {
    "genre": "genre",
    "timbre": "timbre",
    "singer": "singer",
    "mood": "mood",
    "instrument": "main_instrument",
    "tempo": "tempo_class",
}
"""Where the truth keeps each category of the tags."""
_COUNTED = ("language", "voice", "mode", "meter")


def write_card(folder: Path, truths: Sequence[dict]) -> float:
    """Writes DIR/card.md from the truths; returns the seconds of music."""
    seconds = sum(truth["duration"] for truth in truths)
    (folder / "card.md").write_text(card(truths))
    return seconds


def card(truths: Sequence[dict]) -> str:
    """Markdown: amounts, then the share of songs by tag and by what no tag tells."""
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
    told = Counter(tag for truth in truths for tag in truth["tags"].split(","))
    for category, tags in tags_by_category().items():
        true = Counter(str(truth[_CATEGORIES[category]]) for truth in truths)
        if category == "singer":
            true["instrumental"] = true.pop("none", 0)
        lines += _tags(category, tags, true, told, count)
    for name in _COUNTED:
        lines += _table(name, Counter(str(truth[name]) for truth in truths), count)
    second = Counter(truth["doubled"]["kind"] if truth["doubled"] else "none" for truth in truths)
    lines += _table("second take", second, count)
    return "\n".join(lines) + "\n"


def _tags(
    category: str, tags: Sequence[str], true: Counter, told: Counter, count: int
) -> list[str]:
    """A row for every tag of a category, the absent ones too."""
    rows = [
        f"| {tag} | {100 * true[tag] / count:.1f} % | {100 * told[tag] / count:.1f} % |"
        for tag in sorted(tags, key=lambda tag: -true[tag])
    ]
    return ["", f"| {category} | share of songs | told by a tag |", "|---|---|---|", *rows]


def _table(name: str, counter: Counter, count: int) -> list[str]:
    rows = [f"| {value} | {100 * hits / count:.1f} % |" for value, hits in counter.most_common()]
    return ["", f"| {name} | share of songs |", "|---|---|", *rows]
