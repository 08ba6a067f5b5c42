"""The one place where a song's settings are checked."""

import math

import pytest

from heartlib.errors import CheckpointError, UsageError
from heartlib.heartcodec import HeartCodecConfig
from heartlib.heartmula import GenConfig
from heartlib.pipelines import GenerationSettings


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("cfg_scale", 0.5, "cfg_scale must be 1"),
        ("cfg_scale", math.nan, "cfg_scale must be finite"),
        ("cfg_scale", math.inf, "cfg_scale must be finite"),
        ("cfg_scale", "1.5", "cfg_scale must be a number"),
        ("topk", 0, "topk must be 1 or more"),
        ("topk", 2.5, "topk must be a whole number"),
        ("temperature", 0.0, "temperature must be above 0"),
        ("temperature", -1.0, "temperature must be above 0"),
        ("temperature", math.nan, "temperature must be finite"),
        ("guidance_scale", 0.9, "guidance_scale must be 1"),
        ("num_steps", 0, "num_steps must be 1 or more"),
        ("max_audio_length_ms", 0, "at least one frame of 80 ms"),
        ("max_audio_length_ms", -80, "at least one frame of 80 ms"),
        ("max_audio_length_ms", 79, "at least one frame of 80 ms"),
        ("seed", -1, "seed must be 0 or more"),
        ("seed", 2**63, "seed must be below"),
    ],
)
def test_values_that_are_not_allowed(name: str, value: object, message: str):
    with pytest.raises(UsageError, match=message) as error:
        GenerationSettings(**{name: value})  # pyright: ignore
    assert error.value.exit_status == 2


def test_edges_that_are_allowed():
    GenerationSettings(max_audio_length_ms=80, temperature=0.01, topk=1, cfg_scale=1.0, seed=0)


def test_frames_fit_into_the_positions_that_the_prompt_leaves():
    model = {"positions": 2048, "prompt": 48, "name": "nano"}
    assert GenerationSettings(max_audio_length_ms=160_000).frames(**model) == 2000
    assert GenerationSettings(max_audio_length_ms=199).frames(**model) == 2
    assert GenerationSettings().frames(**model) == 2000
    assert GenerationSettings().frames(positions=8192, prompt=48, name="3B") == 3000
    assert GenerationSettings().frames(**model, longest_ms=60_000) == 750
    assert GenerationSettings(max_audio_length_ms=80_000).frames(**model, longest_ms=60_000) == 1000
    with pytest.raises(UsageError, match=r"2001 frames .* make 2049, nano has 2048.*at most 160 s"):
        GenerationSettings(max_audio_length_ms=160_080).frames(**model)
    with pytest.raises(UsageError, match="shorten the lyrics"):
        GenerationSettings().frames(positions=100, prompt=100, name="nano")


def test_a_checkpoint_may_tell_its_longest_song():
    told = GenConfig.from_dict({"audio_eos_id": 5, "longest_song_ms": 60_000})
    assert told.longest_song_ms == 60_000 and GenConfig.from_dict(told.to_dict()) == told
    assert "longest_song_ms" not in GenConfig().to_dict()
    with pytest.raises(CheckpointError, match="longest_song_ms must be a whole number"):
        GenConfig.from_dict({"longest_song_ms": "long"})


def test_the_codec_tells_what_was_not_asked_for():
    config = HeartCodecConfig(num_steps=4, guidance_scale=2.0)
    assert GenerationSettings().for_codec(config) == GenerationSettings(
        num_steps=4, guidance_scale=2.0
    )
    asked = GenerationSettings(num_steps=3, guidance_scale=1.0)
    assert asked.for_codec(config) == asked
