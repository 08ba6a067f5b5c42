"""From a corpus folder to judges: real fitting and calibration on a corpus of tones."""

import json
from pathlib import Path

import numpy as np
import pytest
from sounds import RATE, chords, drums, stereo, tone, vibrato

from heartlib import audio
from heartlib.errors import HeartlibError, UsageError
from heartlib.evaluation import fit
from heartlib.evaluation.judges import Judges
from heartlib.evaluation.measures import measure
from heartlib.evaluation.rhythm import CLASSES, TEMPI

SECONDS = 8.0
INSTRUMENTS = ("piano", "guitar", "strings", "organ", "synth")


def write_song(folder: Path, seed: int) -> None:
    """A song of tones with the truth that the fit reads."""
    rng = np.random.default_rng(seed)
    instrument = INSTRUMENTS[seed % 5]
    singer = ("female", "male", "none")[seed % 3]
    tempo, minor = TEMPI[seed % 6], seed % 2 == 1
    harmonics = {"piano": 2, "guitar": 5, "strings": 12, "organ": 1, "synth": 30}[instrument]
    wave = 0.3 * drums(tempo, SECONDS, seed) + chords(seed % 12, minor, SECONDS)
    wave += 0.4 * tone(523.25, SECONDS, harmonics, 0.95)
    words = []
    if singer != "none":
        centre = {"female": 390.0, "male": 180.0}[singer] * 2 ** rng.uniform(-0.1, 0.1)
        half = round(SECONDS / 2 * RATE)
        wave[half:] += 2 * tone(vibrato(centre, SECONDS / 2), SECONDS / 2, 20, 0.9)
        words = [{"word": "la", "start": SECONDS / 2, "end": SECONDS}]
    name = f"test-{seed:03d}"
    for part in ("audio", "truth"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    audio.write(folder / "audio" / f"{name}.flac", stereo(0.5 * wave), RATE)
    truth = {
        "id": name,
        "seed": seed,
        "words": words,
        "singer": singer,
        "voice": singer,
        "tempo": tempo,
        "tempo_class": CLASSES[seed % 6],
        "main_instrument": instrument,
        "mode": "minor" if minor else "major",
        "key": ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")[seed % 12],
        "duration": SECONDS,
    }
    (folder / "truth" / f"{name}.json").write_text(json.dumps(truth))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus")
    for seed in range(15):
        write_song(root / "taught", seed)
    for seed in range(15, 21):
        write_song(root / "held", seed)
    write_song(root / "held", 3)  # the seed of a taught song: not counted
    return root


def test_fit_and_calibrate(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "judges.json"
    flags = ["--data", str(corpus / "taught"), "--held-out", str(corpus / "held")]
    assert fit.main([*flags, "--out", str(out)]) == 0
    judges = Judges.load(out)
    assert judges.made["songs"] == 15 and judges.made["voices"] == ["female", "male"]
    rate = judges.calibration
    assert rate["songs"] == 6
    assert rate["voice"] == 1 and rate["voice_absent"] == 1 and rate["singer"] == 1
    assert rate["main_instrument"] >= 0.8 and rate["tempo_class"] >= 0.6
    assert json.loads(capsys.readouterr().out)["calibration"] == rate
    song = audio.read(corpus / "held" / "audio" / "test-016.flac")
    measures = measure(*song, judges)
    assert measures.singer == "male" and 150 < (measures.voice_pitch or 0) < 210
    assert measures.duration == SECONDS and json.dumps(measures.to_dict())
    assert measure(*song, judges) == measures


def test_folders_without_songs(corpus: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="no songs in"):
        fit.songs([tmp_path])
    taught = str(corpus / "taught")
    with pytest.raises(UsageError, match="has the seed of a song"):
        fit.main(["--data", taught, "--held-out", taught, "--out", str(tmp_path / "j.json")])


def test_a_class_without_example(corpus: Path):
    some = [song for song in fit.songs([corpus / "taught"]) if song[1]["singer"] != "male"]
    with pytest.raises(UsageError, match="no example of 'male'"):
        fit.fit(some)


def test_judges_that_are_missing_or_damaged(tmp_path: Path):
    with pytest.raises(HeartlibError, match="fit it with"):
        Judges.load(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text('{"voice": {}}')
    with pytest.raises(HeartlibError, match=r"bad\.json is damaged"):
        Judges.load(tmp_path / "bad.json")
