"""`heartlib score`: the figures of songs, and one line for what cannot be scored."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("jiwer")
pytest.importorskip("transformers")
pytest.importorskip("scipy")
pytest.importorskip("pyloudnorm")

from heartlib import audio
from heartlib.cli import main
from heartlib.hearttranscriptor import HeartTranscriptor

SONG = Path(__file__).parents[1] / "data" / "song.ogg"
LYRICS = "[Verse]\nThat's the morning\n\n[Chorus]\nhey hey hey hey\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A song of heartlib's with its lyrics and tags inside, one without, and a silent one."""
    monkeypatch.chdir(tmp_path)
    wave, rate = soundfile.read(SONG, dtype="float32", always_2d=True)
    wave = wave[: 4 * rate].T
    wave = np.repeat(wave, 2, axis=0)[:2]
    settings = {"max_audio_length_ms": 8000}
    tags = {"lyrics": LYRICS, "tags": "pop,female", "settings": settings}
    audio.write("own.flac", wave, rate, tags=tags)
    audio.write("cut.flac", wave, rate, tags=tags | {"settings": {"max_audio_length_ms": 4000}})
    shutil.copy(SONG, "other.ogg")
    Path("words.txt").write_text("[Verse]\nla la la la\n")
    Path("text.mp3").write_text("no sound")
    return tmp_path


def test_figures_and_sections(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    heard = "that's the morning hey hey you"
    monkeypatch.setattr(HeartTranscriptor, "transcribe", lambda *_, **__: heard)
    assert main(["score", "own.flac", "cut.flac", "--device", "cpu", "--json", "s.json"]) == 0
    out = capsys.readouterr().out
    assert "WER          28.6% (2 of 7 words)" in out and "heard        that's the morning" in out
    assert "ending       by itself" in out and "ending       at the limit" in out
    assert "all 2 songs" in out
    own, cut = json.loads(Path("s.json").read_text())["songs"]
    assert own["file"] == "own.flac" and own["wer"] == pytest.approx(2 / 7, abs=1e-4)
    assert own["cer"] == pytest.approx(5 / 28, abs=1e-4)  # heyheyheyhey, heyheyyou
    assert [part["section"] for part in own["sections"]] == ["Verse", "Chorus"]
    assert own["sections"][0]["errors"] == 0 < own["sections"][1]["errors"]
    assert own["ended"] is True and cut["ended"] is False
    assert own["measures"]["clipped"] == 0 and -1 <= own["tag_similarity"] <= 1
    assert own["measures"]["duration"] == pytest.approx(4.0)


def test_lyrics_and_tags_of_the_person(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["score", "other.ogg", "--tags", "rock", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert "no words to sing" in out and "similarity" in out and "ending       unknown" in out
    assert main(["score", "own.flac", "--lyrics", "words.txt", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert "of 4 words" in out and "Chorus" not in out


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["none.mp3"], 2, "there is no sound file none.mp3"),
        (["text.mp3"], 1, "text.mp3 cannot be read as sound"),
        (["other.ogg"], 2, "give --lyrics FILE or --tags TEXT"),
        (["own.flac", "--lyrics", "none.txt"], 2, "--lyrics: there is no file none.txt"),
        (["own.flac", "--language", "xx"], 2, "knows en, es, ja, ko, zh, not 'xx'"),
        (["own.flac", "--json", "words.txt"], 2, "words.txt exists already"),
        (["own.flac", "--model", "none"], 1, "no checkpoint folder at 'none'"),
        (["own.flac", "--json", "no/s.json"], 2, "there is no folder"),
    ],
)
def test_bad_input(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    message: str,
):
    assert main(["score", *arguments]) == status
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.count("\n") == 1, err


def test_extras_are_named(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    from heartlib.cli import score
    from heartlib.pipelines import listening

    monkeypatch.setattr(listening, "find_spec", lambda name: None if name == "jiwer" else 1)
    assert main(["score", "own.flac"]) == 1
    assert "needs jiwer: pip install 'heartlib[evaluation]'" in capsys.readouterr().err
    monkeypatch.setattr(score, "find_spec", lambda name: None)
    assert main(["score", "own.flac"]) == 1
    assert "pip install 'heartlib[evaluation]'" in capsys.readouterr().err
