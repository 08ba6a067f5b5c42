"""A benchmark file: lines of {"id", "language", "lyrics", "tags"}, and the songs that it asks for."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from heartlib.errors import UsageError
from heartlib.evaluation.pieces import Piece
from heartlib.pipelines.inputs import check_lyrics, check_tags

SHIPPED = "benchmark"
"""The word that names the file of the package."""
KEYS = ("id", "language", "lyrics", "tags")
FORM = '{"id": "a-1", "language": "en", "lyrics": "[Verse]...", "tags": "pop,female"}'
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
SEEDS = 2**31


@dataclass(frozen=True)
class Item:
    """One song of a benchmark. `id` begins the names of its files; `tags` are parted by commas."""

    id: str
    language: str
    lyrics: str
    tags: str


def find(name: str | Path) -> Path:
    """The file of the package for the bare word "benchmark", else the path itself."""
    if str(name) == SHIPPED:
        return Path(__file__).with_name("benchmark.jsonl")
    return Path(name).expanduser()


def read_items(path: Path, languages: Collection[str]) -> list[Item]:
    """The items of a file, in its order; `languages`: the codes that are allowed.

    UsageError, with the line's number, for what is no benchmark; unknown keys are left out.
    """
    items: list[Item] = []
    lines: dict[str, int] = {}
    for number, line in _lines(path):
        item = _item(line, f"{path}, line {number}", languages)
        same = lines.setdefault(item.id.lower(), number)  # some disks do not tell A from a
        if same != number:
            raise UsageError(f"{path}, line {number}: line {same} has the id {item.id!r} too")
        items.append(item)
    if not items:
        raise UsageError(f"{path} is empty; each line must be like {FORM}")
    return items


def first(items: Sequence[Item], songs: int | None) -> list[Item]:
    """The first `songs` items of each language, None for all."""
    seen: Counter[str] = Counter()
    found: list[Item] = []
    for item in items:
        seen[item.language] += 1
        if songs is None or seen[item.language] <= songs:
            found.append(item)
    return found


def seed_of(item_id: str, number: int) -> int:
    """The seed of an item's song `number`, 0 and up: below 2**31, of nothing but these two."""
    digest = hashlib.sha256(f"{item_id}/{number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % SEEDS


def pieces_of(items: Sequence[Item], seeds: int, length: float, root: Path) -> list[Piece]:
    """What is sung: `seeds` songs of each item, at most `length` seconds; a set is a language.

    root: the model's folder. UsageError, with the item's id, for lyrics or tags that it does not take.
    """
    found: list[Piece] = []
    for item in items:
        try:
            lyrics, tags = check_lyrics(item.lyrics), check_tags(item.tags, root)
        except UsageError as error:
            raise UsageError(f"item {item.id!r}: {error}") from error
        for seed in (seed_of(item.id, number) for number in range(seeds)):
            found.append(Piece(item.language, f"{item.id}-{seed}", tags, lyrics, seed, length))
    return found


def item_of(piece: Piece) -> str:
    """The id of a piece's item."""
    return piece.name.removesuffix(f"-{piece.seed}")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number, from 1, and text of every line that is not blank."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError(
            f"there is no benchmark file {path}; `heartlib evaluate {SHIPPED}` takes the one of the package"
        ) from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a folder; give a file of lines like {FORM}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path} cannot be read: {reason}") from None
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line


def _item(line: str, where: str, languages: Collection[str]) -> Item:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: not JSON ({error}); it must be like {FORM}") from None
    if not isinstance(data, dict):
        raise UsageError(f"{where}: not an object; it must be like {FORM}")
    if type(data.get("id")) is int:
        data["id"] = str(data["id"])
    for key in KEYS:
        if key not in data:
            raise UsageError(f"{where}: there is no {key!r}; it must be like {FORM}")
        if not isinstance(data[key], str) or not data[key].strip():
            raise UsageError(f"{where}: {key!r} must be text that is not empty, not {data[key]!r}")
        if any("\ud800" <= sign <= "\udfff" for sign in data[key]):
            raise UsageError(f"{where}: {key!r} holds half a sign, which no file can")
    if not FILE_NAME.fullmatch(data["id"]):
        raise UsageError(
            f"{where}: the id {data['id']!r} cannot begin a file's name; it has letters a to z, "
            "digits, _ - and ., at most 100, and begins with none of - and ."
        )
    if data["language"] not in languages:
        raise UsageError(
            f"{where}: no language {data['language']!r}; there are {', '.join(languages)}"
        )
    return Item(*(data[key] for key in KEYS))
