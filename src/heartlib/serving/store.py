"""The songs, uploads and idempotency keys of a server, in one SQLite file that survives `kill -9`."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS songs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
    status TEXT NOT NULL, request TEXT NOT NULL, created REAL NOT NULL, begun REAL, ended REAL,
    attempts INTEGER NOT NULL DEFAULT 0, error TEXT, result TEXT
);
CREATE INDEX IF NOT EXISTS songs_of_owner ON songs (owner, number);
CREATE INDEX IF NOT EXISTS songs_by_status ON songs (status);
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, created REAL NOT NULL, seconds REAL NOT NULL,
    bytes INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS uploads_of_owner ON uploads (owner);
CREATE TABLE IF NOT EXISTS idempotency (
    owner TEXT NOT NULL, key TEXT NOT NULL, digest TEXT NOT NULL, songs TEXT NOT NULL, created REAL NOT NULL,
    PRIMARY KEY (owner, key)
) WITHOUT ROWID;
"""
UNFINISHED = ("waiting", "singing")
KEYS_KEPT = 7 * 24 * 3600  # seconds


@dataclass
class SongRow:
    """One song: what was asked for, how far it is, and what became of it.

    status: waiting, singing, done, failed or cancelled. request: as it was accepted, the seed drawn. result: of a
    finished song, JSON-able. Times are seconds since 1970.
    """

    id: str
    owner: str
    request: dict[str, Any]
    status: str = "waiting"
    created: float = field(default_factory=time.time)
    begun: float | None = None
    ended: float | None = None
    attempts: int = 0
    error: str | None = None
    result: dict[str, Any] | None = None
    number: int = 0

    @property
    def finished(self) -> bool:
        """Whether nothing more happens to it."""
        return self.status not in UNFINISHED


@dataclass(frozen=True)
class UploadRow:
    """A sound that a client sent, decoded: its length, and the bytes of the file that holds it."""

    id: str
    owner: str
    created: float
    seconds: float
    bytes: int


class Store:
    """The tables of one file. Every method is one transaction; one thread at a time uses it.

    What a method wrote is on the disk when it returns (WAL, synchronous FULL).
    """

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 5000"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        """Folds the log into the file and closes it."""
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()

    def begin_again(self) -> list[SongRow]:
        """After a start: what was being sung waits again. All songs that wait, the oldest first."""
        with self._transaction():
            self._db.execute("UPDATE songs SET status='waiting', begun=NULL WHERE status='singing'")
            self._db.execute(
                "DELETE FROM idempotency WHERE created < ?", (time.time() - KEYS_KEPT,)
            )
        rows = self._db.execute("SELECT * FROM songs WHERE status='waiting' ORDER BY number")
        return [_song(row) for row in rows]

    def accept(self, songs: Iterable[SongRow], key: tuple[str, str] | None = None) -> None:
        """Takes songs in, all or none; key: idempotency key and digest of the body, of their owner."""
        songs = list(songs)
        with self._transaction():
            for song in songs:
                self._db.execute(
                    "INSERT INTO songs (id, owner, status, request, created) VALUES (?, ?, ?, ?, ?)",
                    (song.id, song.owner, song.status, json.dumps(song.request), song.created),
                )
            if key is not None:
                ids = json.dumps([song.id for song in songs])
                self._db.execute(
                    "INSERT INTO idempotency VALUES (?, ?, ?, ?, ?)",
                    (songs[0].owner, *key, ids, time.time()),
                )

    def accepted(self, owner: str, key: str) -> tuple[str, list[SongRow]] | None:
        """The digest and the songs of an idempotency key that was used before; removed songs are left out."""
        row = self._db.execute(
            "SELECT digest, songs FROM idempotency WHERE owner=? AND key=?", (owner, key)
        ).fetchone()
        if row is None:
            return None
        found = [self.song(id, owner) for id in json.loads(row["songs"])]
        return row["digest"], [song for song in found if song is not None]

    def song(self, id: str, owner: str) -> SongRow | None:
        """One song of an owner; None where there is no such song of theirs."""
        row = self._db.execute("SELECT * FROM songs WHERE id=? AND owner=?", (id, owner)).fetchone()
        return None if row is None else _song(row)

    def songs(
        self, owner: str, *, limit: int, before: int | None = None, status: str | None = None
    ) -> list[SongRow]:
        """Songs of an owner, the newest first; before: the number of one, for those before it."""
        rows = self._db.execute(
            "SELECT * FROM songs WHERE owner=? AND number < ? AND (? IS NULL OR status=?) "
            "ORDER BY number DESC LIMIT ?",
            (owner, 2**62 if before is None else before, status, status, limit),
        )
        return [_song(row) for row in rows]

    def count_songs(self, owner: str) -> int:
        """How many songs an owner has, finished or not."""
        found = self._db.execute("SELECT COUNT(*) FROM songs WHERE owner=?", (owner,))
        return found.fetchone()[0]

    def counts(self) -> dict[str, int]:
        """How many songs there are by status."""
        rows = self._db.execute("SELECT status, COUNT(*) FROM songs GROUP BY status")
        return {status: count for status, count in rows}

    def update(self, song: SongRow) -> None:
        """Writes what may change of a song."""
        with self._transaction():
            self._db.execute(
                "UPDATE songs SET status=?, begun=?, ended=?, attempts=?, error=?, result=? WHERE id=?",
                (
                    song.status,
                    song.begun,
                    song.ended,
                    song.attempts,
                    song.error,
                    None if song.result is None else json.dumps(song.result),
                    song.id,
                ),
            )

    def remove_song(self, id: str) -> None:
        """Forgets a song."""
        with self._transaction():
            self._db.execute("DELETE FROM songs WHERE id=?", (id,))

    def add_upload(self, upload: UploadRow) -> None:
        """Takes an upload in."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO uploads VALUES (?, ?, ?, ?, ?)",
                (upload.id, upload.owner, upload.created, upload.seconds, upload.bytes),
            )

    def upload(self, id: str, owner: str) -> UploadRow | None:
        """One upload of an owner; None where there is no such upload of theirs."""
        row = self._db.execute(
            "SELECT * FROM uploads WHERE id=? AND owner=?", (id, owner)
        ).fetchone()
        return None if row is None else UploadRow(**dict(row))

    def uploads(self, owner: str) -> list[UploadRow]:
        """An owner's uploads, the newest first."""
        rows = self._db.execute(
            "SELECT * FROM uploads WHERE owner=? ORDER BY created DESC", (owner,)
        )
        return [UploadRow(**dict(row)) for row in rows]

    def remove_upload(self, id: str) -> None:
        """Forgets an upload."""
        with self._transaction():
            self._db.execute("DELETE FROM uploads WHERE id=?", (id,))

    def ids(self) -> set[str]:
        """Of all songs and uploads: files of others are nobody's."""
        rows = self._db.execute("SELECT id FROM songs UNION SELECT id FROM uploads")
        return {id for (id,) in rows}

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _song(row: sqlite3.Row) -> SongRow:
    held = dict(row)
    held["request"] = json.loads(held["request"])
    held["result"] = None if held["result"] is None else json.loads(held["result"])
    return SongRow(**held)
