"""A voice from its pitch, envelope and aperiodicity: the synthesis of WORLD, all pulses at once.

Morise et al., WORLD (2016): a pulse a period through the envelope in minimum phase, noise through what
is aperiodic. The noise is filtered in overlapping windows here instead of from pulse to pulse, which is several
times faster. T frames, P pulses, n samples, B = FFT/2 + 1 bins.
"""

from functools import cache

import numpy as np
from scipy.fft import irfft, rfft

from heartlib.corpus.voice_bank import FFT, HOP, RATE

STEP = round(HOP * RATE)
LEAST = 1e-12
PARTS = 32  # of a sample, to which a pulse is exact
SEED = 1


def synthesize(f0: np.ndarray, envelope: np.ndarray, aperiodicity: np.ndarray) -> np.ndarray:
    """f0 [T] in Hz (0: no voice), power envelope [T, B], aperiodicity [T, B] from 0 to 1 → float32 [T·STEP]."""
    envelope, noisy = envelope.astype(np.float32), aperiodicity.astype(np.float32) ** 2
    noisy[f0 <= 0] = 1.0
    wave = np.zeros(len(f0) * STEP + 2 * FFT, np.float32)  # one FFT before the first sample
    _add_pulses(wave, f0, envelope * (1 - noisy))
    _add_noise(wave, envelope * noisy)
    return wave[FFT : FFT + len(f0) * STEP]


def pulses(f0: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the pulses of a pitch [T] are, in samples, and how many samples lie before the next: [P] each."""
    clock = np.arange(len(f0) * STEP)
    frame = np.minimum((clock + STEP // 2) // STEP, len(f0) - 1)
    voiced = np.flatnonzero(f0 > 0)
    if not len(voiced):
        return np.zeros(0), np.zeros(0)
    pitch = np.where(f0[frame] > 0, np.interp(clock / STEP, voiced, f0[voiced]), 0.0)
    phase = np.cumsum(pitch / RATE)
    last = np.flatnonzero(np.diff(np.floor(phase)) > 0)  # the sample before each pulse
    part = (np.floor(phase[last + 1]) - phase[last]) / (phase[last + 1] - phase[last])
    return last + part, RATE / pitch[last + 1]


def minimum_phase(power: np.ndarray) -> np.ndarray:
    """Power spectra [T, B] → spectra of minimum phase, complex64 [T, B]."""
    cepstrum = np.asarray(irfft(0.5 * np.log(power + np.float32(LEAST)), FFT))
    cepstrum[:, 1 : FFT // 2] *= 2
    cepstrum[:, FFT // 2 + 1 :] = 0
    log = np.asarray(rfft(cepstrum, FFT, overwrite_x=True), np.complex64)
    angle = np.imag(log)
    out = np.empty_like(log)
    out.real[:], out.imag[:] = np.cos(angle), np.sin(angle)  # real functions are many times faster
    out *= np.exp(np.real(log))
    return out


def _add_pulses(wave: np.ndarray, f0: np.ndarray, power: np.ndarray) -> None:
    at, period = pulses(f0)
    if not len(at):
        return
    frame = np.minimum((at / STEP + 0.5).astype(int), len(f0) - 1)
    used, which = np.unique(frame, return_inverse=True)
    response = minimum_phase(power[used])
    response[:, 0] = 0.0
    first, late = np.divmod(np.round(at * PARTS).astype(int), PARTS)
    shape = response[which]
    shape *= _delays()[late]
    sounds = np.asarray(irfft(shape, FFT, overwrite_x=True))
    sounds *= np.sqrt(period).astype(np.float32)[:, None]
    for begin, sound in zip(first, sounds, strict=True):
        wave[FFT + begin : 2 * FFT + begin] += sound


@cache
def _delays() -> np.ndarray:
    """Spectra of delays by parts of a sample, complex64 [PARTS, B]."""
    turn = np.outer(np.arange(PARTS) / PARTS, np.arange(FFT // 2 + 1))
    return np.exp(-2j * np.pi / FFT * turn).astype(np.complex64)


def _add_noise(wave: np.ndarray, power: np.ndarray) -> None:
    rng = np.random.default_rng(SEED)
    noise = rng.standard_normal((len(power) + 1) * STEP, dtype=np.float32)
    window = np.hanning(2 * STEP + 1)[:-1].astype(np.float32)  # two of them sum to one
    rows = np.lib.stride_tricks.sliding_window_view(noise, 2 * STEP)[::STEP] * window
    before = FFT // 2 - STEP  # room on both sides of a window
    padded = np.pad(rows, ((0, 0), (before, FFT - before - 2 * STEP)))
    sound = np.asarray(irfft(np.asarray(rfft(padded, FFT)) * np.sqrt(power), FFT))
    for row, part in enumerate(sound):
        begin = FFT + (row - 1) * STEP - before
        wave[begin : begin + FFT] += part
