"""A song on paper: plain data, times in seconds from the start."""

from dataclasses import dataclass

PARTS = ("main", "backing", "bass", "drums")


@dataclass(frozen=True)
class Section:
    """A stretch of the form: `name` as in the lyrics' markers, `lines` its words, if sung."""

    name: str
    start: float
    end: float
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Note:
    """A sung note: MIDI pitch and seconds."""

    midi: int
    start: float
    end: float


@dataclass(frozen=True)
class SungWord:
    """A word and its notes, one a syllable."""

    text: str
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class Hit:
    """An instrument's note in one of PARTS; velocity 1 to 127."""

    part: str
    midi: int
    velocity: int
    start: float
    end: float


@dataclass(frozen=True)
class Style:
    """What the tags say, whether or not a tag says it.

    `singer` is female, male or none; `backing` the instrument that gives a one-voiced main
    instrument its chords, or none; `doubling` what a second take of the chorus sings: none,
    unison or third; `language` that of the words.
    """

    genre: str
    mood: str
    instrument: str
    program: int
    backing: str
    backing_program: int
    singer: str
    timbre: str
    voice: str
    tempo_class: str
    doubling: str = "none"
    language: str = "en"


@dataclass(frozen=True)
class Score:
    """Everything that is to be heard. `beat` is the beat's length in seconds, `meter` the beats of
    a bar; the off-beat notes of a beat come `swing` beats late, 0 when straight."""

    seed: int
    style: Style
    tags: str
    lyrics: str
    beat: float
    meter: int
    swing: float
    key: str
    mode: str
    duration: float
    sections: tuple[Section, ...]
    words: tuple[SungWord, ...]
    hits: tuple[Hit, ...]
    chords: tuple[tuple[str, float, float], ...]
    beats: tuple[float, ...]

    @property
    def tempo(self) -> float:
        """Beats a minute."""
        return 60.0 / self.beat
