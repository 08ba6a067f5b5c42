"""Text or a file; lyrics and tags that a model can sing."""

from pathlib import Path

import pytest

from heartlib.errors import CheckpointError, UsageError
from heartlib.pipelines.inputs import check_lyrics, check_tags, text_or_file


def test_text_is_text_and_a_file_is_read(tmp_path: Path):
    path = tmp_path / "words"
    path.write_text("\ufeff[Verse]\nla", encoding="utf-8")
    assert text_or_file("[Verse]\nla / la", "lyrics") == "[Verse]\nla / la"
    assert text_or_file("pop,r&b/soul", "tags") == "pop,r&b/soul"
    assert text_or_file("la " * 5000, "lyrics") == "la " * 5000
    assert text_or_file(str(path), "lyrics") == "[Verse]\nla"
    assert text_or_file(path, "lyrics") == "[Verse]\nla"


@pytest.mark.parametrize("value", ["no.txt", "./no", "folder/no", "/no/where", "~/no.TXT"])
def test_a_missing_path_is_never_sung(value: str):
    with pytest.raises(UsageError, match="lyrics: there is no file"):
        text_or_file(value, "lyrics")


def test_files_that_are_not_text(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(UsageError, match="is not UTF-8 text"):
        text_or_file(str(tmp_path / "a.txt"), "lyrics")
    with pytest.raises(UsageError, match="cannot be read"):
        text_or_file(tmp_path, "lyrics")
    with pytest.raises(UsageError, match="must be text or a path, not int"):
        text_or_file(3, "lyrics")


def test_lyrics():
    assert check_lyrics("  [Verse]\r\nla\r\n\n") == "[Verse]\nla"
    with pytest.raises(UsageError, match="lyrics are empty"):
        check_lyrics(" \n\t")
    with pytest.raises(UsageError, match="the name of a file, not lyrics"):
        check_lyrics("song.txt")


def test_tags_of_a_model_that_takes_any(tmp_path: Path):
    assert check_tags("<tag>Pop, Female\nsad</tag>", tmp_path) == "pop,female,sad"
    for empty in ("", " , ", "<tag></tag>"):
        with pytest.raises(UsageError, match="tags are empty"):
            check_tags(empty, tmp_path)


def test_tags_of_a_model_that_knows_its_own(tmp_path: Path):
    (tmp_path / "tags.json").write_text('{"genre": ["pop", "rock"], "singer": ["female"]}')
    assert check_tags("rock,female", tmp_path) == "rock,female"
    with pytest.raises(UsageError, match=r"tag 'femal' is not known.*did you mean female"):
        check_tags("pop,femal", tmp_path)
    with pytest.raises(
        UsageError, match=r"tag 'xyzzy' is not known.*female, pop, rock.*doctor --tags"
    ):
        check_tags("xyzzy", tmp_path)
    (tmp_path / "tags.json").write_text('["pop"]')
    with pytest.raises(CheckpointError, match=r"tags\.json must hold"):
        check_tags("pop", tmp_path)
