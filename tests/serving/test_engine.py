"""Continuous batching: songs queue, join, leave, fail and are cancelled without the others noticing."""

import threading

import pytest
import torch

pytest.importorskip("triton")

from heartlib.errors import HeartlibError, UsageError
from heartlib.heartmula import HeartMuLa, HeartMuLaConfig, Prompt, StackConfig
from heartlib.heartmula.frame_step import REFERENCE
from heartlib.serving.engine import Engine, SongCancelled

EOS, CODEBOOKS = 20, 4


@pytest.fixture(scope="module")
def model() -> HeartMuLa:
    torch.manual_seed(0)
    config = HeartMuLaConfig(
        backbone_flavor="test",
        decoder_flavor="test",
        text_vocab_size=50,
        audio_vocab_size=21,
        audio_num_codebooks=CODEBOOKS,
        muq_dim=6,
        backbone_config=StackConfig(1, 4, 2, 32, 48, 320),
        decoder_config=StackConfig(1, 2, 1, 32, 48, 8),
    )
    model = HeartMuLa(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def prompt(length: int = 9) -> Prompt:
    tokens = torch.zeros(length, CODEBOOKS + 1, dtype=torch.long)
    tokens[:, -1] = torch.arange(10, 10 + length)
    mask = torch.zeros(tokens.shape, dtype=torch.bool)
    mask[:, -1] = True
    return Prompt(tokens, mask, None, 3)


def new_engine(model: HeartMuLa, songs: int = 4, eos: int = 99, **settings: int) -> Engine:
    return Engine(model, audio_eos_id=eos, songs=songs, operations=REFERENCE, **settings)


REQUESTS = [
    {"max_frames": 20, "seed": 1},
    {"max_frames": 9, "seed": 2, "cfg_scale": 1.0},
    {"max_frames": 30, "seed": 3, "temperature": 0.7, "topk": 3},
    {"max_frames": 14, "seed": 4, "cfg_scale": 3.0},
    {"max_frames": 25, "seed": 5},
    {"max_frames": 11, "seed": 6},
]


def test_each_song_is_as_if_alone(model):
    """Six songs on one, three and six places, in two orders; some end by themselves."""
    found = []
    for songs, order in ((1, 1), (3, 1), (6, -1)):
        with new_engine(model, songs, EOS) as engine:
            handles = [
                engine.submit(prompt(5 + index), **request)
                for index, request in list(enumerate(REQUESTS))[::order]
            ]
            results = []
            for handle in handles[::order]:
                try:
                    results.append(handle.result(60))
                except HeartlibError as error:
                    assert "nothing to sing" in str(error)
                    results.append(None)
            found.append(results)
    assert sum(codes is not None for codes in found[0]) > 2
    for results in found[1:]:
        for codes, expected in zip(results, found[0], strict=True):
            assert (codes is None) == (expected is None)
            assert codes is None or torch.equal(codes, expected)
    lengths = {codes.shape[1] for codes in found[0] if codes is not None}
    assert len(lengths) > 1


def test_frames_come_one_by_one(model):
    seen = []
    with new_engine(model) as engine:
        handle = engine.submit(prompt(), max_frames=12, seed=1, on_frame=seen.append)
        frames = list(handle)
        assert handle.done and handle.progress == (12, 12)
    assert torch.equal(torch.stack(frames, 1), handle.codes) and len(seen) == 12
    assert handle.codes.shape == (CODEBOOKS, 12) and handle.codes.dtype == torch.long


def test_a_prefix_is_kept(model):
    with new_engine(model) as engine:
        whole = engine.submit(prompt(), max_frames=20, seed=1).result(60)
        again = engine.submit(prompt(), max_frames=20, seed=1, prefix=whole[:, :7]).result(60)
    assert torch.equal(whole, again)


def test_songs_beyond_memory_wait(model):
    """Room for one song of two rows at a time: the others queue, none fails, the first is first."""
    one_page = 2 * 1 * 2 * 64 * 8 * 4
    first_frames, gate = [], threading.Event()

    def note(seed: int) -> None:
        if seed not in first_frames:
            first_frames.append(seed)
            gate.wait(60)

    with new_engine(model, songs=4, cache_bytes=10 * one_page) as engine:
        assert engine.pages == 10
        handles = [
            engine.submit(
                prompt(), max_frames=300, seed=seed, on_frame=lambda _, seed=seed: note(seed)
            )
            for seed in range(3)
        ]
        next(iter(handles[0]))
        assert (engine.singing, engine.waiting) == (1, 2) and not handles[1].started
        gate.set()
        handles[0].cancel()
        next(iter(handles[1]))
        assert (engine.singing, engine.waiting) == (1, 1)
        handles[1].cancel()
        codes = [handles[2].result(60)]
        assert first_frames == [0, 1, 2]
    assert codes[0].shape == (CODEBOOKS, 300)
    with new_engine(model, songs=4, cache_bytes=2 * one_page) as engine:
        assert (
            engine.pages == 2 and engine.submit(prompt(), max_frames=10).result(60).shape[1] == 10
        )
        with pytest.raises(UsageError, match="takes 4 pages of memory and there are 2"):
            engine.submit(prompt(), max_frames=100)


def test_cancel_in_the_middle(model):
    with new_engine(model) as engine:
        third = threading.Event()

        def count(_: torch.Tensor) -> None:
            if cancelled.progress[0] == 3:
                cancelled.cancel()
                third.set()

        other = engine.submit(prompt(), max_frames=40, seed=2)
        cancelled = engine.submit(prompt(), max_frames=200, seed=1, on_frame=count)
        assert third.wait(60)
        with pytest.raises(SongCancelled):
            cancelled.result(60)
        assert 3 <= cancelled.codes.shape[1] < 200
        alone = other.result(60)
        assert torch.equal(engine.submit(prompt(), max_frames=40, seed=2).result(60), alone)


def test_cancel_before_it_begins(model):
    with new_engine(model, songs=1) as engine:
        first = engine.submit(prompt(), max_frames=200, seed=1)
        second = engine.submit(prompt(), max_frames=200, seed=2)
        second.cancel()
        with pytest.raises(SongCancelled, match="before it began"):
            second.result(60)
        assert not second.started
        first.cancel()


def test_one_song_fails_alone(model, monkeypatch):
    """Out of memory while a prompt is read, and a listener that raises."""
    forward = model.backbone.forward

    def fail_for_long(x, cache):
        if x.shape[1] == 29:
            raise torch.OutOfMemoryError
        return forward(x, cache)

    monkeypatch.setattr(model.backbone, "forward", fail_for_long)

    def fail(_: torch.Tensor) -> None:
        raise RuntimeError("nobody listens")

    with new_engine(model) as engine:
        good = engine.submit(prompt(), max_frames=30, seed=1)
        poor = engine.submit(prompt(30), max_frames=30, seed=2)
        bad = engine.submit(prompt(), max_frames=30, seed=3, on_frame=fail)
        with pytest.raises(HeartlibError, match="too little memory to read the prompt"):
            poor.result(60)
        with pytest.raises(RuntimeError, match="nobody listens"):
            bad.result(60)
        codes = good.result(60)
    with new_engine(model) as engine:
        assert torch.equal(engine.submit(prompt(), max_frames=30, seed=1).result(60), codes)


def test_out_of_memory_for_one_more_song(model, monkeypatch):
    """A frame of more songs cannot be recorded: the last song fails, the first goes on."""
    with new_engine(model) as engine:
        made = engine._batch._step_for

        def fail_for_two(size: int):
            if size > 1:
                raise torch.OutOfMemoryError
            return made(size)

        monkeypatch.setattr(engine._batch, "_step_for", fail_for_two)
        first = engine.submit(prompt(), max_frames=60, seed=1)
        second = engine.submit(prompt(), max_frames=60, seed=2)
        with pytest.raises(HeartlibError, match="too little memory for one more song"):
            second.result(60)
        assert first.result(60).shape == (CODEBOOKS, 60)


def test_close_ends_what_is_left(model):
    engine = new_engine(model, songs=1)
    handles = [engine.submit(prompt(), max_frames=300, seed=seed) for seed in range(2)]
    next(iter(handles[0]))
    engine.close()
    for handle in handles:
        with pytest.raises(SongCancelled, match="closed"):
            handle.result(60)
    with pytest.raises(HeartlibError, match="closed"):
        engine.submit(prompt(), max_frames=5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_frames": 0}, "0 frames are not allowed"),
        ({"max_frames": 312}, r"prompt 9 \+ 312 frames, and the model has 320"),
        ({"cfg_scale": 0.5}, "cfg_scale 0.5"),
        ({"seed": -1}, "seed -1"),
        ({"prefix": torch.zeros(4, 9, dtype=torch.long)}, "the prefix has 9 frames"),
        ({"prefix": torch.full((4, 2), 99)}, "prefix codes range over 99"),
    ],
)
def test_refused_when_handed_in(model, change, message):
    with new_engine(model) as engine, pytest.raises(UsageError, match=message):
        engine.submit(prompt(), **({"max_frames": 8} | change))


def test_engines_that_cannot_be(model):
    with pytest.raises(UsageError, match="0 songs at once"):
        new_engine(model, songs=0)
    with pytest.raises(HeartlibError, match="too little memory for a song"):
        new_engine(model, cache_bytes=1000)
