"""Sound files: what is written comes back, and nothing half-written is left."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from heartlib import audio
from heartlib.errors import HeartlibError, UsageError

RATE = 48000
TAGS = {"title": "Hé", "lyrics": "[Verse]\nla 世界", "seed": 3, "settings": {"topk": 50, "x": 0.1}}


def tone(seconds: float = 2.5) -> np.ndarray:
    t = np.arange(int(seconds * RATE)) / RATE
    left, right = 0.5 * np.sin(2 * np.pi * 440 * t), 0.3 * np.sin(2 * np.pi * 330 * t)
    return np.stack([left, right]).astype(np.float32)


def agreement(wave: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10((wave**2).mean() / ((wave - other) ** 2).mean()))


@pytest.mark.parametrize(
    ("suffix", "decibel"), [("wav", 110), ("flac", 110), ("mp3", 40), ("ogg", 30)]
)
def test_a_written_wave_and_its_tags_come_back(tmp_path: Path, suffix: str, decibel: float):
    wave = tone()
    path = audio.write(tmp_path / f"a.{suffix}", wave, RATE, tags=TAGS)
    back, rate = audio.read(path)
    assert rate == RATE and back.dtype == np.float32
    assert back.shape == wave.shape
    assert agreement(wave, back) > decibel
    assert audio.read_tags(path) == TAGS
    assert os.listdir(tmp_path) == [f"a.{suffix}"]


@pytest.mark.parametrize("suffix", list(audio.FORMATS))
def test_players_see_title_and_lyrics(tmp_path: Path, suffix: str):
    import mutagen

    path = audio.write(tmp_path / f"a.{suffix}", tone(0.2), RATE, tags=TAGS)
    shown = str(mutagen.File(path).tags)  # pyright: ignore
    assert "Hé" in shown and "世界" in shown


def test_the_same_wave_gives_the_same_samples(tmp_path: Path):
    for suffix in audio.FORMATS:
        first, second = (
            audio.read(audio.write(tmp_path / f"{name}.{suffix}", tone(), RATE))[0] for name in "ab"
        )
        assert np.array_equal(first, second)


def test_an_existing_file_is_kept_unless_overwriting(tmp_path: Path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists already"):
        audio.write(path, tone(), RATE)
    assert path.read_bytes() == b"mine"
    audio.write(path, tone(), RATE, overwrite=True)
    assert audio.read(path)[0].shape == tone().shape
    assert os.listdir(tmp_path) == ["a.wav"]


def test_overwriting_through_a_link_keeps_the_link(tmp_path: Path):
    audio.write(tmp_path / "a.wav", tone(), RATE)
    (tmp_path / "b.wav").symlink_to(tmp_path / "a.wav")
    audio.write(tmp_path / "b.wav", tone(0.5), RATE, overwrite=True)
    assert (tmp_path / "b.wav").is_symlink()
    assert audio.read(tmp_path / "a.wav")[0].shape == (2, RATE // 2)


def test_new_files_follow_the_umask(tmp_path: Path):
    (tmp_path / "plain").touch()
    path = audio.write(tmp_path / "a.wav", tone(0.1), RATE)
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_mono_is_doubled(tmp_path: Path):
    path = audio.write(tmp_path / "a.wav", tone()[:1], RATE)
    back, _ = audio.read(path)
    assert back.shape == tone().shape and np.array_equal(back[0], back[1])


def test_a_wave_that_is_not_finite_leaves_nothing(tmp_path: Path):
    wave = tone()
    wave[0, 5] = np.nan
    with pytest.raises(HeartlibError, match="not finite"):
        audio.write(tmp_path / "a.wav", wave, RATE)
    assert os.listdir(tmp_path) == []


def test_a_failure_while_writing_leaves_nothing(tmp_path: Path):
    with pytest.raises(TypeError):
        audio.write(tmp_path / "a.wav", tone(), RATE, tags={"seed": object()})
    assert os.listdir(tmp_path) == []


def test_unknown_formats_name_the_known_ones(tmp_path: Path):
    for name in ("a.m4a", "a"):
        with pytest.raises(UsageError, match="wav, flac, mp3, ogg"):
            audio.write(tmp_path / name, tone(), RATE)
    with pytest.raises(UsageError, match="mp3 has no sample rate of 50000"):
        audio.write(tmp_path / "a.mp3", tone(), 50000)


def test_a_place_that_cannot_be_written_is_told_before_the_work(tmp_path: Path):
    with pytest.raises(UsageError, match="there is no folder"):
        audio.check_output(tmp_path / "no" / "a.wav")
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        audio.check_output(tmp_path / "folder.wav", overwrite=True)
    if sys.platform == "linux":
        with pytest.raises(HeartlibError, match="cannot be written") as error:
            audio.check_output("/proc/a.wav")
        assert error.value.exit_status == 1


def test_reading_what_is_not_sound(tmp_path: Path):
    with pytest.raises(UsageError, match="there is no sound file"):
        audio.read(tmp_path / "a.wav")
    (tmp_path / "a.wav").write_bytes(b"not sound at all")
    with pytest.raises(HeartlibError, match="cannot be read as sound"):
        audio.read(tmp_path / "a.wav")
    with pytest.raises(HeartlibError, match=r"heartlib did not write it|cannot be read as sound"):
        audio.read_tags(tmp_path / "a.wav")


def test_a_file_of_another_program_has_no_tags(tmp_path: Path):
    for suffix in audio.FORMATS:
        path = audio.write(tmp_path / f"a.{suffix}", tone(0.2), RATE)
        with pytest.raises(HeartlibError, match="heartlib did not write it"):
            audio.read_tags(path)


def test_resampling_keeps_the_tone():
    half = audio.resample(tone(), RATE, RATE // 2)
    assert half.shape == (2, tone().shape[1] // 2) and half.dtype == np.float32
    t = np.arange(half.shape[1]) / (RATE // 2)
    middle = slice(2000, -2000)
    assert agreement(0.5 * np.sin(2 * np.pi * 440 * t)[middle], half[0][middle]) > 60
    assert audio.resample(tone(), RATE, RATE).shape == tone().shape


def test_names_that_no_disk_takes(tmp_path: Path):
    audio.write(tmp_path / ("é" * 120 + ".wav"), tone(0.1), RATE)
    with pytest.raises(HeartlibError, match="cannot be written"):
        audio.check_output(tmp_path / ("a" * 300 + ".wav"))
    with pytest.raises(UsageError, match="there is no folder"):
        audio.check_output("~nobody-of-that-name/a.wav")
