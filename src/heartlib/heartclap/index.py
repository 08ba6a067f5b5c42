"""Search in a folder of music, by words and by songs.

N songs, D the space's width. Songs are found by the cosine between their places in HeartCLAP's space and the
query's: one product of a matrix [N, D] and a vector [D], exact.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import numpy as np
import torch

from heartlib import audio, checkpoints
from heartlib.errors import CheckpointError, HeartlibError, UsageError
from heartlib.heartclap.configuration_heartclap import HeartCLAPConfig
from heartlib.heartclap.folder import SUFFIXES, contents, file_hash
from heartlib.heartclap.index_file import IndexFile
from heartlib.heartclap.modeling_heartclap import HeartCLAP

FILE = ".heartlib-index.sqlite"
RATES = (1000, 1_000_000)  # Hz; a damaged header may claim that a minute of samples is a month


class SongError(HeartlibError):
    """A sound file that cannot be embedded."""


@dataclass(frozen=True)
class Found:
    """A song and the cosine between its place and the query's, -1 to 1."""

    path: Path
    score: float


@dataclass
class Updated:
    """What an update did: numbers of songs; the path and reason of each file skipped; files that are not audio."""

    new: int = 0
    changed: int = 0
    gone: int = 0
    kept: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)


def clap_folder(model: str | Path = "nano") -> Path:
    """The HeartCLAP folder of a checkpoint: "nano", a folder that holds HeartCLAP-oss, or that folder itself."""
    root = checkpoints.NANO if str(model) == "nano" else Path(model).expanduser()
    for folder in (root / "HeartCLAP-oss", root):
        if (folder / "config.json").is_file():
            return folder
    raise CheckpointError(f"there is no HeartCLAP in {root}: give nano or a folder that holds one")


class MusicIndex:
    """The songs of a folder in HeartCLAP's space, in a file that lies in the folder or elsewhere.

    folder: of the songs; may be left out where `file` exists. file: the index, else `.heartlib-index.sqlite`
    in the folder. model: as in `clap_folder`; it is loaded once, when it is first needed, or is there
    already (loaded). One index may be
    searched from many threads.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        file: str | Path | None = None,
        model: str | Path = "nano",
        device: str | torch.device = "cpu",
        loaded: HeartCLAP | None = None,
    ) -> None:
        if folder is None and file is None:
            raise UsageError("give the folder of the music, or the file of its index")
        self.folder = None if folder is None else _folder(folder)
        self.file = IndexFile(Path(file).expanduser() if file else Path(self.folder or "", FILE))
        if self.file.path.is_dir():
            raise UsageError(f"the index {self.file.path} is a folder; give the name of a file")
        self.clap = clap_folder(model)
        self.fingerprint = checkpoints.weights_hash(self.clap)
        self.device = device
        self._model = loaded
        self._lock = Lock()
        self._loaded: tuple[list[str], np.ndarray, int] = ([], np.empty((0, 0), np.float32), -1)

    @property
    def model(self) -> HeartCLAP:
        """The HeartCLAP that embeds."""
        with self._lock:
            if self._model is None:
                self._model = HeartCLAP.from_pretrained(self.clap, device=self.device)
            return self._model

    def update(self, progress: Callable[[int, int, str], None] | None = None) -> Updated:
        """Embeds what is new or has changed in the folder and takes out what is gone.

        Every song is kept as soon as it is embedded: after an interruption the next call goes on. A
        file of known content, moved or touched, is not embedded again. progress: called before each
        file with how many are done, how many there are to do, and its path. HeartlibError where the
        folder has never held a song or the index is of another model, folder or program.
        """
        folder = self.folder or _folder(self.file.about().folder)
        found = contents(folder)
        if not found.songs and not self.file.path.exists():
            raise HeartlibError(f"{folder} holds no sound file ({', '.join(SUFFIXES)})")
        width = checkpoints.read_config(self.clap, HeartCLAPConfig).embed_dim
        self.file.create(self.fingerprint, width, folder)
        self._check(folder)
        before = self.file.songs()
        report = Updated(skipped=found.skipped)
        itself = self.file.path.name
        report.others = [name for name in found.others if Path(name).name != itself]
        todo = [name for name, stat in found.songs.items() if before.get(name) != stat]
        for done, name in enumerate(todo):
            if progress:
                progress(done, len(todo), name)
            try:
                digest, place = self._place(folder / name)
            except SongError as error:
                report.skipped[name] = str(error).removeprefix(f"{folder / name} ")
                self.file.forget([name])
            else:
                self.file.put([(name, found.songs[name], digest, place)])
                report.new += name not in before
                report.changed += name in before
        self.file.forget(before.keys() - found.songs.keys())
        report.gone = len(before.keys() - self.file.songs().keys())
        report.kept = len(found.songs) - len(todo)
        return report

    def search(
        self, text: str | None = None, like: str | Path | None = None, count: int = 10
    ) -> list[Found]:
        """The songs nearest to a text, to a song, or to the middle between both; the best first.

        like: a sound file, in the folder or not; it is not found itself. UsageError without text and
        song, HeartlibError where there is no index or it was made with another model.
        """
        if count < 1:
            raise UsageError(f"count must be 1 or more, not {count}")
        if text is None and like is None:
            raise UsageError("nothing to search for: give a text, a song (like), or both")
        self._check()
        places = []
        if text is not None:
            if not text.strip():
                raise UsageError("the text is empty: describe the music, 'slow sad piano' say")
            places.append(self.model.embed_text([text])[0].float().cpu().numpy())
        if like is not None:
            song = Path(like).expanduser()
            if not song.is_file():
                raise UsageError(f"there is no sound file {song}")
            places.append(self._place(song)[1])
        return self.nearest(np.sum(places, axis=0), count, leave_out=like)

    def nearest(
        self, query: np.ndarray, count: int = 10, leave_out: str | Path | None = None
    ) -> list[Found]:
        """The songs nearest to a vector [D] of any length, the best first, without the file `leave_out`."""
        about = self.file.about()
        if about.changes != self._loaded[2]:
            self._loaded = self.file.places()
        names, places, _ = self._loaded
        scores = places @ (query / np.linalg.norm(query)).astype(np.float32)
        order = np.argsort(-scores, kind="stable")[: count + 1]
        found = [Found(about.folder / names[row], float(scores[row])) for row in order]
        if leave_out is not None:
            itself = Path(leave_out).expanduser().resolve()
            found = [song for song in found if song.path.resolve() != itself]
        return found[:count]

    def _check(self, folder: Path | None = None) -> None:
        about = self.file.about()
        if about.model != self.fingerprint:
            raise HeartlibError(
                f"the index {self.file.path} was made with another HeartCLAP ({about.model}, this one is "
                f"{self.fingerprint}): name that one with --model, or remove the index and run "
                "`heartlib index` again"
            )
        if folder is not None and about.folder.resolve() != folder.resolve():
            raise UsageError(
                f"the index {self.file.path} is of {about.folder}, not of {folder}: give another --index"
            )

    def _place(self, path: Path) -> tuple[bytes, np.ndarray]:
        """The hash of a sound file and its place [D]; embedded only where its content is not known."""
        try:
            digest = file_hash(path)
        except OSError as error:
            raise SongError(f"{path} cannot be read: {error.strerror}") from error
        known = self.file.place(digest)
        return digest, self._embed(path) if known is None else known

    def _embed(self, path: Path) -> np.ndarray:
        model = self.model
        if not path.stat().st_size:
            raise SongError(f"{path} is empty")
        try:
            pieces, rate = audio.read_pieces(path)
            if not RATES[0] <= rate <= RATES[1]:
                raise SongError(
                    f"{path} has a sample rate of {rate} Hz; {RATES[0]} to {RATES[1]} are music"
                )
            return model.embed_pieces(pieces, rate).float().cpu().numpy()
        except UsageError as error:
            raise SongError(f"{path} cannot be embedded: {error}") from error
        except HeartlibError as error:
            raise SongError(str(error)) from error


def _folder(folder: str | Path) -> Path:
    folder = Path(folder).expanduser()
    if not folder.exists():
        raise UsageError(f"there is no folder {folder}")
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file; give the folder of the music")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise HeartlibError(f"{folder} cannot be read: you may not look into it")
    return folder
