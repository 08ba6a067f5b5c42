"""The moods, each as what can be measured in a song that has it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mood:
    """How a mood sounds.

    minor: the chance of a minor key. tempi: the tempo classes that it allows. force: the middle
    MIDI velocity. register: semitones that the main instrument moves. density: how busy the
    accompaniment is, 0 to 1. length: share of their written length that short notes sound.
    drums: dB that the drums stand above or below their usual place; contrast: how far apart verse
    and chorus are in loudness, 1 as usual. room: share of reverberation. tint: the adjectives of
    the lyrics. lift: scale steps that the melody moves.
    """

    minor: float
    tempi: tuple[str, ...]
    force: int
    register: int
    density: float
    length: float
    drums: float
    contrast: float = 1.0
    room: float = 0.10
    tint: str = "happy"
    lift: int = 0
    sevenths: float = 0.0


MOODS: dict[str, Mood] = {
    "happy": Mood(0.0, ("fast", "medium"), 88, 4, 0.7, 0.7, 0.5, lift=1),
    "sad": Mood(1.0, ("slow", "medium"), 66, -3, 0.25, 1.0, -3.0, tint="sad", lift=-1),
    "calm": Mood(0.1, ("slow", "medium"), 56, 0, 0.15, 1.0, -6.0, contrast=0.5, room=0.14),
    "energetic": Mood(0.15, ("fast",), 102, 2, 0.9, 0.75, 2.0, lift=1),
    "dark": Mood(1.0, ("slow", "medium"), 82, -8, 0.4, 0.95, -1.0, tint="sad", lift=-2),
    "romantic": Mood(0.1, ("slow", "medium"), 68, 0, 0.45, 1.0, -4.0, room=0.14, sevenths=0.7),
    "dreamy": Mood(0.1, ("slow", "medium"), 60, 7, 0.4, 1.05, -5.0, 0.6, 0.26, sevenths=0.7),
    "hopeful": Mood(0.0, ("medium", "fast"), 80, 3, 0.6, 0.9, -0.5, contrast=1.5),
    "angry": Mood(1.0, ("fast", "medium"), 116, -5, 0.95, 0.55, 3.5, 0.7, 0.06, tint="sad"),
    "epic": Mood(0.7, ("medium", "slow"), 106, -1, 0.65, 1.0, 2.0, contrast=1.8, room=0.2, lift=1),
}
