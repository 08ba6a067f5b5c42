"""Who may use a server: API keys from a file, of which only digests are held."""

from __future__ import annotations

import hashlib
import hmac
import re
import stat
import sys
from pathlib import Path

from heartlib.errors import UsageError

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
SHORTEST_KEY = 16


class Keys:
    """Names of owners by the digest of their key."""

    def __init__(self, keys: dict[str, str]) -> None:
        self._digests = [(_digest(key), name) for name, key in keys.items()]

    @classmethod
    def read(cls, path: Path) -> Keys:
        """Lines `name:key`; empty ones and those that begin with # are passed over. UsageError for others."""
        try:
            mode = path.stat().st_mode
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--api-key-file {path} cannot be read: {error}") from error
        if mode & (stat.S_IRGRP | stat.S_IROTH):
            print(
                f"heartlib: warning: others can read {path}; chmod 600 {path}",
                file=sys.stderr,
            )
        keys: dict[str, str] = {}
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            name, _, key = (part.strip() for part in line.partition(":"))
            where = f"--api-key-file {path}, line {number}"
            if not NAME.fullmatch(name) or name in keys:
                raise UsageError(
                    f"{where}: write name:key, each name once, of letters, digits and ._-"
                )
            if len(key) < SHORTEST_KEY or not key.isascii() or not key.isprintable():
                raise UsageError(f"{where}: a key is {SHORTEST_KEY} printable ASCII signs or more")
            keys[name] = key
        if not keys:
            raise UsageError(f"--api-key-file {path} holds no key; write lines name:key")
        return cls(keys)

    def owner(self, key: str) -> str | None:
        """Whose key it is, None for nobody's; takes as long for any key."""
        digest, found = _digest(key), None
        for known, name in self._digests:
            if hmac.compare_digest(known, digest):
                found = name
        return found

    def digest(self, owner: str) -> bytes | None:
        """The digest of an owner's key, None where there is no such owner."""
        return next((known for known, name in self._digests if name == owner), None)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
