"""Decoding beside the singing: the same pieces, as early as can be, and nothing left running."""

import threading

import pytest
import torch

from heartlib.errors import UsageError
from heartlib.pipelines import HeartMuLaGenPipeline
from heartlib.pipelines.decoding import DecodingBeside, Sung, decoding, gather
from heartlib.pipelines.settings import GenerationSettings

SETTINGS = GenerationSettings(num_steps=1, guidance_scale=1.0, seed=5)
RATE = 48000


@pytest.fixture(scope="module")
def codec(tiny_checkpoint):
    codec = HeartMuLaGenPipeline.from_pretrained(tiny_checkpoint, device="cpu").codec
    assert codec is not None
    return codec


@pytest.fixture(scope="module")
def codes():
    return torch.randint(0, 32, (8, 700), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def whole(codec, codes):
    """The song of these codes, decoded when all are there."""
    return codec.detokenize(codes, **decoding(SETTINGS))


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_what_is_sung_is_waited_for(codes):
    sung = Sung(codes[:, :2])
    found: list[torch.Tensor] = []
    waiting = threading.Thread(target=lambda: found.append(sung.first(4)))
    waiting.start()
    sung.add(codes[:, 2])
    assert not found
    sung.add(codes[:, 3])
    waiting.join(10)
    assert torch.equal(found[0], codes[:, :4])
    sung.end()
    assert torch.equal(sung.first(9), codes[:, :4]) and torch.equal(sung.first(1), codes[:, :1])


def test_windows_are_decoded_before_the_song_ends(codec, codes, whole, two_threads, monkeypatch):
    decode, threads, decoded = codec.scalar_model.decode, list[int](), threading.Event()

    def heard(latents):
        threads.append(torch.get_num_threads())
        decoded.set()
        return decode(latents)

    monkeypatch.setattr(codec.scalar_model, "decode", heard)
    with DecodingBeside(codec, codes[:, :100], SETTINGS, threads=2) as beside:
        for frame in codes[:, 100:373].unbind(1):
            beside.sung.add(frame)
        assert decoded.wait(60)  # 373 frames: the first window goes on
        for frame in codes[:, 373:].unbind(1):
            beside.sung.add(frame)
        pieces = list(beside)
        assert torch.get_num_threads() == 2
    assert threads == [1, 1, 2]
    assert [piece.shape[1] for piece in pieces] == [320 * 3840, 320 * 3840, 60 * 3840]
    torch.testing.assert_close(torch.cat(pieces, 1), whole, atol=1e-4, rtol=0)


def test_errors_come_to_whoever_waits(codec, codes):
    with (
        pytest.raises(UsageError, match="this codec knows"),
        DecodingBeside(codec, codes + 1000, SETTINGS, threads=2) as beside,
    ):
        list(beside)
    assert not beside._thread.is_alive()


def test_leaving_stops(codec, codes):
    with DecodingBeside(codec, codes, SETTINGS, threads=2) as beside:
        next(iter(beside))
    assert not beside._thread.is_alive()


def test_a_song_is_decoded_beside_its_singing_where_threads_are_idle(tiny_checkpoint, two_threads):
    pipe = HeartMuLaGenPipeline.from_pretrained(tiny_checkpoint, device="cpu")
    beside = pipe._decoding_beside(torch.zeros(8, 0, dtype=torch.long), SETTINGS)
    assert isinstance(beside, DecodingBeside)
    torch.set_num_threads(1)
    assert pipe._decoding_beside(torch.zeros(8, 0, dtype=torch.long), SETTINGS) is None


def test_cancelled_while_decoding_keeps_the_windows_done(codec, codes, whole):
    cancel = threading.Event()
    cancel.set()
    pieces = codec.detokenize_windows(codes, **decoding(SETTINGS))
    part = gather(pieces, 700, RATE, None, cancel)
    assert part.shape[1] == 320 * 3840
    assert torch.equal(part, whole[:, : part.shape[1]])
    pieces = codec.detokenize_windows(codes, **decoding(SETTINGS))
    assert gather(pieces, 700, RATE, None, cancel, least=320).shape[1] == 640 * 3840
