"""Clicks, and whether the joins of the codec's windows stand out. Waves are float [2, n] at 48 kHz."""

import numpy as np
import torch

from heartlib.audio.mel import log_mel

RATE = 48000
FRAME = 3840
HOP_FRAMES, OVERLAP_FRAMES = 320, 52
SIDE_SECONDS = 0.1
MEL_HOP = 480
CLICK_RATIO = 30.0


def join_positions(samples: int) -> list[int]:
    """Samples where a cross-fade of two windows begins or ends, inside a song of that length."""
    edges: list[int] = []
    start = HOP_FRAMES * FRAME
    while start + OVERLAP_FRAMES * FRAME < samples:
        edges += [start, start + OVERLAP_FRAMES * FRAME]
        start += HOP_FRAMES * FRAME
    return edges


def jump_percentiles(wave: np.ndarray, positions: list[int], beat: float) -> list[float]:
    """How the jump at each position ranks among the song's jumps at the same part of a beat, 0-100.

    A jump is the mean absolute difference in decibels over 64 mel bands between the 0.1 s before
    and the 0.1 s after a moment; each moment counts with the largest jump within 20 ms of it. beat:
    its length in seconds. Joins fall on the beat in music that keeps to the codec's frames, so that
    only other beats are a fair comparison. [] where the song is shorter than 4 s.
    """
    if wave.shape[1] < 4 * RATE:
        return []
    mono = torch.from_numpy(np.ascontiguousarray(wave.mean(axis=0), dtype=np.float32))
    mel = log_mel(mono, n_fft=1024, hop=MEL_HOP, n_mels=64, f_min=50, f_max=16000, floor_db=-70)
    size = int(SIDE_SECONDS * RATE / MEL_HOP)
    total = np.pad(np.cumsum(mel.numpy(), axis=1), ((0, 0), (1, 0)))  # [64, frames + 1]
    mean = (total[:, size:] - total[:, :-size]) / size  # mean[:, i]: frames i ... i + size
    jump = np.abs(mean[:, size:] - mean[:, :-size]).mean(axis=0)  # at frame i + size
    near = np.lib.stride_tricks.sliding_window_view(jump, 5).max(axis=1)  # at frame i + size + 2
    places = np.array([position / MEL_HOP - size - 2 for position in positions])
    step = beat * RATE / MEL_HOP
    percentiles: list[float] = []
    for place in places:
        beats = place + step * np.arange(-(place // step), (len(near) - 1 - place) // step + 1)
        free = np.abs(beats[:, None] - places[None]).min(axis=1) > size
        others = near[np.round(beats[free]).astype(int)]
        here = near[min(max(round(place), 0), len(near) - 1)]
        percentiles.append(float(100 * np.mean(others < here)) if len(others) else 0.0)
    return percentiles


def clicks(wave: np.ndarray) -> np.ndarray:
    """Sample numbers of discontinuities shorter than the sounds of music.

    A click is a sample whose second difference is 30 times the root mean square of those in the
    5 ms on either side (the nearest 8 samples left out), and above -50 dBFS. Sorted, at most one in 10 ms.
    """
    found: list[int] = []
    inner, outer = 8, RATE // 200
    for channel in wave:
        bend = np.abs(np.diff(channel.astype(np.float64), n=2))
        total = np.concatenate([[0.0], np.cumsum(bend**2)])
        at = np.flatnonzero(bend > 10 ** (-50 / 20))

        def energy(start: np.ndarray, end: np.ndarray, total: np.ndarray = total) -> np.ndarray:
            last = len(total) - 1
            start, end = np.clip(start, 0, last), np.clip(end, 0, last)
            return (total[end] - total[start]) / np.maximum(end - start, 1)

        before = energy(at - outer, at - inner)
        after = energy(at + inner + 1, at + outer + 1)
        around = np.sqrt(np.maximum(before, after)) + 1e-5
        found += (at[bend[at] > CLICK_RATIO * around] + 1).tolist()
    kept: list[int] = []
    for sample in sorted(found):
        if not kept or sample - kept[-1] > RATE // 100:
            kept.append(sample)
    return np.array(kept, dtype=np.int64)
