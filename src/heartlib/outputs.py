"""Files that get their name only when they are complete."""

import os
import secrets
from pathlib import Path

from heartlib.errors import HeartlibError, UsageError


def check_target(path: str | Path, *, overwrite: bool = False) -> Path:
    """Say before the work whether `path` can be written: UsageError for a name, HeartlibError for a disk.

    Returns the path that will be written, with links followed.
    """
    target = Path(os.path.realpath(os.path.expanduser(path)))
    try:
        if target.is_dir():
            raise UsageError(f"{path} is a folder; give the name of a file in it")
        if target.exists() and not overwrite:
            raise UsageError(
                f"{path} exists already; choose another name or give --overwrite (overwrite=True)"
            )
        if not target.parent.is_dir():
            raise UsageError(f"{path}: there is no folder {target.parent}; make it first")
        probe = temporary(target)
        probe.open("xb").close()
        probe.unlink()
    except OSError as error:
        raise HeartlibError(f"{path} cannot be written: {error.strerror}") from error
    return target


def temporary(target: Path) -> Path:
    """A name beside `target` to write to."""
    return target.with_name(f".heartlib-{secrets.token_hex(6)}.part")


def publish(work: Path, target: Path, overwrite: bool) -> None:
    """Give a complete file its name; UsageError where another has it, unless `overwrite`."""
    if overwrite:
        os.replace(work, target)
        return
    try:
        os.link(work, target)  # unlike a rename, this fails where the name was taken meanwhile
    except FileExistsError:
        raise UsageError(f"{target} exists already; choose another name") from None
    except OSError:  # a file system without hard links
        if target.exists():
            raise UsageError(f"{target} exists already; choose another name") from None
        os.replace(work, target)


def write_text(path: str | Path, text: str, *, overwrite: bool = False) -> Path:
    """Write UTF-8 text as `write_bytes`."""
    return write_bytes(path, text.encode(), overwrite=overwrite)


def write_bytes(path: str | Path, data: bytes, *, overwrite: bool = False) -> Path:
    """Write a file, whole or not at all; returns the path. Raises as `check_target` does."""
    target = check_target(path, overwrite=overwrite)
    work = temporary(target)
    try:
        work.write_bytes(data)
        publish(work, target, overwrite)
    except OSError as error:
        raise HeartlibError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        work.unlink(missing_ok=True)
    return target
