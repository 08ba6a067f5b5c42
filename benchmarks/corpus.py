"""What a song of the corpus costs: CPU time with new words and with known ones, and the vocoder against WORLD's.

    python benchmarks/corpus.py --songs 6        # needs what docs/corpus.md installs

CPU seconds of one thread, the median over the songs and their spread; last one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from heartlib.corpus import singing
from heartlib.corpus.render import perform
from heartlib.corpus.vocoder import synthesize
from heartlib.corpus.voice_bank import HOP, RATE, world


def seconds(work: Callable[[], object]) -> float:
    """CPU time of a call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def sung(seed: int, voices: Path) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """What a song's voice is made of: pitch, envelope and aperiodicity of each stretch."""
    parts, made = [], singing.synthesize

    def keep(*part: np.ndarray) -> np.ndarray:
        parts.append(tuple(np.ascontiguousarray(array) for array in part))
        return made(*part)

    singing.synthesize = keep
    try:
        perform(seed, "main", voices=voices)
    finally:
        singing.synthesize = made
    return parts


def bands(wave: np.ndarray) -> np.ndarray:
    """Level of 50 bands in dB [50], over the whole wave."""
    rows = np.lib.stride_tricks.sliding_window_view(wave, 1024)[::256] * np.hanning(1024)
    power = (np.abs(np.fft.rfft(rows)) ** 2).mean(axis=0)
    edges = np.unique(np.geomspace(2, 512, 51).astype(int))
    return 10 * np.log10(np.add.reduceat(power, edges[:-1]) + 1e-12)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--songs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=3_000_001)
    given = parser.parse_args()
    seeds = range(given.seed, given.seed + given.songs)
    with tempfile.TemporaryDirectory() as folder:
        voices = Path(folder)
        perform(given.seed - 1, "main", voices=voices)  # the sound font is read once
        new = [seconds(lambda s=s: perform(s, "main", voices=voices)) for s in seeds]
        known = [seconds(lambda s=s: perform(s, "main", voices=voices)) for s in seeds]
        parts = [part for seed in seeds for part in sung(seed, voices)]
    ours = sum(seconds(lambda p=p: synthesize(*p)) for p in parts)
    theirs = sum(seconds(lambda p=p: world().synthesize(*p, RATE, HOP * 1000)) for p in parts)
    made = np.concatenate([synthesize(*part) for part in parts])
    wanted = np.concatenate([world().synthesize(*part, RATE, HOP * 1000) for part in parts])
    apart = np.abs(bands(made) - bands(wanted))
    length = sum(len(f0) for f0, _, _ in parts) * HOP
    for name, values in (("new words", new), ("known words", known)):
        print(
            f"{name:12} {statistics.median(values):.2f} s a song ({min(values):.2f} to {max(values):.2f})"
        )
    print(f"vocoder      {ours:.2f} s, WORLD's {theirs:.2f} s, for {length:.0f} s of singing")
    print(f"             long-term spectra {apart.mean():.2f} dB apart")
    figures = {
        "new": new,
        "known": known,
        "vocoder": ours,
        "world": theirs,
        "sung": length,
        "apart_db": float(apart.mean()),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
