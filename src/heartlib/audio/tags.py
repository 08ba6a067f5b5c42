"""What a song file says about itself: ID3 (mp3, wav) or Vorbis comments (flac, ogg).

Everything is kept in one JSON value under the key HEARTLIB; title, comment and lyrics stand once
more in the fields that players show.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heartlib.errors import HeartlibError, UsageError

KEY = "HEARTLIB"
SHOWN = {"title": "TITLE", "comment": "COMMENT", "lyrics": "LYRICS"}


def write_tags(path: str | Path, tags: Mapping[str, Any], *, container: str) -> None:
    """Put JSON-able `tags` into a finished file. `container`: WAV, MP3, FLAC or OGG."""
    blob = json.dumps(dict(tags), ensure_ascii=False, sort_keys=True)
    shown = {name: str(tags[name]) for name in SHOWN if tags.get(name)}
    if container in ("FLAC", "OGG"):
        _write_vorbis(path, container, blob, shown)
    else:
        _write_id3(path, container, blob, shown)


def read_tags(path: str | Path) -> dict[str, Any]:
    """What `write` was given as tags; HeartlibError where the file carries none."""
    import mutagen
    from mutagen.id3 import ID3

    path = Path(os.path.expanduser(path))
    if not path.is_file():
        raise UsageError(f"there is no sound file {path}")
    try:
        file = mutagen.File(path)  # pyright: ignore[reportPrivateImportUsage]
    except (mutagen.MutagenError, OSError) as error:  # pyright: ignore[reportPrivateImportUsage]
        raise HeartlibError(f"{path} cannot be read as sound: {error}") from error
    held: Any = file.tags if file is not None else None
    texts: list[str] = []
    if isinstance(held, ID3):
        texts = [str(frame.text[0]) for frame in held.getall(f"TXXX:{KEY}")]
    elif held is not None:
        texts = list(held.get(KEY) or [])
    if not texts:
        raise HeartlibError(f"{path} does not say how it was made: heartlib did not write it")
    try:
        data = json.loads(texts[0])
    except json.JSONDecodeError as error:
        raise HeartlibError(f"{path}: its heartlib tag is damaged: {error}") from error
    if not isinstance(data, dict):
        raise HeartlibError(f"{path}: its heartlib tag is damaged: not an object")
    return data


def _write_vorbis(path: str | Path, container: str, blob: str, shown: dict[str, str]) -> None:
    from mutagen.flac import FLAC
    from mutagen.oggvorbis import OggVorbis

    file: Any = FLAC(path) if container == "FLAC" else OggVorbis(path)
    file[KEY] = blob
    for name, text in shown.items():
        file[SHOWN[name]] = text
    file.save()


def _write_id3(path: str | Path, container: str, blob: str, shown: dict[str, str]) -> None:
    from mutagen.id3 import COMM, TIT2, TXXX, USLT  # pyright: ignore[reportPrivateImportUsage]
    from mutagen.mp3 import MP3
    from mutagen.wave import WAVE

    file: Any = MP3(path) if container == "MP3" else WAVE(path)
    if file.tags is None:
        file.add_tags()
    held: Any = file.tags
    held.add(TXXX(encoding=3, desc=KEY, text=[blob]))
    if "title" in shown:
        held.add(TIT2(encoding=3, text=[shown["title"]]))
    if "comment" in shown:
        held.add(COMM(encoding=3, lang="eng", desc="", text=[shown["comment"]]))
    if "lyrics" in shown:
        held.add(USLT(encoding=3, lang="XXX", desc="", text=shown["lyrics"]))
    file.save()
