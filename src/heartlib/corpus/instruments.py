"""FluidSynth plays the parts of a score, each as its own stem."""

import ctypes
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
WARNINGS = 2


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
    """A sound font in memory (half a second, 140 MB) and a fresh synthesiser for every stem.

    FluidSynth's voices remember the loudness of the note before, so a synthesiser that is used
    again does not start the same song in the same way. The font is lent to each new one.
    """

    def __init__(self, font: Path) -> None:
        try:
            import fluidsynth  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise HeartlibError(
                f"the corpus needs FluidSynth ({error}): apt install fluidsynth libfluidsynth3, "
                "pip install 'heartlib[corpus]'"
            ) from error
        self._new_synth = fluidsynth.Synth
        self._owner = fluidsynth.Synth()
        number = self._owner.sfload(str(font))
        if number < 0:
            raise HeartlibError(f"{font} is not a sound font that FluidSynth reads")
        self._library = _declare(ctypes.CDLL(fluidsynth.lib))
        self._font = self._library.fluid_synth_get_sfont_by_id(self._owner.synth, number)

    def play(self, hits: Sequence[Hit], program: int, duration: float, drums: bool) -> np.ndarray:
        """A stem, float32 [2, n] at 48 kHz, of `duration` seconds."""
        synth = self._new_synth(gain=0.7, samplerate=RATE)
        synth.setting("synth.reverb.active", 0)
        synth.setting("synth.chorus.active", 0)
        font = self._library.fluid_synth_add_sfont(synth.synth, self._font)
        try:
            return self._play(synth, font, hits, program, duration, drums)
        finally:
            synth.system_reset()
            synth.get_samples(RATE // 100)
            self._library.fluid_synth_remove_sfont(synth.synth, self._font)
            synth.delete()

    @staticmethod
    def _play(
        synth, font: int, hits: Sequence[Hit], program: int, duration: float, drums: bool
    ) -> np.ndarray:
        channel = 9 if drums else 0
        synth.program_select(channel, font, DRUM_BANK if drums else 0, program)
        events = [(round(hit.start * RATE), 1, hit) for hit in hits]
        events += [(round(hit.end * RATE), 0, hit) for hit in hits]
        events.sort(key=lambda event: (event[0], event[1], event[2].midi))
        length = round(duration * RATE)
        chunks: list[np.ndarray] = []
        now = 0
        for at, on, hit in events:
            at = min(at, length)
            if at > now:
                chunks.append(synth.get_samples(at - now))
                now = at
            if on:
                synth.noteon(channel, hit.midi, hit.velocity)
            else:
                synth.noteoff(channel, hit.midi)
        if length > now:
            chunks.append(synth.get_samples(length - now))
        wave = np.concatenate(chunks).reshape(-1, 2).T
        return wave.astype(np.float32) / 32768.0


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    """The calls that the Python binding lacks; warnings of fonts that come and go are silenced."""
    pointer = ctypes.c_void_p
    library.fluid_synth_get_sfont_by_id.argtypes = (pointer, ctypes.c_int)
    library.fluid_synth_get_sfont_by_id.restype = pointer
    for call in (library.fluid_synth_add_sfont, library.fluid_synth_remove_sfont):
        call.argtypes = (pointer, pointer)
        call.restype = ctypes.c_int
    library.fluid_set_log_function.argtypes = (ctypes.c_int, pointer, pointer)
    library.fluid_set_log_function(WARNINGS, None, None)
    return library


@cache
def band(font: Path) -> Band:
    """The one band of this process for a font."""
    return Band(font)
