"""Benchmark files: the one of the package, and one line for each that is none."""

import json
from collections import Counter
from pathlib import Path

import pytest

from heartlib.checkpoints import NANO
from heartlib.corpus.lexicon import LANGUAGES
from heartlib.errors import UsageError
from heartlib.evaluation.adherence import sections
from heartlib.evaluation.benchmark_file import (
    Item,
    find,
    first,
    item_of,
    pieces_of,
    read_items,
    seed_of,
)
from heartlib.evaluation.phonemes import pinyin, words

GOOD = {"id": "a-1", "language": "en", "lyrics": "[Verse]\nthe sea", "tags": "pop,female"}


def write(path: Path, *rows: object) -> Path:
    lines = (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def test_the_file_of_the_package():
    items = read_items(find("benchmark"), LANGUAGES)
    assert Counter(item.language for item in items) == dict(en=30, zh=20, ja=10, ko=10, es=10)
    assert len({item.lyrics for item in items}) == 80
    pieces = pieces_of(items, 2, 60.0, NANO)  # nano knows all the tags
    assert len({piece.name for piece in pieces}) == len({piece.seed for piece in pieces}) == 160
    assert len({piece.tags for piece in pieces}) > 60
    for item in items:
        lines = [line for line in item.lyrics.splitlines() if line and not line.startswith("[")]
        assert 8 <= len(lines) <= 16, item.id
        assert len(sections(item.lyrics, item.language)) >= 2, item.id
    signs = [word for item in items if item.language == "zh" for word in words(item.lyrics, "zh")]
    assert all(pinyin(sign) for sign in signs)


def test_a_file_of_ones_own(tmp_path: Path):
    row = GOOD | {"id": 7, "language": "zh", "lyrics": "[Verse]\n月亮\u2028出来", "extra": [1]}
    path = write(tmp_path / "own.jsonl", GOOD, "", row)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    items = read_items(path, LANGUAGES)
    assert items == [Item(**GOOD), Item("7", "zh", "[Verse]\n月亮\u2028出来", "pop,female")]


def test_the_first_of_each_language():
    items = [Item(str(n), "en" if n % 3 else "ko", "la", "pop") for n in range(9)]
    assert [item.id for item in first(items, 2)] == ["0", "1", "2", "3"]
    assert first(items, None) == items


def test_seeds_follow_from_item_and_number_alone():
    assert [seed_of("en-01", number) for number in (0, 1)] == [1696059658, 1567523442]
    item = Item("x", "ko", " [Verse]\r\nla \n", "<tag>Pop, Female</tag>")
    (one,), (same, other) = (pieces_of([item], seeds, 3.2, NANO) for seeds in (1, 2))
    assert one == same and other.seed == seed_of("x", 1)
    assert (one.name, one.lyrics, one.tags) == (f"x-{one.seed}", "[Verse]\nla", "pop,female")
    assert (item_of(one), one.group, one.length) == ("x", "ko", 3.2)


def test_what_the_model_does_not_take_names_its_item():
    with pytest.raises(UsageError, match="item 'x': tag 'polka' is not known"):
        pieces_of([Item("x", "en", "la", "polka")], 1, 3.2, NANO)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "is empty; each line must be like"),
        (["", "  "], "is empty"),
        ([GOOD, "", "{'id': 1}"], "line 3: not JSON"),
        (["[" * 100_000], "line 1: not JSON"),
        ([[GOOD]], "line 1: not an object"),
        (["3"], "line 1: not an object"),
        *(
            ([{k: v for k, v in GOOD.items() if k != key}], f"line 1: there is no '{key}'")
            for key in GOOD
        ),
        *(([GOOD | {key: " "}], f"line 1: '{key}' must be text that is not") for key in GOOD),
        ([GOOD | {"tags": ["pop"]}], r"line 1: 'tags' must be text .*not \['pop'\]"),
        ([GOOD | {"lyrics": None}], "line 1: 'lyrics' must be text"),
        ([GOOD | {"id": True}], "line 1: 'id' must be text"),
        ([r'{"id": "a", "language": "en", "tags": "pop", "lyrics": "\ud800"}'], "half a sign"),
        ([GOOD, GOOD | {"id": "b"}, GOOD], "line 3: line 1 has the id 'a-1' too"),
        ([GOOD, GOOD | {"id": "A-1"}], "line 2: line 1 has the id 'A-1' too"),
        *(
            ([GOOD | {"id": name}], "cannot begin a file's name")
            for name in (
                "../a",
                "/etc/a",
                "a/b",
                "a\\b",
                "..",
                ".a",
                "-a",
                "a b",
                "é",
                "a\0",
                "a\n",
            )
        ),
        ([GOOD | {"id": "a" * 101}], "at most 100"),
        ([GOOD | {"language": "tlh"}], "line 1: no language 'tlh'; there are en, es, zh, ja, ko"),
    ],
)
def test_bad_files(tmp_path: Path, rows: list[object], message: str):
    with pytest.raises(UsageError, match=message):
        read_items(write(tmp_path / "bad.jsonl", *rows), LANGUAGES)


def test_no_file(tmp_path: Path):
    with pytest.raises(UsageError, match=r"there is no benchmark file .*none\.jsonl; `heartlib"):
        read_items(tmp_path / "none.jsonl", LANGUAGES)
    with pytest.raises(UsageError, match="is a folder; give a file of lines like"):
        read_items(tmp_path, LANGUAGES)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="is not UTF-8 text"):
        read_items(tmp_path / "bytes", LANGUAGES)
