"""Songs that are heard while they are sung."""

import threading

import pytest
import torch

from heartlib.errors import UsageError
from heartlib.pipelines import HeartMuLaGenPipeline
from heartlib.pipelines.music_generation import Cancelled

LYRICS = "[Verse]\nThe morning light is on the sea\n"
TAGS = "pop,female"
LONG = {"max_audio_length_ms": 80 * 100, "num_steps": 1, "seed": 3}


@pytest.fixture(scope="module")
def pipe(tiny_checkpoint):
    return HeartMuLaGenPipeline.from_pretrained(tiny_checkpoint, device="cpu")


def test_a_stream_is_the_song_that_is_generated(pipe):
    stream = pipe.stream(LYRICS, TAGS, **LONG)
    pieces = list(stream)
    made = pipe.generate(LYRICS, TAGS, **LONG)
    assert stream.song is not None
    assert torch.equal(stream.song.codes, made.codes)
    assert torch.equal(torch.cat(pieces, 1), stream.song.waveform)
    assert stream.song.waveform.shape == made.waveform.shape
    assert stream.song.complete and stream.song.settings["streamed"]
    assert {**stream.song.settings, "streamed": 0} == {**made.settings, "streamed": 0}


def test_leaving_early_stops_the_singing(pipe):
    last, go_on = [0], threading.Event()

    def wait(stage, done, total):
        last[0] = done
        if done == 70:
            go_on.wait(60)

    settings = {**LONG, "max_audio_length_ms": 13_000}
    with pipe.stream(LYRICS, TAGS, **settings, progress=wait) as stream:
        assert next(stream).shape == (2, 61 * 3840)
        go_on.set()
    assert not [thread for thread in threading.enumerate() if thread.name == "singing"]
    assert 70 <= last[0] < 162 and stream.song is None


def test_cancel_plays_what_was_sung(pipe):
    cancel = threading.Event()

    def stop(stage, done, total):
        if done == 20:
            cancel.set()

    stream = pipe.stream(LYRICS, TAGS, **LONG, progress=stop, cancel=cancel)
    assert sum(piece.shape[1] for piece in stream) == 20 * 3840
    assert stream.song is not None and not stream.song.complete
    with pytest.raises(Cancelled):
        list(pipe.stream(LYRICS, TAGS, **LONG, cancel=cancel))


def test_bad_values_are_told_at_the_call(pipe):
    with pytest.raises(UsageError, match="temperature"):
        pipe.stream(LYRICS, TAGS, temperature=0)


def test_memory_is_given_back_with_lazy_load(tiny_checkpoint):
    pipe = HeartMuLaGenPipeline.from_pretrained(tiny_checkpoint, device="cpu", lazy_load=True)
    list(pipe.stream(LYRICS, TAGS, **{**LONG, "max_audio_length_ms": 400}))
    assert pipe.mula is None and pipe.codec is None
    with pipe.stream(LYRICS, TAGS, **LONG):
        assert pipe.mula is not None and pipe.codec is not None
    assert pipe.mula is None and pipe.codec is None  # also of a stream that nobody heard
