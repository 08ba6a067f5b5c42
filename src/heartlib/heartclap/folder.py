"""A folder of music: which of its files are songs."""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG

SUFFIXES = (
    *("wav", "wave", "w64", "rf64", "aif", "aiff", "aifc", "au", "snd", "caf"),
    *("flac", "mp3", "ogg", "oga", "opus"),
)


@dataclass
class Contents:
    """songs: path in the folder, with `/` -> size in bytes and time of change in ns.

    skipped: path -> why it cannot be a song. others: files whose suffix is none of SUFFIXES.
    """

    songs: dict[str, tuple[int, int]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)


def contents(folder: Path) -> Contents:
    """What a folder and its folders hold. Links are not followed; names that begin with a dot are passed over."""
    found = Contents()

    def refused(error: OSError) -> None:
        found.skipped[name_in(folder, Path(error.filename))] = f"cannot be read: {error.strerror}"

    for here, folders, files in os.walk(folder, onerror=refused):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in [*folders, *sorted(files)]:
            path = Path(here, name)
            if not name.startswith("."):
                _sort(path, name_in(folder, path), found)
    return found


def _sort(path: Path, name: str, found: Contents) -> None:
    try:
        stat = path.lstat()
    except OSError as error:
        found.skipped[name] = f"cannot be read: {error.strerror}"
        return
    if S_ISLNK(stat.st_mode):
        found.skipped[name] = "is a link, which is not followed"
    elif S_ISDIR(stat.st_mode):
        return
    elif path.suffix.lower().lstrip(".") not in SUFFIXES:
        found.others.append(name)
    elif S_ISREG(stat.st_mode):
        found.songs[name] = (stat.st_size, stat.st_mtime_ns)
    else:
        found.skipped[name] = "is a pipe or a device"


def name_in(folder: Path, path: Path) -> str:
    """The path of a file from its folder, with `/`."""
    return path.relative_to(folder).as_posix()


def file_hash(path: Path) -> bytes:
    """SHA-256 of a file, read piece by piece; OSError as from `open`."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.digest()
