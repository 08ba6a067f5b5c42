"""Songs of a corpus through the codec, into a corpus folder."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from heartlib import audio
from heartlib.errors import HeartlibError, UsageError
from heartlib.evaluation import fit, reconstruct
from heartlib.evaluation.codec import mel_distance


@pytest.fixture(scope="module")
def short_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two songs of 3 s, tones that swell."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "truth").mkdir()
    clock = np.arange(3 * 48000) / 48000
    for seed, tone in ((1, 220.0), (2, 330.0)):
        wave = 0.3 * np.sin(2 * np.pi * tone * clock) * np.sin(np.pi * clock) ** 2
        (folder / "truth" / f"{seed}.json").write_text(json.dumps({"id": str(seed), "seed": seed}))
        (folder / "audio").mkdir(exist_ok=True)
        audio.write(folder / "audio" / f"{seed}.flac", np.stack((wave, wave)), 48000)
    return folder


@pytest.fixture
def made(tmp_path: Path, short_corpus: Path) -> tuple[Path, list[str]]:
    """A folder in which nothing is yet, and the names of the songs to come."""
    return tmp_path / "out", sorted(path.stem for path in (short_corpus / "truth").glob("*.json"))


def test_each_song_goes_through_the_codec_once(short_corpus: Path, made: tuple[Path, list[str]]):
    out, names = made
    flags = ["--data", str(short_corpus), "--out", str(out)]
    assert reconstruct.main([*flags, "--songs", "1"]) == 0
    first = out / "audio" / f"{names[0]}.flac"
    (wave, rate), (real, _) = audio.read(first), audio.read(short_corpus / "audio" / first.name)
    assert rate == 48000 and wave.shape == real.shape
    assert 0.5 < mel_distance(wave, real) < 12  # much like the song, and not the song
    when = first.stat().st_mtime_ns
    assert reconstruct.main([*flags, "--jobs", "2"]) == 0
    assert first.stat().st_mtime_ns == when
    assert [path.stem for path, _ in fit.songs([out])] == names
    again = out.with_name("again")
    reconstruct.main(["--data", str(short_corpus), "--out", str(again), "--songs", "1"])
    assert (again / "audio" / first.name).read_bytes() == first.read_bytes()


def test_folders_that_do_not_fit(short_corpus: Path, tmp_path: Path):
    flags = ["--out", str(tmp_path / "out")]
    with pytest.raises(UsageError, match="no songs in"):
        reconstruct.main(["--data", str(tmp_path), *flags])
    with pytest.raises(UsageError, match="--jobs is 0"):
        reconstruct.main(["--data", str(short_corpus), "--jobs", "0", *flags])
    shutil.copytree(short_corpus / "truth", tmp_path / "data" / "truth")
    with pytest.raises(HeartlibError, match=r"1\.flac"):
        reconstruct.main(["--data", str(tmp_path / "data"), *flags])
    assert not list(tmp_path.glob("out/truth/*"))
