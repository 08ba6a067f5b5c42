"""What a song is: genre, mood, instrument, singer, tempo; and the tags that tell it.

Tempi sit on the codec's grid: a beat is 5 to 10 frames of 80 ms.
"""

import random

from heartlib.corpus.genres import GENRES
from heartlib.corpus.moods import MOODS
from heartlib.corpus.orchestra import BACKINGS, INSTRUMENTS
from heartlib.corpus.score import Style
from heartlib.corpus.voices import CASTS, TIMBRES
from heartlib.errors import UsageError

FRAME = 0.08
BEAT_FRAMES = {"fast": (5, 6), "medium": (7, 8), "slow": (9, 10)}
TAG_CHANCE = {
    "genre": 0.95,
    "timbre": 0.3,
    "gender": 0.85,
    "mood": 0.7,
    "instrument": 0.85,
    "tempo": 0.85,
}
EVENED = {"fast": 2.0, "medium": 1.0, "slow": 3.0}
"""Weights of the tempo classes that genre and mood leave open: most leave medium."""
PLAYED = 0.15
"""The share of songs without a singer."""
SUITED = 0.45
"""How often the instrument is one that the genre prefers; else it is any."""
DOUBLED = (("unison", 0.14), ("third", 0.12))
"""How often a second take sings along with the chorus, and what."""
LANGUAGE_SHARE = {"en": 0.6, "es": 0.1, "zh": 0.1, "ja": 0.1, "ko": 0.1}
"""Of the sung songs."""


def draw_style(rng: random.Random, cast: str) -> Style:
    """One style. UsageError for a cast that does not exist."""
    if cast not in CASTS:
        raise UsageError(f"unknown cast {cast!r}; there are: {', '.join(CASTS)}")
    name = rng.choice(tuple(GENRES))
    genre = GENRES[name]
    mood = rng.choice([m for m in MOODS if set(MOODS[m].tempi) & set(genre.tempi)])
    tempi = [tempo for tempo in genre.tempi if tempo in MOODS[mood].tempi]
    tempo_class = rng.choices(tempi, [EVENED[tempo] for tempo in tempi])[0]
    suited = rng.random() < SUITED
    instrument = rng.choice(genre.suits if suited else tuple(INSTRUMENTS))
    backing = "none" if INSTRUMENTS[instrument].chordal else genre.backing
    singer, timbre, voice, doubling = "none", "none", "none", "none"
    if rng.random() >= PLAYED:
        singer = rng.choice(("female", "male"))
        timbre = rng.choice(tuple(TIMBRES))
        voice = rng.choice(CASTS[cast][singer])
        doubling = _draw_doubling(rng)
    return Style(
        genre=name,
        mood=mood,
        instrument=instrument,
        program=rng.choice(INSTRUMENTS[instrument].programs),
        backing=backing,
        backing_program=BACKINGS[backing][0] if backing != "none" else 0,
        singer=singer,
        timbre=timbre,
        voice=voice,
        tempo_class=tempo_class,
        doubling=doubling,
    )


def draw_language(seed: int) -> str:
    """The language of a seed's song, drawn by itself: with another one the rest stays."""
    rng = random.Random(f"heartlib language {seed}")
    return rng.choices(list(LANGUAGE_SHARE), list(LANGUAGE_SHARE.values()))[0]


def draw_mode(rng: random.Random, mood: str) -> str:
    """`major` or `minor`: what the mood asks for, with few exceptions."""
    return "minor" if rng.random() < MOODS[mood].minor else "major"


def draw_tags(rng: random.Random, style: Style) -> str:
    """Tags in the fixed order genre, timbre, gender, mood, instrument, tempo; each by its chance."""
    sung = style.singer != "none"
    values = {
        "genre": style.genre,
        "timbre": style.timbre if sung else "",
        "gender": style.singer if sung else "instrumental",
        "mood": style.mood,
        "instrument": style.instrument,
        "tempo": style.tempo_class,
    }
    told = [values[name] for name, chance in TAG_CHANCE.items() if rng.random() < chance]
    return ",".join(tag for tag in told if tag) or style.genre


def tags_by_category() -> dict[str, list[str]]:
    """Every tag that a song can carry, sorted within its category: what a nano checkpoint knows."""
    return {
        "genre": sorted(GENRES),
        "timbre": sorted(TIMBRES),
        "singer": ["female", "male", "instrumental"],
        "mood": sorted(MOODS),
        "instrument": sorted(INSTRUMENTS),
        "tempo": ["fast", "medium", "slow"],
    }


def tag_vocabulary() -> frozenset[str]:
    """Every tag that a song can carry."""
    return frozenset(tag for tags in tags_by_category().values() for tag in tags)


def _draw_doubling(rng: random.Random) -> str:
    at = rng.random()
    for name, share in DOUBLED:
        if at < share:
            return name
        at -= share
    return "none"
