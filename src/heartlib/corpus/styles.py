"""Genres, instruments, voices and the chances of each tag.

Tempi sit on the codec's grid: a beat is 5 to 10 frames of 80 ms.
"""

import random
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Genre:
    """How the rhythm section plays. Drum rows are sixteenths of a bar; `kit` is a GM drum program."""

    bass_program: int
    bass: tuple[str, ...]
    kit: int
    drums: tuple[dict[int, str], ...]
    drum_chance: float
    sevenths: float = 0.0


KICK, STICK, SNARE, CLOSED, OPEN, RIDE, CRASH, SHAKER, CLAP = 36, 37, 38, 42, 46, 51, 49, 70, 39

GENRES: dict[str, Genre] = {
    "pop": Genre(
        33,
        ("eighths", "fifths", "root"),
        0,
        (
            {KICK: "x.......x.x.....", SNARE: "....x.......x...", CLOSED: "x.x.x.x.x.x.x.x."},
            {KICK: "x.....x.x.......", SNARE: "....x.......x...", CLOSED: "x.x.x.x.x.x.x.x."},
            {KICK: "x..x....x.......", CLAP: "....x.......x...", CLOSED: "..x...x...x...x."},
        ),
        0.95,
    ),
    "rock": Genre(
        34,
        ("eighths",),
        16,
        (
            {KICK: "x.....x.x.x.....", SNARE: "....x.......x...", CLOSED: "x.x.x.x.x.x.x.x."},
            {KICK: "x.x.....x.x.....", SNARE: "....x.......x...", OPEN: "x...x...x...x..."},
        ),
        1.0,
    ),
    "folk": Genre(
        32,
        ("fifths", "root"),
        40,
        (
            {KICK: "x.......x.......", SHAKER: "x.x.x.x.x.x.x.x."},
            {KICK: "x.......x.......", STICK: "....x.......x...", SHAKER: "..x...x...x...x."},
        ),
        0.5,
    ),
    "electronic": Genre(
        38,
        ("offbeat", "eighths"),
        25,
        (
            {KICK: "x...x...x...x...", CLAP: "....x.......x...", OPEN: "..x...x...x...x."},
            {KICK: "x...x...x...x...", SNARE: "....x.......x...", CLOSED: "x.x.x.x.x.x.x.x."},
        ),
        1.0,
    ),
    "ballad": Genre(
        33,
        ("root",),
        40,
        (
            {KICK: "x.......x.......", STICK: "....x.......x...", CLOSED: "x...x...x...x..."},
            {KICK: "x.......x.......", STICK: "........x......."},
        ),
        0.5,
    ),
    "jazz": Genre(
        32,
        ("walk",),
        32,
        (
            {KICK: "x.......x.......", RIDE: "x...x.x.x...x.x.", CLOSED: "....x.......x..."},
            {RIDE: "x...x.x.x...x.x.", STICK: "............x...", CLOSED: "....x.......x..."},
        ),
        0.95,
        sevenths=0.9,
    ),
    "latin": Genre(
        32,
        ("bossa", "fifths"),
        0,
        (
            {KICK: "x.....x.x.....x.", STICK: "x.....x.....x...", SHAKER: "xxxxxxxxxxxxxxxx"},
            {KICK: "x.....x.x.....x.", STICK: "...x..x...x..x..", SHAKER: "x.x.x.x.x.x.x.x."},
        ),
        0.95,
        sevenths=0.4,
    ),
}

PROGRAMS: dict[str, tuple[int, ...]] = {
    "piano": (0, 1, 4),
    "guitar": (24, 25),
    "strings": (48, 49),
    "organ": (16, 19),
    "synth": (81, 88, 90),
}
PATTERNS: dict[str, tuple[str, ...]] = {
    "piano": ("block", "arpeggio", "comp", "alberti"),
    "guitar": ("strum", "arpeggio", "strum"),
    "strings": ("pad", "pulse"),
    "organ": ("pad", "comp", "block"),
    "synth": ("arpeggio", "pulse", "offbeat"),
}

_MOODS = {"fast": ("happy", "energetic", "energetic", "sad"), "medium": ("happy", "calm", "sad")}
_MOODS["slow"] = ("calm", "sad", "happy")
_TEMPI = {"ballad": ("slow", "slow", "medium"), "electronic": ("fast", "fast", "medium", "slow")}
_TEMPI_ANY = ("fast", "fast", "medium", "medium", "slow")


def draw_style(rng: random.Random, cast: str) -> Style:
    """One style; 15 % are instrumental. UsageError for a cast that does not exist."""
    if cast not in CASTS:
        raise UsageError(f"unknown cast {cast!r}; there are: {', '.join(CASTS)}")
    genre = rng.choice(tuple(GENRES))
    tempo_class = rng.choice(_TEMPI.get(genre, _TEMPI_ANY))
    instrument = rng.choice(tuple(PROGRAMS))
    singer, timbre, voice = "none", "none", "none"
    if rng.random() >= 0.15:
        singer = rng.choice(("female", "male"))
        timbre = rng.choice(tuple(TIMBRES))
        voice = rng.choice(CASTS[cast][singer])
    return Style(
        genre=genre,
        mood=rng.choice(_MOODS[tempo_class]),
        instrument=instrument,
        program=rng.choice(PROGRAMS[instrument]),
        singer=singer,
        timbre=timbre,
        voice=voice,
        tempo_class=tempo_class,
    )


def draw_mode(rng: random.Random, mood: str) -> str:
    """`major` or `minor`: what the mood asks for, with few exceptions."""
    minor = {"sad": 1.0, "calm": 0.25, "energetic": 0.1, "happy": 0.0}[mood]
    return "minor" if rng.random() < minor else "major"


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
        "mood": sorted({mood for row in _MOODS.values() for mood in row}),
        "instrument": sorted(PROGRAMS),
        "tempo": ["fast", "medium", "slow"],
    }


def tag_vocabulary() -> frozenset[str]:
    """Every tag that a song can carry."""
    return frozenset(tag for tags in tags_by_category().values() for tag in tags)
