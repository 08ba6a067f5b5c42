"""The singers: an espeak-ng voice, a formant shift and a range each; and what a timbre does."""

from dataclasses import dataclass

from heartlib.corpus.lexicon import LANGUAGES


@dataclass(frozen=True)
class Voice:
    """`shift` > 1 raises the formants; `centre` is the middle of the range (MIDI)."""

    name: str
    espeak: str
    shift: float
    centre: int


@dataclass(frozen=True)
class Timbre:
    """`tilt` in dB per octave above 1 kHz; `breath` adds to the aperiodicity, 0 to 1."""

    tilt: float
    breath: float


VOICES = {
    voice.name: voice
    for voice in (
        Voice("clara", "en-us+f3", 1.04, 63),
        Voice("ada", "en-us+f2", 1.06, 62),
        Voice("annie", "en-us+Annie", 1.02, 65),
        Voice("tom", "en-us+m3", 0.98, 54),
        Voice("otto", "en-us+m1", 1.0, 52),
        Voice("michael", "en-us+michael", 0.97, 55),
        Voice("linda", "en-us+linda", 1.05, 63),
        Voice("steph", "en-us+steph", 1.0, 64),
        Voice("andy", "en-us+m7", 1.0, 53),
        Voice("adam", "en-us+m4", 0.98, 55),
    )
}

CASTS: dict[str, dict[str, tuple[str, ...]]] = {
    "main": {"female": ("clara", "ada", "annie"), "male": ("tom", "otto", "michael")},
    "judge": {"female": ("linda", "steph"), "male": ("andy", "adam")},
}
"""Who sings: `judge` shares no voice with `main`, for recognisers that must stay independent."""

TIMBRES = {
    "bright": Timbre(2.0, 0.0),
    "warm": Timbre(-2.0, 0.0),
    "soft": Timbre(-1.0, 0.25),
    "clear": Timbre(0.5, 0.0),
}


def espeak_voice(voice: Voice, language: str) -> str:
    """The espeak-ng voice of a singer in a language: `en-us+f3` sings Spanish as `es+f3`."""
    accent, plus, variant = voice.espeak.partition("+")
    return (accent if language == "en" else LANGUAGES[language]) + plus + variant
