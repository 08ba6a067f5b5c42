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
        Voice("clara", "en-us+f3", 1.04, 65),
        Voice("ada", "en-us+f2", 1.06, 64),
        Voice("annie", "en-us+Annie", 1.02, 66),
        Voice("rosa", "en-us+f4", 1.0, 63),
        Voice("nell", "en-us+f1", 1.1, 67),
        Voice("andrea", "en-us+Andrea", 1.08, 65),
        Voice("tom", "en-us+m3", 0.98, 52),
        Voice("otto", "en-us+m1", 1.0, 50),
        Voice("michael", "en-us+michael", 0.97, 53),
        Voice("leo", "en-us+m2", 1.03, 54),
        Voice("gene", "en-us+Gene", 0.95, 49),
        Voice("max", "en-us+max", 0.93, 51),
        Voice("linda", "en-us+linda", 1.05, 64),
        Voice("steph", "en-us+steph", 1.0, 65),
        Voice("bella", "en-us+belinda", 1.1, 66),
        Voice("andy", "en-us+m7", 1.0, 51),
        Voice("adam", "en-us+m4", 0.98, 53),
        Voice("rob", "en-us+robert", 0.96, 50),
    )
}

CASTS: dict[str, dict[str, tuple[str, ...]]] = {
    "main": {
        "female": ("clara", "ada", "annie", "rosa", "nell", "andrea"),
        "male": ("tom", "otto", "michael", "leo", "gene", "max"),
    },
    "judge": {"female": ("linda", "steph", "bella"), "male": ("andy", "adam", "rob")},
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
