"""nano's encoder: song after song the same codes, whole or in pieces."""

import pytest
import torch

from heartlib import checkpoints
from heartlib.heartcodec import HeartCodec
from heartlib.heartcodec.models import query_transformer


@pytest.fixture(scope="module")
def codec() -> HeartCodec:
    root = checkpoints.NANO
    return HeartCodec.from_encoder_decoder_pretrained(
        root / "HeartCodec-oss", root / "HeartCodec-oss-encoder"
    )


def chords(seconds: float) -> torch.Tensor:
    """Three tones that change twice a second, with some noise: stereo at 48 kHz [2, n]."""
    draw = torch.Generator().manual_seed(2)
    time = torch.arange(int(seconds * 48_000)) / 48_000
    tones = 110 * 2 ** (torch.randint(0, 36, (2, 3, int(2 * seconds) + 1), generator=draw) / 12)
    pitch = tones[..., (2 * time).long()]  # [2, 3, n]
    wave = torch.sin(2 * torch.pi * pitch * time).mean(1) * 0.5
    return wave + 0.01 * torch.randn(wave.shape, generator=draw)


@torch.inference_mode()
def test_pieces_give_what_the_whole_gives(codec: HeartCodec, monkeypatch: pytest.MonkeyPatch):
    wave, encoder = chords(9.9), codec.encoder
    assert encoder is not None
    monkeypatch.setattr(query_transformer, "PIECE_FRAMES", 50)
    pieces = list(encoder.pieces(wave))
    assert [len(piece) for piece in pieces] == [50, 50, 24]
    torch.testing.assert_close(torch.cat(pieces), encoder(wave[None])[0], atol=1e-4, rtol=0)


def test_codes_of_a_song(codec: HeartCodec):
    codes = codec.tokenize(chords(2.0)[:, :-100], 48_000)
    assert codes.shape == (8, 25)
    assert len(codes[0].unique()) > 2
    low = codec.tokenize(chords(2.0), 8_000)
    assert low.shape == (8, 150)
