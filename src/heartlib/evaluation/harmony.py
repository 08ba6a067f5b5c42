"""Key and mode from chroma: the mean chroma of a song against learned profiles of a key."""

import numpy as np

from heartlib.evaluation.linear import Choice
from heartlib.evaluation.spectra import RATE, Sound

NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
MODES = ("major", "minor")
N_FFT, HOP = 8192, 2048
TREBLE, BASS = (130.0, 2000.0), (40.0, 180.0)
ENDING_SECONDS = 4.0


def chroma(power: np.ndarray, low: float, high: float) -> np.ndarray:
    """Power spectra [frames, bins] -> [frames, 12], C first, each frame adding up to 1.

    Bins count by the square root of their power and by their distance from the nearest semitone.
    """
    hertz = np.arange(power.shape[1]) * RATE / N_FFT
    kept = (hertz >= low) & (hertz <= high)
    midi = 69 + 12 * np.log2(hertz[kept] / 440)
    away = midi[:, None] - np.arange(12)[None]
    away = (away + 6) % 12 - 6
    weight = np.exp(-0.5 * (away / 0.3) ** 2)
    sums = np.sqrt(power[:, kept]) @ weight
    return sums / (sums.sum(axis=1, keepdims=True) + 1e-9)


def key_features(sound: Sound) -> np.ndarray:
    """For each of 24 keys [24, 72]: chroma from its tonic up, of the song, of its bass and of its end.

    Major keys fill the first 36 columns, minor keys the last.
    """
    power = sound.power(N_FFT, HOP)
    loud = np.sqrt(power.sum(axis=1))
    treble, bass = chroma(power, *TREBLE), chroma(power, *BASS)
    last = np.flatnonzero(loud > 0.1 * loud.max(initial=0.0))
    stop = int(last[-1]) + 1 if len(last) else len(loud)
    start = max(0, stop - int(ENDING_SECONDS * RATE / HOP))
    ending = (treble[start:stop] + bass[start:stop]) / 2
    means = [part.mean(axis=0) if len(part) else np.zeros(12) for part in (treble, bass, ending)]
    features = np.zeros((24, 72))
    for tonic in range(12):
        row = 12 * np.concatenate([np.roll(mean, -tonic) for mean in means]) - 1
        features[tonic, :36] = row
        features[12 + tonic, 36:] = row
    return features


def key(sound: Sound, model: Choice) -> tuple[str, str, float]:
    """Tonic, mode, and the probability of minor summed over all tonics."""
    log = model.log_probabilities(key_features(sound))
    minor = float(np.exp(log[12:]).sum())
    mode = int(minor > 0.5)
    tonic = int(log[12 * mode : 12 * mode + 12].argmax())
    return NAMES[tonic], MODES[mode], minor
