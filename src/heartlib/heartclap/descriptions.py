"""What is said of a song: its tags, or a sentence, with some of it left out."""

from __future__ import annotations

import random
from typing import Any

FIELDS = ("genre", "timbre", "singer", "mood", "main_instrument", "tempo_class", "language")
NAMES = {"en": "english", "es": "spanish", "zh": "mandarin", "ja": "japanese", "ko": "korean"}
SINGERS = {
    "female": ("a woman sings", "sung by a woman", "with a female voice"),
    "male": ("a man sings", "sung by a man", "with a male voice"),
    "none": ("nobody sings", "without a voice", "instrumental music"),
}
INSTRUMENTS = ("with {}", "played on {}", "{} in front", "led by {}")


def facts(truth: dict[str, Any]) -> dict[str, str]:
    """What a song's truth says in words; nothing about the voice where nobody sings."""
    sung = truth["singer"] != "none"
    known = {name: str(truth[name]) for name in FIELDS if name in truth}
    if not sung:
        known.pop("timbre", None)
        known.pop("language", None)
    return {name: NAMES.get(value, value) for name, value in known.items()}


def describe(known: dict[str, str], rng: random.Random, left_out: float) -> str:
    """Tags or a sentence of what is known, each fact left out with a chance, at least one kept."""
    kept = {name: value for name, value in known.items() if rng.random() >= left_out}
    if not kept:
        name = rng.choice(list(known))
        kept = {name: known[name]}
    return tags(kept, rng) if rng.random() < 0.5 else sentence(kept, rng)


def tags(kept: dict[str, str], rng: random.Random) -> str:
    """The facts as tags in any order."""
    told = ["instrumental" if value == "none" else value for value in kept.values()]
    rng.shuffle(told)
    return ", ".join(told)


def sentence(kept: dict[str, str], rng: random.Random) -> str:
    """The facts as people would say them: `a slow sad pop song with piano, sung by a woman`."""
    before = [kept[name] for name in ("tempo_class", "mood") if name in kept]
    rng.shuffle(before)
    if "language" in kept:
        before.append(kept["language"])
    if "genre" in kept:
        before.append(kept["genre"])
    text = " ".join(["a", *before, rng.choice(("song", "piece", "track"))])
    parts = []
    if "main_instrument" in kept:
        parts.append(rng.choice(INSTRUMENTS).format(kept["main_instrument"]))
    if "singer" in kept:
        parts.append(rng.choice(SINGERS[kept["singer"]]))
    if "timbre" in kept:
        parts.append(f"a {kept['timbre']} voice")
    rng.shuffle(parts)
    return ", ".join([text, *parts])
