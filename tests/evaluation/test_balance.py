"""Songs are added until every instrument has some; nothing is rendered here."""

import json
from collections import Counter
from pathlib import Path

import pytest

from heartlib.corpus.compose import compose
from heartlib.corpus.make import Job
from heartlib.corpus.orchestra import INSTRUMENTS
from heartlib.evaluation import balance


def write(job: Job) -> str:
    """A truth as far as songs.jsonl and the count need it."""
    style = compose(job.seed, job.cast).style
    facts = ("id", "tags", "lyrics", "language", "duration", "tempo_class", "mode", "singer")
    truth = dict.fromkeys(facts, "") | {"seed": job.seed, "main_instrument": style.instrument}
    (job.out / "truth" / f"{job.cast}-{job.seed}.json").write_text(json.dumps(truth))
    return ""


def test_every_instrument_has_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(balance, "render_job", write)
    monkeypatch.setattr(balance, "find_font", lambda font: Path("font"))
    assert balance.balance(tmp_path, 1, 1, "judge") == len(INSTRUMENTS)
    truths = [json.loads(path.read_text()) for path in (tmp_path / "truth").iterdir()]
    assert Counter(truth["main_instrument"] for truth in truths) == dict.fromkeys(INSTRUMENTS, 1)
    assert len((tmp_path / "songs.jsonl").read_text().splitlines()) == len(INSTRUMENTS)
    assert balance.balance(tmp_path, 1, 1, "judge") == 0
