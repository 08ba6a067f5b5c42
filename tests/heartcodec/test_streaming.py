"""A codec that is heard while its codes are still coming."""

import pytest
import torch

from heartlib.errors import UsageError
from heartlib.heartcodec import HeartCodec
from heartlib.heartcodec.streaming import stream


@pytest.fixture(scope="module")
def codec(tiny_checkpoint):
    return HeartCodec.from_pretrained(tiny_checkpoint / "HeartCodec-oss")


def song(frames: int) -> torch.Tensor:
    return torch.randint(0, 32, (8, frames), generator=torch.Generator().manual_seed(frames))


def played(codec, codes, **more) -> list[torch.Tensor]:
    return list(stream(codec, lambda count: codes[:, :count], num_steps=2, **more))


@pytest.mark.parametrize(
    ("frames", "pieces"),
    [(1, [1]), (64, [64]), (65, [61, 4]), (189, [61, 128]), (700, [61, 125, 253, 261])],
)
def test_pieces_grow_and_cover_the_song(codec, frames, pieces):
    found = played(codec, song(frames))
    assert [piece.shape for piece in found] == [(2, 3840 * count) for count in pieces]
    assert all(piece.isfinite().all() for piece in found)


def test_the_first_piece_needs_one_frame_beyond_five_seconds(codec):
    codes, asked = song(400), list[int]()

    def first(count):
        asked.append(count)
        return codes[:, :count]

    pieces = stream(codec, first, num_steps=1)
    next(pieces)
    assert asked == [65]
    list(pieces)
    assert asked == [65, 190, 443]


def test_a_seed_is_a_sound(codec):
    codes = song(150)
    one, again, other = (torch.cat(played(codec, codes, seed=s), 1) for s in (4, 4, 5))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_a_short_song_sounds_as_it_does_offline(codec):
    codes = song(60)
    (piece,) = played(codec, codes, seed=3)
    whole = codec.detokenize(codes, num_steps=2, seed=3)
    torch.testing.assert_close(piece, whole, atol=1e-4, rtol=0)


def test_a_window_goes_on_from_what_was_played(codec, monkeypatch):
    sample, told = codec.flow_matching.sample, list[tuple]()

    def heard(codes, noise, context=None, **settings):
        told.append((codes, context, made := sample(codes, noise, context, **settings)))
        return made

    monkeypatch.setattr(codec.flow_matching, "sample", heard)
    codes = song(300)
    played(codec, codes)
    (first, none, before), (second, context, _), (third, later, _) = told
    assert none is None
    assert torch.equal(first[0], codes[:, :64].repeat(1, 6)[:, :372])
    assert torch.equal(second[0, :, :180], codes[:, 9:189])  # 52 frames before frame 61
    assert torch.equal(context, before[:, 2 * 9 : 2 * 61])
    assert torch.equal(third[0, :, :166], codes[:, 134:300])
    assert later.shape == (1, 104, 256)


def test_bad_codes(codec):
    with pytest.raises(UsageError, match="this codec knows"):
        played(codec, song(5) + 100)
    with pytest.raises(UsageError, match="num_steps"):
        list(stream(codec, lambda count: song(5), num_steps=0))
