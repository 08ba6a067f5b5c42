"""The file of a music index: songs and their places in HeartCLAP's space, in SQLite.

N songs, D the space's width. Every write is one transaction, so that a crash leaves the file as it
was before or after. SQLite's own rollback journal keeps it one file, which can also be searched
where nothing can be written.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heartlib.errors import HeartlibError

APPLICATION = 0x4845434C  # "HECL", in SQLite's header
FORMAT = 1
WAIT_SECONDS = 30.0
TABLES = (
    "CREATE TABLE about (model TEXT, width INTEGER, folder BLOB, changes INTEGER)",
    "CREATE TABLE songs (path BLOB PRIMARY KEY, size INTEGER, changed INTEGER, hash BLOB, place BLOB)",
    "CREATE INDEX songs_by_hash ON songs (hash)",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {FORMAT}",
)


@dataclass(frozen=True)
class About:
    """model: the hash of the HeartCLAP weights. folder: of the songs. changes: how often it was written."""

    model: str
    width: int
    folder: Path
    changes: int


class IndexFile:
    """One index on the disk; every call opens it anew, so that threads and processes can share it.

    HeartlibError from every method where the file is missing, foreign, damaged or locked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self, model: str, width: int, folder: Path) -> None:
        """Makes the file where there is none or an empty one. Songs are named from `folder`."""
        here = folder.resolve() == self.path.parent.resolve()
        kept = b"." if here else os.fsencode(folder.resolve())
        if not self.path.parent.is_dir():
            raise HeartlibError(f"{self.path}: there is no folder {self.path.parent}")
        with self._errors_told(), closing(self._open("rwc")) as file, _transaction(file):
            (tables,) = file.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if not tables:
                for statement in TABLES:
                    file.execute(statement)
                file.execute("INSERT INTO about VALUES (?, ?, ?, 0)", (model, width, kept))

    def about(self) -> About:
        """What the songs were embedded with, and where they are."""
        with self._reading() as file:
            model, width, folder, changes = file.execute("SELECT * FROM about").fetchone()
        return About(model, width, self.path.parent / os.fsdecode(folder), changes)

    def songs(self) -> dict[str, tuple[int, int]]:
        """Path -> size in bytes and time of change in ns, of every song."""
        with self._reading() as file:
            rows = file.execute("SELECT path, size, changed FROM songs").fetchall()
        return {os.fsdecode(path): (size, changed) for path, size, changed in rows}

    def place(self, digest: bytes) -> np.ndarray | None:
        """The place [D] of a song of the same content, if there is one."""
        with self._reading() as file:
            row = file.execute("SELECT place FROM songs WHERE hash = ?", (digest,)).fetchone()
        return np.frombuffer(row[0], np.float32) if row else None

    def places(self) -> tuple[list[str], np.ndarray, int]:
        """All paths in order, their places float32 [N, D], and `About.changes`."""
        with self._reading() as file, _transaction(file, "BEGIN"):
            width, changes = file.execute("SELECT width, changes FROM about").fetchone()
            (count,) = file.execute("SELECT count(*) FROM songs").fetchone()
            paths, places = [], np.empty((count, width), np.float32)
            rows = file.execute("SELECT path, place FROM songs ORDER BY path")
            for row, (path, place) in zip(places, rows, strict=True):
                if len(place) != row.nbytes:
                    raise sqlite3.DatabaseError(f"{os.fsdecode(path)} has no place of {width}")
                row[:] = np.frombuffer(place, np.float32)
                paths.append(os.fsdecode(path))
        return paths, places, changes

    def put(self, songs: Iterable[tuple[str, tuple[int, int], bytes, np.ndarray]]) -> None:
        """Adds or replaces songs: path, (size, time of change), hash, place [D]."""
        rows = [
            (os.fsencode(path), *stat, digest, np.asarray(place, np.float32).tobytes())
            for path, stat, digest, place in songs
        ]
        self._write("INSERT OR REPLACE INTO songs VALUES (?, ?, ?, ?, ?)", rows)

    def forget(self, paths: Iterable[str]) -> None:
        """Takes songs out."""
        self._write("DELETE FROM songs WHERE path = ?", [(os.fsencode(path),) for path in paths])

    def _write(self, statement: str, rows: list[tuple]) -> None:
        if rows:
            with self._reading() as file, _transaction(file):
                file.executemany(statement, rows)
                file.execute("UPDATE about SET changes = changes + 1")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        if not self.path.is_file():
            raise HeartlibError(f"there is no index {self.path}: make it with `heartlib index DIR`")
        with self._errors_told(), closing(self._open("rw")) as file:
            yield file

    def _open(self, mode: str) -> sqlite3.Connection:
        uri = f"{self.path.absolute().as_uri()}?mode={mode}"
        file = sqlite3.connect(uri, uri=True, timeout=WAIT_SECONDS, isolation_level=None)
        try:
            (application,) = file.execute("PRAGMA application_id").fetchone()
            (version,) = file.execute("PRAGMA user_version").fetchone()
            (tables,) = file.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if application != APPLICATION and (tables or mode == "rw"):
                raise sqlite3.DatabaseError("file is not a database of heartlib")
            if application == APPLICATION and version != FORMAT:
                raise HeartlibError(
                    f"{self.path} has format {version} and this heartlib reads {FORMAT}: remove it "
                    "and run `heartlib index` again"
                )
        except BaseException:
            file.close()
            raise
        return file

    @contextmanager
    def _errors_told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            reason = str(error)
            if "locked" in reason:
                hint = "another program writes it; try again when that has ended"
            elif "not a database" in reason:
                hint = "give another file with --index, or remove it and run `heartlib index` again"
            elif any(word in reason for word in ("readonly", "unable to open", "full", "I/O")):
                hint = "give a file that can be written with --index"
            else:
                hint = "it is damaged: remove it and run `heartlib index` again"
            raise HeartlibError(
                f"the index {self.path} cannot be used ({reason}): {hint}"
            ) from error


@contextmanager
def _transaction(file: sqlite3.Connection, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
    with file:
        file.execute(begin)
        yield
