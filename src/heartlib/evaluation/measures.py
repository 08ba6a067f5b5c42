"""What one song shows when measured."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from heartlib.audio import resample
from heartlib.errors import UsageError
from heartlib.evaluation import harmony, joins, levels, rhythm, timbre
from heartlib.evaluation.judges import Judges, shipped
from heartlib.evaluation.spectra import Sound
from heartlib.evaluation.voice import find_voice, sung_probability

RATE = 48000
SHORTEST = 0.1
JOIN_REACH = 0.02


@dataclass(frozen=True)
class SongMeasures:
    """Seconds, LUFS, dBFS, hertz and beats a minute; see docs/evaluation.md for each."""

    duration: float
    loudness: float
    rms: float
    peak: float
    clipped: int
    silence: float
    clicks: int
    join_clicks: int
    join_jumps: tuple[float, ...]
    voice_share: float
    sung: bool
    voice_pitch: float | None
    singer: str
    female: float | None
    tempo: float
    tempo_class: str
    tempo_certainty: float
    instruments: dict[str, float]
    main_instrument: str
    key: str
    mode: str
    minor: float

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON, which has no infinity: None for the loudness of silence."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }


def measure(
    wave: np.ndarray, sample_rate: int = RATE, judges: Judges | None = None
) -> SongMeasures:
    """Measures a song, float [2, n] (numpy or a CPU tensor); `judges` None: those of the package.

    Another rate than 48 kHz is resampled first. UsageError where it is not stereo, shorter than
    0.1 s or not finite.
    """
    wave = np.asarray(wave, dtype=np.float32)
    if wave.ndim != 2 or wave.shape[0] != 2:
        raise UsageError(f"a wave to measure is [2, samples], not {list(wave.shape)}")
    if wave.shape[1] < SHORTEST * sample_rate:
        raise UsageError(
            f"{wave.shape[1] / sample_rate:.2f} s is too short to measure; give {SHORTEST:g} s or more"
        )
    if not np.isfinite(wave).all():
        raise UsageError("the wave holds values that are not finite")
    if sample_rate != RATE:
        wave = resample(wave, sample_rate, RATE)
    judges = judges or shipped()
    sound = Sound.of(wave, RATE)
    voice = find_voice(sound, judges.voice, judges.singer)
    bpm, certainty = rhythm.tempo(sound, judges.tempo)
    sung = sung_probability(sound, judges.voice)
    scores = timbre.instruments(sound, judges.instrument, sung)
    tonic, mode, minor = harmony.key(sound, judges.key)
    edges = joins.join_positions(wave.shape[1])
    clicks = joins.clicks(wave)
    near = [sample for sample in clicks if any(abs(sample - e) < JOIN_REACH * RATE for e in edges)]
    return SongMeasures(
        duration=wave.shape[1] / RATE,
        loudness=levels.loudness(wave, RATE),
        rms=levels.rms_db(wave),
        peak=levels.peak(wave),
        clipped=levels.clipped_samples(wave),
        silence=levels.longest_silence(wave, RATE),
        clicks=len(clicks),
        join_clicks=len(near),
        join_jumps=tuple(joins.jump_percentiles(wave, edges, 60 / bpm)),
        voice_share=voice.share,
        sung=voice.present,
        voice_pitch=voice.pitch,
        singer=voice.singer,
        female=voice.female,
        tempo=bpm,
        tempo_class=rhythm.tempo_class(bpm),
        tempo_certainty=certainty,
        instruments=scores,
        main_instrument=timbre.main_instrument(scores),
        key=tonic,
        mode=mode,
        minor=minor,
    )
