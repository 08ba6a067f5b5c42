"""Where a server keeps what it holds; every name in it is the server's own."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from pathlib import Path

from heartlib.errors import HeartlibError

ID = re.compile(r"[0-9a-f]{24}")


def new_id() -> str:
    """24 hex digits that nobody guesses."""
    return secrets.token_hex(12)


def is_id(text: str) -> bool:
    """Whether a text has the form of an id."""
    return ID.fullmatch(text) is not None


class DataFolder:
    """The folder of one server, locked while it runs: HeartlibError where another one has it.

    store.sqlite; songs/OWNER/ID.mp3 and ID.safetensors; live/ID: what is being made; uploads/ID.flac;
    copies/ID.wav: songs in another format, until the next start.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.live, self.uploads, self.songs = root / "live", root / "uploads", root / "songs"
        self.arriving, self.indexes = root / "arriving", root / "indexes"
        self.copies = root / "copies"
        try:
            for folder in (
                self.live,
                self.uploads,
                self.songs,
                self.arriving,
                self.indexes,
                self.copies,
            ):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise HeartlibError(f"{root} cannot be used for data: {error.strerror}") from error
        self._take_lock()

    def close(self) -> None:
        """Lets another server have it."""
        os.close(self._lock)

    @property
    def store(self) -> Path:
        """The file of the tables."""
        return self.root / "store.sqlite"

    def secret(self) -> bytes:
        """32 random bytes that only this server knows, the same after a restart."""
        path = self.root / "secret"
        with contextlib.suppress(FileExistsError):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(32))
        held = path.read_bytes()
        if len(held) != 32:
            raise HeartlibError(f"{path} is damaged: remove it, and browsers get new names")
        return held

    def songs_of(self, owner: str) -> Path:
        """The folder of one owner's songs, whose name tells nothing of theirs."""
        folder = self.songs / hashlib.sha256(owner.encode()).hexdigest()[:24]
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def song(self, owner: str, id: str, suffix: str) -> Path:
        """A file of a song: its sound (mp3, wav, flac, ogg), codes (safetensors) or lyrics (lrc)."""
        assert is_id(id), id
        return self.songs_of(owner) / f"{id}.{suffix}"

    def copy(self, id: str, suffix: str) -> Path:
        """A song's sound in another format than it was made in."""
        assert is_id(id), id
        return self.copies / f"{id}.{suffix}"

    def index_of(self, owner: str) -> Path:
        """The search index of one owner's songs."""
        return self.indexes / f"{self.songs_of(owner).name}.sqlite"

    def upload(self, id: str) -> Path:
        """An upload, decoded."""
        assert is_id(id), id
        return self.uploads / f"{id}.flac"

    def clean(self, ids: set[str]) -> None:
        """After a start: half files, and files of songs and uploads that are not in the store, are removed."""
        for folder in (self.live, self.arriving, self.copies):
            for path in folder.iterdir():
                path.unlink()
        for path in [*self.uploads.iterdir(), *self.songs.glob("*/*")]:
            if path.stem not in ids:
                path.unlink()

    def _take_lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows
            return
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise HeartlibError(
                f"another heartlib serve uses {self.root}: stop it, or give another --data"
            ) from None
