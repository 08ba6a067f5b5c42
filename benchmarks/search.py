"""How fast a folder of music is searched: milliseconds a search, the index read in seconds, one JSON line.

    python benchmarks/search.py                        # 10,000 and 100,000 songs
    python benchmarks/search.py --songs 1000000 --repeats 10

The songs are random unit vectors in a real index on the disk. The share of the ceiling compares the matrix's
bytes a second with a large copy timed in the same run. Search is exact; R@10 compares it with float64.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from heartlib.heartclap.index import FILE, MusicIndex

TEXT = "a slow sad song with piano, sung by a woman"
AT_ONCE = 1000


def fill(index: MusicIndex, songs: int, width: int) -> None:
    """Writes songs that exist only as vectors."""
    rng = np.random.default_rng(0)
    index.file.create(index.fingerprint, width, index.file.path.parent)
    for start in range(0, songs, AT_ONCE):
        places = rng.standard_normal((min(AT_ONCE, songs - start), width), np.float32)
        places /= np.linalg.norm(places, axis=1, keepdims=True)
        rows = enumerate(places, start)
        index.file.put((f"{n:07d}.mp3", (n, n), n.to_bytes(32, "big"), place) for n, place in rows)


def timed(call: Callable[[], object], repeats: int) -> list[float]:
    """Milliseconds of each call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return times


def spread(times: list[float]) -> str:
    """The median, and the times below and above which a tenth lies."""
    tenths = statistics.quantiles(times, n=10)
    return f"{statistics.median(times):7.2f} ms (10 % … 90 %: {tenths[0]:.2f} … {tenths[-1]:.2f})"


def copy_bandwidth() -> float:
    """Bytes read and written a second by a large copy: the median of seven."""
    source = np.ones(2**26, np.float32)
    target = np.zeros_like(source)
    return 2e3 * source.nbytes / statistics.median(timed(lambda: np.copyto(target, source), 7))


def measure(songs: int, repeats: int) -> dict[str, float]:
    """Prints and returns what one size takes."""
    with tempfile.TemporaryDirectory() as folder:
        index = MusicIndex(folder)
        width = index.model.config.embed_dim
        fill(index, songs, width)
        size = (Path(folder) / FILE).stat().st_size
        queries = iter(np.random.default_rng(1).standard_normal((repeats + 2, width)))
        first = timed(lambda: index.nearest(next(queries)), 1)[0]
        found = timed(lambda: index.nearest(next(queries)), repeats)
        text = timed(lambda: index.search(TEXT), repeats)
        matrix = index.file.places()[1]
        share = 1e3 * matrix.nbytes / statistics.median(found) / copy_bandwidth()
        query = next(queries)
        best = np.argsort(-(matrix.astype(np.float64) @ query))[:10]
        exact = [f"{row:07d}.mp3" for row in best]
        recall = len({song.path.name for song in index.nearest(query)} & set(exact)) / 10
    print(f"{songs:,} songs of {width} numbers, {size / 1e6:.0f} MB on the disk")
    print(f"  first search    {first:7.0f} ms, which reads the index")
    print(f"  a search        {spread(found)}, {share:.0%} of a copy's bytes a second")
    print(f"  · with a text   {spread(text)}")
    print(f"  R@10            {recall:.2f} of float64")
    return {
        "songs": songs,
        "first_ms": round(first, 1),
        "search_ms": round(statistics.median(found), 3),
        "text_ms": round(statistics.median(text), 3),
        "recall_at_10": recall,
    }


def embedding(minutes: int = 3) -> float:
    """Prints and returns how many times faster than real time a stereo song is embedded."""
    index = MusicIndex(Path())
    wave = 0.1 * np.random.default_rng(0).standard_normal((2, minutes * 60 * 48_000), np.float32)
    times = timed(lambda: index.model.embed_audio(wave, 48_000), 4)[1:]
    speed = 60e3 * minutes / statistics.median(times)
    print(f"embedding a song of {minutes} minutes: {speed:.0f} × real time")
    return speed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--songs", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--repeats", type=int, default=50)
    options = parser.parse_args()
    speed = embedding()
    sizes = [measure(songs, options.repeats) for songs in options.songs]
    print(json.dumps({"times_real": round(speed, 1), "sizes": sizes}))


if __name__ == "__main__":
    main()
