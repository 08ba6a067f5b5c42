"""The audio of a corpus folder, resident on the training device, and random crops of it.

Legend: B crops, n samples a crop. Audio is int16 stereo at 48 kHz, all songs end to end.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from heartlib.errors import HeartlibError
from heartlib.training.corpus_audio import split

SAMPLE_RATE = 48000
SUFFIXES = (".flac", ".ogg", ".opus", ".wav")


@dataclass(frozen=True)
class AudioSet:
    """Songs end to end: `audio` int16 [2, total], song i at offsets[i] : offsets[i + 1]."""

    ids: tuple[str, ...]
    audio: Tensor
    offsets: tuple[int, ...]

    @property
    def hours(self) -> float:
        return self.offsets[-1] / SAMPLE_RATE / 3600

    def song(self, index: int) -> Tensor:
        """One song, float32 [2, n] in [-1, 1)."""
        return to_float(self.audio[:, self.offsets[index] : self.offsets[index + 1]])


def to_float(samples: Tensor) -> Tensor:
    return samples.float() / 32768.0


def song_files(folder: str | Path) -> list[Path]:
    """The audio files of a corpus folder (or of its audio/), by name; HeartlibError when there are none."""
    folder = Path(folder)
    audio = folder / "audio" if (folder / "audio").is_dir() else folder
    files = sorted(f for f in audio.glob("*") if f.suffix in SUFFIXES)
    if not files:
        raise HeartlibError(f"no audio ({', '.join(SUFFIXES)}) in {audio}: make a corpus first")
    return files


def split_songs(files: Sequence[Path], one_in: int = 16) -> tuple[list[Path], list[Path]]:
    """Training and held-out files, as `corpus_audio.split` takes their ids apart."""
    files_of = {file.stem: file for file in files}
    learn, held = split(list(files_of), one_in)
    return [files_of[song] for song in learn], [files_of[song] for song in held]


def read_song(path: Path) -> np.ndarray:
    """int16 [n, 2] at 48 kHz, mono doubled; HeartlibError for another rate."""
    samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    if rate != SAMPLE_RATE:
        raise HeartlibError(f"{path} has {rate} Hz: training audio must have {SAMPLE_RATE} Hz")
    return samples if samples.shape[1] == 2 else samples[:, :1].repeat(2, axis=1)


def load_audio(
    files: Sequence[Path], device: str | torch.device = "cpu", *, threads: int = 8
) -> AudioSet:
    """Decode the files in threads straight into one tensor, and put it on the device."""
    lengths = [soundfile.info(f).frames for f in files]
    ends = np.cumsum([0, *lengths]).tolist()
    audio = torch.empty(2, ends[-1], dtype=torch.int16)

    def place(index: int) -> None:
        samples = torch.from_numpy(read_song(files[index]).T)[:, : lengths[index]]
        audio[:, ends[index] : ends[index] + samples.shape[1]] = samples
        audio[:, ends[index] + samples.shape[1] : ends[index + 1]] = 0

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(place, range(len(files))))
    return AudioSet(tuple(f.stem for f in files), audio.to(device), tuple(ends))


class Crops:
    """Random crops that never cross a song's end, chosen and cut on the device without a host sync.

    `align`: a crop starts at a multiple of so many samples from its song's start.
    """

    def __init__(self, songs: AudioSet, samples: int, align: int = 1) -> None:
        self.songs, self.samples, self.align = songs, samples, align
        device = songs.audio.device
        offsets = torch.tensor(songs.offsets)
        places = ((offsets[1:] - offsets[:-1] - samples) // align + 1).clamp_min(0)
        self.places = int(places.sum())
        if not self.places:
            raise HeartlibError(f"every song is shorter than a crop of {samples} samples")
        self.last = places.cumsum(0).to(device)  # [songs]
        self.shift = (offsets[:-1] - align * (places.cumsum(0) - places)).to(device)  # [songs]
        self.reach = torch.arange(samples, device=device)

    def starts(self, batch: int) -> Tensor:
        """Random first samples [B], every place of the corpus equally likely."""
        place = torch.randint(self.places, (batch,), device=self.last.device)
        song = torch.searchsorted(self.last, place, right=True)
        return self.shift[song] + self.align * place

    def batch(self, batch: int) -> Tensor:
        """float32 [B, 2, n]."""
        index = self.starts(batch)[:, None] + self.reach  # [B, n]
        return to_float(self.songs.audio[:, index]).transpose(0, 1)
