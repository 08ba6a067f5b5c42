"""The songs of a corpus folder, read ahead by threads, also while others are still making it."""

from __future__ import annotations

import json
import os
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Generic, TypeVar

import soundfile
import torch
from torch import Tensor
from tqdm import tqdm

from heartlib.errors import HeartlibError

Item = TypeVar("Item")
LOOK_SECONDS = 3.0  # between two looks for new songs
FIRST_SONGS = 64  # that must be there before a run begins that follows a corpus in the making
PATIENCE_SECONDS = 300.0  # without a new song, after which nobody seems to be making any


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
    place = {song: hash_of(song, one_in) for song in ids}
    count = sum(place[song] == 0 for song in ids)
    held = set(sorted(ids, key=place.__getitem__)[: min(max(count, 1), len(ids) - 1)])
    return [song for song in ids if song not in held], [song for song in ids if song in held]


def hash_of(song: str, one_in: int) -> int:
    """A number below `one_in` that hangs on the id alone; songs whose number is 0 are held out."""
    return zlib.crc32(song.encode()) % one_in


def audio_file(folder: Path, song: str) -> Path:
    """Where a song of a corpus sounds."""
    return next((folder / "audio").glob(f"{song}.*"))


def song_seconds(folder: Path, song: str) -> float:
    """How long a song lasts."""
    return soundfile.info(audio_file(folder, song)).duration


def read_song(folder: Path, song: str, sample_rate: int) -> Tensor:
    """One song, float32 [2, n]; HeartlibError where it is at another rate."""
    path = audio_file(folder, song)
    wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    if rate != sample_rate:
        raise HeartlibError(f"{path} is at {rate} Hz, not {sample_rate}")
    return torch.from_numpy(wave.T.copy())


def read_voices(folder: Path, song: str, length: int, truth: dict[str, Any]) -> Tensor | None:
    """What the voices of a song sing alone, float32 [2, length]; None where the corpus has no stems of it.

    HeartlibError where a stem is missing of a voice that the truth has.
    """
    stems = folder / "stems" / song
    if not stems.is_dir():
        return None
    voices = torch.zeros(2, length)
    for part, sung in (("voice", truth["words"]), ("second", truth.get("doubled"))):
        if (stems / f"{part}.flac").is_file():
            wave, _ = soundfile.read(stems / f"{part}.flac", dtype="float32", always_2d=True)
            voices[:, : len(wave)] += torch.from_numpy(wave.T[:, :length])
        elif sung:
            raise HeartlibError(
                f"{stems} has no {part}.flac: make the corpus with --stems voice second"
            )
    return voices


def read_lifted(folder: Path, song: str, sample_rate: int, lift: float) -> tuple[Tensor, Tensor]:
    """A song [2, n], and the same with its voices `lift` dB louder, as loud in all.

    HeartlibError as `read_song` and `read_voices` raise it, and where a song that is sung has no stems.
    """
    wave = read_song(folder, song, sample_rate)
    if not lift:
        return wave, wave
    truth = json.loads((folder / "truth" / f"{song}.json").read_text(encoding="utf-8"))
    if not truth["words"]:
        return wave, wave
    voices = read_voices(folder, song, wave.shape[1], truth)
    if voices is None:
        raise HeartlibError(
            f"{folder / 'stems' / song} is not there, and voices cannot be lifted without it: make the "
            "corpus with --stems voice second, or give --voice-lift 0"
        )
    lifted = wave + (10 ** (lift / 20) - 1) * voices
    lifted *= wave.square().mean().sqrt() / lifted.square().mean().sqrt().clamp_min(1e-6)
    return wave, lifted.clamp_(-1, 1)


def read_songs(
    folder: Path, ids: list[str], sample_rate: int, what: str = "songs"
) -> Iterator[tuple[str, Tensor]]:
    """Every song's id and audio [2, n], in order, a few read ahead; with a progress bar."""
    return read_each(ids, lambda song: read_song(folder, song, sample_rate), what)


def read_each(
    ids: list[str], read: Callable[[str], Item], what: str = "songs"
) -> Iterator[tuple[str, Item]]:
    """Every song's id and what `read` makes of it in a thread, in order; with a progress bar."""
    workers = min(16, os.cpu_count() or 1)
    waiting: deque[tuple[str, Future[Item]]] = deque()
    with ThreadPoolExecutor(workers) as pool, tqdm(total=len(ids), desc=what, unit="song") as bar:
        for song in ids:
            waiting.append((song, pool.submit(read, song)))
            if len(waiting) >= 2 * workers:
                song, item = waiting.popleft()
                yield song, item.result()
                bar.update()
        for song, item in waiting:
            yield song, item.result()
            bar.update()


class Arriving(Generic[Item]):
    """The songs of a corpus folder that is still being made, read by threads as they appear.

    A song is there when its truth is: `heartlib corpus make` writes that last.
    """

    def __init__(self, folder: Path, read: Callable[[str], Item], workers: int = 4) -> None:
        self.folder, self.read, self.workers = folder, read, workers
        self.pool = ThreadPoolExecutor(workers)
        self.met: set[str] = set()
        self.waiting: deque[str] = deque()
        self.reading: deque[tuple[str, Future[Item]]] = deque()
        self.looked = float("-inf")

    def take(self) -> list[tuple[str, Item]]:
        """The songs that were read since the last call, as (id, what `read` gave for it)."""
        now = time.monotonic()
        if now - self.looked > LOOK_SECONDS:
            self.looked = now
            names = {path.stem for path in (self.folder / "truth").glob("[!.]*.json")}
            self.waiting.extend(sorted(names - self.met))
            self.met |= names
        found = []
        while self.reading and self.reading[0][1].done():
            song, item = self.reading.popleft()
            found.append((song, item.result()))
        while self.waiting and len(self.reading) < 8 * self.workers:
            song = self.waiting.popleft()
            self.reading.append((song, self.pool.submit(self.read, song)))
        return found

    def first(self, count: int, held_out: int) -> list[tuple[str, Item]]:
        """The first songs, `count` at least and some on both sides of the split; waits for them.

        HeartlibError where none has come for PATIENCE_SECONDS.
        """
        found, came = list[tuple[str, Item]](), time.monotonic()
        while len(found) < count or len({hash_of(song, held_out) > 0 for song, _ in found}) < 2:
            fresh = self.take()
            found += fresh
            if fresh:
                came = time.monotonic()
            elif time.monotonic() - came > PATIENCE_SECONDS:
                self.close()
                raise HeartlibError(
                    f"{len(found)} songs in {self.folder} and none new for {PATIENCE_SECONDS:g} s; a run "
                    f"that follows begins with {count}: start `heartlib corpus make` there"
                )
            else:
                time.sleep(0.2)
        return found

    def close(self) -> None:
        """Stops reading."""
        self.pool.shutdown(wait=True, cancel_futures=True)
