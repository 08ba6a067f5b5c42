"""Lyrics and tags from the person: text, or the path of a file that holds it."""

import difflib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from heartlib.errors import CheckpointError, UsageError

TAGS_FILE = "tags.json"


def text_or_file(value: object, what: str) -> str:
    """The text itself, or what the file of that name holds.

    A value that looks like a path (it ends in .txt, or is one line with a path separator) and does
    not exist is a UsageError: it is never sung.
    """
    if isinstance(value, os.PathLike):
        return read_text(Path(value), what)
    if not isinstance(value, str):
        raise UsageError(f"{what} must be text or a path, not {type(value).__name__}")
    if "\n" in value or "\0" in value:
        return value
    path = Path(os.path.expanduser(value.strip()))
    try:
        is_file = path.is_file()
    except OSError:  # a line too long to be a file's name
        is_file = False
    if is_file or looks_like_path(value):
        return read_text(path, what)
    return value


def looks_like_path(value: str) -> bool:
    """Whether one line of text can only be meant as a path."""
    value = value.strip()
    if "\n" in value or not value:
        return False
    separators = [os.sep, *([os.altsep] if os.altsep else [])]
    if value.lower().endswith(".txt") or value.startswith(("./", "../", "~", *separators)):
        return True
    has_separator = any(separator in value for separator in separators)
    return has_separator and "," not in value and not value.startswith(("[", "<"))


def read_text(path: Path, what: str) -> str:
    """A UTF-8 text file; UsageError where it is missing or not text."""
    path = Path(os.path.expanduser(path))
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"{what}: there is no file {path}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{what}: {path} is not UTF-8 text") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{what}: {path} cannot be read: {reason}") from None


def check_lyrics(lyrics: str) -> str:
    """Lyrics as they will be sung; UsageError for none, or for the name of a file in their place."""
    if lyrics.strip().lower().endswith(".txt") and "\n" not in lyrics.strip():
        raise UsageError(f"{lyrics.strip()!r} is the name of a file, not lyrics")
    if not lyrics.strip():
        raise UsageError("the lyrics are empty; for a song without words write [Instrumental]")
    return lyrics.strip("\ufeff\r\n \t").replace("\r\n", "\n").replace("\r", "\n")


def check_tags(tags: str, root: Path, *, optional: bool = False) -> str:
    """Tags as the model reads them, "pop,female"; UsageError where they are unknown, or empty and not `optional`.

    A checkpoint with a tags.json ({category: [tag, ...]}) in its folder `root` takes only those.
    """
    inner = re.sub(r"^\s*<tag>|</tag>\s*$", "", tags.strip(), flags=re.IGNORECASE)
    names = [name.strip().lower() for name in re.split(r"[,\n]", inner) if name.strip()]
    if not names and not optional:
        raise UsageError("the tags are empty; give some, like pop,female,piano")
    known = known_tags(root)
    every = sorted({tag for group in known.values() for tag in group})
    for name in names:
        if every and name not in every:
            near = difflib.get_close_matches(name, every, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else "it knows"
            shown = "" if near else f" {', '.join(every[:8])} and {max(0, len(every) - 8)} more:"
            raise UsageError(
                f"tag {name!r} is not known to this model; {hint}{shown} "
                f"see all with `heartlib doctor --tags`"
            )
    return ",".join(names)


def known_tags(root: Path) -> Mapping[str, list[str]]:
    """The tags a checkpoint was trained on, by category; empty where it takes any."""
    path = root / TAGS_FILE
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {str(kind): [str(tag) for tag in group] for kind, group in data.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{path} must hold {{category: [tag, ...]}}: {error}") from error
