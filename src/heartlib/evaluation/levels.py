"""Loudness, clipping and silence. Waves are float [2, n]; `rate` in hertz."""

import warnings

import numpy as np

SILENCE_BELOW = 34.0
"""Decibels under the song's own RMS level: −50 dBFS in a song of −16."""
FRAME_SECONDS = 0.02
SOUND_FRAMES = 5
FULL_SCALE = 0.999
FLAT_RUN = 4


def loudness(wave: np.ndarray, rate: int) -> float:
    """Integrated loudness in LUFS after ITU-R BS.1770-4; -inf for silence or under 0.4 s."""
    import pyloudnorm

    if wave.shape[1] < 0.4 * rate:
        return float("-inf")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyloudnorm takes the logarithm of zero in silent blocks
        return float(pyloudnorm.Meter(rate).integrated_loudness(wave.T.astype(np.float64)))


def rms_db(wave: np.ndarray) -> float:
    """Root mean square over both channels, dBFS; never below -120."""
    return float(10 * np.log10(np.mean(np.square(wave, dtype=np.float64)) + 1e-12))


def peak(wave: np.ndarray) -> float:
    """The largest absolute sample; 0 for an empty wave."""
    return float(np.abs(wave).max(initial=0.0))


def clipped_samples(wave: np.ndarray) -> int:
    """Samples at full scale or beyond, and samples of flat tops at the peak, however low it is.

    A flat top is a run of 4 or more equal samples within 1e-4 of the wave's peak: what is left of
    clipping when the file was turned down afterwards.
    """
    size = np.abs(wave)
    top = size.max(initial=0.0)
    if top == 0:
        return 0
    clipped = size >= FULL_SCALE
    flat = (size >= top * (1 - 1e-4)) & (top > 0.1)
    for channel, row in enumerate(flat):
        for start, end in runs(row):
            if end - start >= FLAT_RUN:
                clipped[channel, start:end] = True
    return int(clipped.sum())


def longest_silence(wave: np.ndarray, rate: int) -> float:
    """The longest quiet stretch between the first and the last sound, seconds.

    Quiet: 20 ms frames whose level is 34 dB or more below the song's RMS. The first and the last
    sound last 0.1 s or more, else what fades out at the end would count. A wave without any sound
    is one silence of its whole length.
    """
    size = round(FRAME_SECONDS * rate)
    count = wave.shape[1] // size
    frames = wave[:, : count * size].reshape(wave.shape[0], count, size)
    power = np.mean(np.square(frames, dtype=np.float64), axis=(0, 2))
    if count == 0 or power.max() < 1e-10:
        return wave.shape[1] / rate
    quiet = 10 * np.log10(power + 1e-12) < rms_db(wave) - SILENCE_BELOW
    sounds = [run for run in runs(~quiet) if run[1] - run[0] >= SOUND_FRAMES]
    if not sounds:
        return wave.shape[1] / rate
    inside = quiet[sounds[0][0] : sounds[-1][1]]
    return max((end - start for start, end in runs(inside)), default=0) * FRAME_SECONDS


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Start and end of each run of True in a vector of bool."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]
