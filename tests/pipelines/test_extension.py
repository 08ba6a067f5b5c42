"""Where a song is cut, and that what is kept is kept."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from heartlib import HeartMuLaGenPipeline, Song
from heartlib.errors import UsageError
from heartlib.pipelines.extension import Cut, extend
from heartlib.pipelines.music_generation import Cancelled
from heartlib.pipelines.settings import GenerationSettings

LYRICS, TAGS, RATE, FRAME = "[Verse]\nThe morning light is on the sea", "pop,female", 48_000, 3840
SETTINGS = GenerationSettings(max_audio_length_ms=1600, num_steps=1, seed=3)


@pytest.fixture(scope="module")
def pipe(tiny_checkpoint: Path) -> HeartMuLaGenPipeline:
    return HeartMuLaGenPipeline.from_pretrained(tiny_checkpoint, device="cpu")


@pytest.fixture(scope="module")
def wave() -> np.ndarray:
    noise = np.random.default_rng(1).standard_normal((2, 10 * FRAME + 7))
    return (0.1 * noise).astype(np.float32)


@pytest.fixture(scope="module")
def codes() -> torch.Tensor:
    return torch.randint(0, 32, (8, 11), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(
    ("start", "frames"), [(None, 10), (0.8, 10), (0.08, 1), (0.5, 6), (0.56, 7), (0.5599, 6)]
)
def test_cuts_are_on_frames(start: float | None, frames: int):
    cut = Cut.at(10 * FRAME + 7, RATE, start)
    assert cut.frames == frames and cut.samples == frames * FRAME and cut.fade == FRAME


@pytest.mark.parametrize(
    ("samples", "start", "fade", "message"),
    [
        (10 * FRAME, 0.81, 0.08, r"from 0\.81 s: the song has 0\.80 s; give 0\.08 to 0\.80"),
        (10 * FRAME, 0.0, 0.08, "cannot go on from 0 s"),
        (10 * FRAME, -1.0, 0.08, "cannot go on from -1 s"),
        (10 * FRAME, float("nan"), 0.08, "cannot go on from nan s"),
        (FRAME - 1, None, 0.08, "less than a frame of 80 ms"),
        (10 * FRAME, 0.4, 0.41, r"cross-fade must be 0 to 0\.4 s, what is kept, not 0\.41"),
        (10 * FRAME, 0.4, -0.1, r"cross-fade must be 0 to 0\.4 s"),
    ],
)
def test_cuts_that_cannot_be(samples: int, start: float | None, fade: float, message: str):
    with pytest.raises(UsageError, match=message):
        Cut.at(samples, RATE, start, fade)


def test_what_is_kept_is_the_same_samples(
    pipe: HeartMuLaGenPipeline, wave: np.ndarray, codes: torch.Tensor
):
    cut = Cut.at(wave.shape[1], RATE, 0.6, 0.05)
    before, about = wave.copy(), {"file": "a.wav"}
    song = extend(pipe, wave, codes, cut, LYRICS, TAGS, SETTINGS, about=about)
    exact = 7 * FRAME - 2400
    assert song.waveform.shape == (2, 20 * FRAME)  # max_audio_length_ms is the whole song's
    assert np.array_equal(song.waveform[:, :exact].numpy(), wave[:, :exact])
    assert not np.array_equal(
        song.waveform[:, exact : 7 * FRAME].numpy(), wave[:, exact : 7 * FRAME]
    )
    assert torch.equal(song.codes[:, :7], codes[:, :7]) and song.codes.shape == (8, 20)
    assert np.array_equal(wave, before)
    told = {"file": "a.wav", "frames": 7, "samples": 7 * FRAME, "crossfade": 2400}
    assert song.metadata()["extended"] == told


def test_loud_songs_are_kept_in_the_file_too(
    pipe: HeartMuLaGenPipeline, wave: np.ndarray, codes: torch.Tensor, tmp_path: Path
):
    from heartlib import audio

    loud = np.round(wave / np.abs(wave).max() * 0.999 * 2**22).astype(np.float32) / 2**22
    song: Song = extend(pipe, loud, codes, Cut.at(loud.shape[1], RATE), LYRICS, TAGS, SETTINGS)
    again, _ = audio.read(song.save(tmp_path / "a.flac"))
    assert np.array_equal(again[:, : 9 * FRAME], loud[:, : 9 * FRAME]) and np.abs(again).max() <= 1


def test_codes_of_less_or_of_another_model(
    pipe: HeartMuLaGenPipeline, wave: np.ndarray, codes: torch.Tensor
):
    cut = Cut.at(wave.shape[1], RATE)
    for given, message in (
        (codes[:, :9], "codes have 9 frames, 10 are to be kept"),
        (codes[:7], r"shape \[7, 10\], not \[8, T\]"),
        (codes[0], r"shape \[11\], not \[8, T\]"),
        (codes + 32, "this model sings 0…31"),
    ):
        with pytest.raises(UsageError, match=message):
            extend(pipe, wave, given, cut, LYRICS, TAGS, SETTINGS)


def test_cancelled_keeps_what_was_sung(
    pipe: HeartMuLaGenPipeline, wave: np.ndarray, codes: torch.Tensor
):
    cut, cancel = Cut.at(wave.shape[1], RATE), threading.Event()

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "singing" and done == 13:
            cancel.set()

    options = {"progress": progress, "cancel": cancel}
    song = extend(pipe, wave, codes, cut, LYRICS, TAGS, SETTINGS, **options)
    assert not song.complete and song.waveform.shape == (2, 13 * FRAME)
    with pytest.raises(Cancelled):
        extend(pipe, wave, codes, cut, LYRICS, TAGS, SETTINGS, **options)
