"""The songs of a corpus folder, read ahead by threads."""

import json
import os
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import soundfile
import torch
from torch import Tensor
from tqdm import tqdm

from heartlib.errors import HeartlibError


def song_ids(folder: Path) -> list[str]:
    """The ids of a corpus, in the order of songs.jsonl."""
    path = folder / "songs.jsonl"
    if not path.is_file():
        raise HeartlibError(f"{folder} is not a corpus folder: it has no songs.jsonl")
    return [json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()]


def split(ids: list[str], one_in: int = 16) -> tuple[list[str], list[str]]:
    """Songs for training and held out, about one in so many; neither side is empty.

    A hash of the id decides, so that a song stays on its side in a larger corpus and in every recipe.
    HeartlibError for a single song.
    """
    if len(ids) < 2:
        raise HeartlibError(f"{len(ids)} songs are too few: one is held out; make a larger corpus")
    place = {song: zlib.crc32(song.encode()) % one_in for song in ids}
    count = sum(place[song] == 0 for song in ids)
    held = set(sorted(ids, key=place.__getitem__)[: min(max(count, 1), len(ids) - 1)])
    return [song for song in ids if song not in held], [song for song in ids if song in held]


def read_song(folder: Path, song: str, sample_rate: int) -> Tensor:
    """One song, float32 [2, n]; HeartlibError where it is at another rate."""
    path = next((folder / "audio").glob(f"{song}.*"))
    wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    if rate != sample_rate:
        raise HeartlibError(f"{path} is at {rate} Hz, not {sample_rate}")
    return torch.from_numpy(wave.T.copy())


def read_songs(
    folder: Path, ids: list[str], sample_rate: int, what: str = "songs"
) -> Iterator[tuple[str, Tensor]]:
    """Every song's id and audio [2, n], in order, a few read ahead; with a progress bar."""
    workers = min(16, os.cpu_count() or 1)
    waiting: deque = deque()
    with ThreadPoolExecutor(workers) as pool, tqdm(total=len(ids), desc=what, unit="song") as bar:
        for song in ids:
            waiting.append((song, pool.submit(read_song, folder, song, sample_rate)))
            if len(waiting) >= 2 * workers:
                song, audio = waiting.popleft()
                yield song, audio.result()
                bar.update()
        for song, audio in waiting:
            yield song, audio.result()
            bar.update()
