"""FluidSynth plays the parts of a score, each as its own stem."""

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from heartlib.corpus.score import Hit
from heartlib.errors import HeartlibError

RATE = 48000
FONT_FOLDERS = ("/usr/share/sounds/sf2", "/usr/share/soundfonts", "/opt/homebrew/share/soundfonts")
FONT = "FluidR3_GM.sf2"
DRUM_BANK = 128


def find_font(path: str | Path | None = None) -> Path:
    """The General MIDI sound font: `path`, $HEARTLIB_SOUNDFONT or where the system keeps it."""
    given = path or os.environ.get("HEARTLIB_SOUNDFONT")
    places = [Path(given)] if given else [Path(folder) / FONT for folder in FONT_FOLDERS]
    for place in places:
        if place.is_file():
            return place
    raise HeartlibError(
        f"no sound font at {', '.join(map(str, places))}; "
        "apt install fluid-soundfont-gm, or give one with --font"
    )


class Band:
    """One synthesiser with its font loaded (half a second, 140 MB); plays stem after stem."""

    def __init__(self, font: Path) -> None:
        try:
            import fluidsynth
        except ImportError as error:
            raise HeartlibError(
                f"the corpus needs FluidSynth ({error}): apt install fluidsynth libfluidsynth3, "
                "pip install 'heartlib[corpus]'"
            ) from error
        self.synth = fluidsynth.Synth(gain=0.4, samplerate=float(RATE))
        self.synth.setting("synth.reverb.active", 0)
        self.synth.setting("synth.chorus.active", 0)
        self.font = self.synth.sfload(str(font))
        if self.font < 0:
            raise HeartlibError(f"{font} is not a sound font that FluidSynth reads")

    def play(self, hits: Sequence[Hit], program: int, duration: float, drums: bool) -> np.ndarray:
        """A stem, float32 [2, n] at 48 kHz, of `duration` seconds."""
        self.synth.system_reset()
        channel = 9 if drums else 0
        self.synth.program_select(channel, self.font, DRUM_BANK if drums else 0, program)
        events = [(round(hit.start * RATE), 1, hit) for hit in hits]
        events += [(round(hit.end * RATE), 0, hit) for hit in hits]
        events.sort(key=lambda event: (event[0], event[1], event[2].midi))
        length = round(duration * RATE)
        chunks: list[np.ndarray] = []
        now = 0
        for at, on, hit in events:
            at = min(at, length)
            if at > now:
                chunks.append(self.synth.get_samples(at - now))
                now = at
            if on:
                self.synth.noteon(channel, hit.midi, hit.velocity)
            else:
                self.synth.noteoff(channel, hit.midi)
        if length > now:
            chunks.append(self.synth.get_samples(length - now))
        wave = np.concatenate(chunks).reshape(-1, 2).T
        return wave.astype(np.float32) / 32768.0


@cache
def band(font: Path) -> Band:
    """The one band of this process for a font."""
    return Band(font)
