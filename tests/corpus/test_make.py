"""What is there already, and what is refused, in a corpus folder; nothing is rendered."""

import json
from pathlib import Path

import pytest

from heartlib.corpus.make import Job, make
from heartlib.corpus.render import song_id
from heartlib.errors import HeartlibError, UsageError

TRUTH = {
    "id": "main-0000001",
    "seed": 1,
    "tags": "pop",
    "lyrics": "[Verse]\nla",
    "language": "en",
    "duration": 20.0,
    "tempo_class": "slow",
    "mode": "major",
    "singer": "female",
    "words": [{"word": "la"}],
    "doubled": None,
    "programs": {"main": 0, "bass": 33},
}


def _folder(tmp_path: Path, **changes) -> Path:
    (tmp_path / "truth").mkdir(exist_ok=True)
    path = tmp_path / "truth" / f"{song_id(1)}.json"
    path.write_text(json.dumps({k: v for k, v in (TRUTH | changes).items() if v != "gone"}))
    return tmp_path


def test_a_song_is_made_when_all_that_is_asked_for_is_there(tmp_path: Path) -> None:
    font = Path("font")
    assert not Job(tmp_path, 1, "main", font).made()
    folder = _folder(tmp_path)
    assert Job(folder, 1, "main", font).made() and not Job(folder, 2, "main", font).made()
    asked = Job(folder, 1, "main", font, stems=("voice", "second", "main", "drums"))
    stems = folder / "stems" / song_id(1)
    stems.mkdir(parents=True)
    (stems / "voice.flac").touch()
    assert not asked.made()  # the main instrument is missing; a second take and drums it has none
    (stems / "main.flac").touch()
    assert asked.made()
    assert not Job(folder, 1, "main", font, midi=True).made()


def test_another_language_needs_another_folder(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    assert Job(folder, 1, "main", Path("font"), language="en").made()
    with pytest.raises(HeartlibError, match="is sung in en, not es: use a new folder"):
        Job(folder, 1, "main", Path("font"), language="es").made()
    _folder(tmp_path, singer="none")
    assert Job(folder, 1, "main", Path("font"), language="es").made()


def test_an_earlier_corpus_is_not_gone_on_with(tmp_path: Path) -> None:
    folder = _folder(tmp_path, language="gone")
    with pytest.raises(HeartlibError, match="of an earlier corpus, without language"):
        Job(folder, 1, "main", Path("font")).made()


def test_unknown_parts_and_languages(tmp_path: Path) -> None:
    font = tmp_path / "font.sf2"
    font.touch()
    with pytest.raises(UsageError, match="no stem vocals; there are voice, second"):
        make(tmp_path / "out", songs=1, font=font, stems=("vocals",))
    with pytest.raises(UsageError, match="no language 'fr'; there are en, es"):
        make(tmp_path / "out", songs=1, font=font, language="fr")
    assert not (tmp_path / "out").exists()
