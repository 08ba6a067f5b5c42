"""The published encoder: against the reference's values at full size, and small against itself."""

import json
import math
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from heartlib.errors import CheckpointError, HeartlibError, UsageError
from heartlib.heartcodec import HeartCodec, HeartCodecConfig
from heartlib.heartcodec.encoding import as_stereo
from heartlib.heartcodec.models.audio_encoder import AudioEncoder, AudioEncoderConfig

pytest.importorskip("transformers")

GOLDEN = Path(__file__).parents[1] / "golden" / "heartcodec_encoder"
SIZES = {
    "mu_channels": 2,
    "mu_width": 32,
    "mu_heads": 2,
    "mu_hidden": 32,
    "speech_channels": 8,
    "speech_width": 32,
    "speech_heads": 2,
    "speech_hidden": 32,
}
DIM = 128
CHUNK = 714_240
KEPT = ("inv_freq", "mel_scale.fb", "spectrogram.window", "embed_positions")


def golden_tensor(name: str, shape: torch.Size) -> torch.Tensor:
    """The weight that the rule of the golden values gives a name."""
    draw = np.random.RandomState(zlib.crc32(f"encoder.{name}".encode()))
    v = torch.from_numpy(draw.standard_normal(shape.numel()).astype(np.float32)).reshape(shape)
    last = name.rsplit(".", 1)[-1]
    if last in ("running_var", "original0"):
        return 1 + 0.1 * v.abs()
    if last == "running_mean":
        return 0.1 * v
    if v.ndim > 1:
        return v / math.sqrt(v.numel() / shape[0])
    if last == "scale":
        return 0.3 + 0.05 * v
    return 1 + 0.1 * v if last == "weight" else 0.1 * v


def constant(name: str, built: torch.Tensor) -> torch.Tensor:
    """What a constant is before any checkpoint is read."""
    if "whisper" in name:
        rate = torch.exp(-math.log(10_000) / 383 * torch.arange(384))
        angle = torch.arange(1500)[:, None] * rate
        return torch.cat((angle.sin(), angle.cos()), dim=1)
    if built.is_meta:
        return 10_000 ** -(torch.arange(0, 64, 2).float() / 64)
    return built


def golden_encoder() -> AudioEncoder:
    with torch.device("meta"):
        encoder = AudioEncoder(AudioEncoderConfig())
    weights = {}
    for name, built in encoder.state_dict().items():
        if not built.is_floating_point():
            weights[name] = torch.zeros((), dtype=built.dtype)
        elif any(part in name for part in KEPT):
            weights[name] = constant(name, built)
        else:
            weights[name] = golden_tensor(name, built.shape)
    encoder.load_state_dict(weights, assign=True)
    return encoder.eval()


@pytest.mark.slow
@pytest.mark.full_size
@torch.inference_mode()
def test_every_stream_and_what_becomes_of_them():
    encoder, io = golden_encoder(), load_file(GOLDEN / "io.safetensors")
    extractors, wave = encoder.feature_extractors, io["audio_24k"]

    def check(made: torch.Tensor, name: str, within: float):
        torch.testing.assert_close(made, io[name], atol=within, rtol=0)

    mel = extractors.muencoder.preprocessor_melspec_2048(wave[:, :-240])
    check(mel[..., ::7], "mel_db_every_7", 1e-3)
    check(extractors.mel(io["audio_16k"])[..., :210], "whisper_mel_first_210", 1e-4)
    streams = extractors(wave)
    for name, made in zip(("acoustic", "semantic", "whisper", "wavlm"), streams, strict=True):
        check(made[:, ::16], f"{name}_every_16", 1e-4)
    check(encoder.query(*streams), "query", 1e-4)


def test_names_shapes_and_dtypes_at_full_size():
    with torch.device("meta"):
        tensors = AudioEncoder(AudioEncoderConfig()).state_dict()
    rows = (line.split("\t") for line in (GOLDEN / "tensors.tsv").read_text().splitlines())
    shapes = {
        f"encoder.{k}": ["x".join(map(str, v.shape)) or "scalar", str(v.dtype)[6:]]
        for k, v in tensors.items()
    }
    assert shapes == {name: rest for name, *rest in rows}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small decoder, and a small encoder in the published layout."""
    torch.manual_seed(5)
    root = tmp_path_factory.mktemp("codec")
    about = {"dim": DIM, "in_channels": 512 + DIM, "init_channel": 2, "codebook_size": 64}
    about |= {"attention_head_dim": 8, "num_attention_heads": 2}
    codec = HeartCodec(HeartCodecConfig(**about | {"num_layers": 1, "num_layers_2": 1}))
    for name, buffer in codec.named_buffers():
        if name.endswith(".embed"):
            buffer.normal_(0, 0.1)
    codec.save_pretrained(root / "HeartCodec-oss")
    encoder = root / "HeartCodec-oss-encoder"
    encoder.mkdir()
    config = {"dim": DIM, "extractors": SIZES}
    (encoder / "encoder_config.json").write_text(json.dumps(config))
    tensors = AudioEncoder(AudioEncoderConfig.from_dict(config)).state_dict()
    tensors = {f"encoder.{name}": tensor.clone() for name, tensor in tensors.items()}
    save_file(tensors, encoder / "encoder.safetensors")
    return root / "HeartCodec-oss", encoder


@pytest.fixture(scope="module")
def codec(folders: tuple[Path, Path]) -> HeartCodec:
    return HeartCodec.from_encoder_decoder_pretrained(*folders)


def noise(samples: int, channels: int = 2) -> torch.Tensor:
    return torch.randn(channels, samples, generator=torch.Generator().manual_seed(7)) * 0.1


def test_a_short_sound_there_and_back(codec: HeartCodec):
    told: list[tuple[int, int]] = []
    codes = codec.tokenize(noise(9_700), 24_000, progress=lambda *done: told.append(done))
    assert codes.shape == (8, 6) and codes.dtype == torch.int64 and told == [(6, 6)]
    sound = codec.detokenize(codes, num_steps=1)
    assert sound.shape == (2, 6 * 3840) and sound.isfinite().all()


@pytest.mark.slow
@torch.inference_mode()
def test_chunks_are_coded_by_themselves(codec: HeartCodec):
    encoder, wave, told = codec.encoder, noise(CHUNK + 5 * 1920 + 100), []
    assert encoder is not None
    codes = codec.tokenize(wave, 24_000, progress=lambda *done: told.append(done))
    assert codes.shape == (8, 372 + 6) and codes.dtype == torch.int64
    assert codes.min() >= 0 and codes.max() < 64
    assert told == [(372, 378), (378, 378)]
    rest = nn.functional.pad(wave[:, CHUNK:], (0, 2 * CHUNK - wave.shape[1] + 240))
    alone = codec.flow_matching.vq_embed.encode(encoder(rest)[None, :6])[0]
    assert torch.equal(codes[:, 372:], alone)


def test_a_full_chunk_has_one_frame_more(codec: HeartCodec):
    encoder = codec.encoder
    assert encoder is not None
    counts = [encoder.count_frames(n) for n in (1, 1919, 1920, 48_000, CHUNK - 1, CHUNK)]
    assert counts == [1, 1, 2, 26, 372, 373]


def test_mono_is_doubled_and_rates_are_changed():
    mono = noise(24_000, channels=1)
    for wave in (mono, mono[0], mono[0].numpy(), mono.double()):
        assert torch.equal(as_stereo(wave, 24_000, 24_000), mono.expand(2, -1))
    assert as_stereo(mono, 96_000, 24_000).shape == (2, 6_000)
    with pytest.raises(UsageError, match="too short: 1 samples at 192000 Hz"):
        as_stereo(mono[:, :1], 192_000, 24_000)


@pytest.mark.parametrize(
    ("wave", "message"),
    [
        (torch.zeros(6, 100), r"shape \[6, 100\]; give"),
        (torch.zeros(2, 1, 100), "give"),
        (torch.zeros(2, 0), "the sound is empty"),
        (torch.full((2, 50), float("nan")), "not finite"),
        (torch.zeros(2, 50, dtype=torch.int16), "int16; give floating-point"),
    ],
)
def test_waves_that_are_none(codec: HeartCodec, wave: torch.Tensor, message: str):
    with pytest.raises(UsageError, match=message):
        codec.tokenize(wave, 24_000)


def test_half_precision_leaves_encoder_and_codebooks_alone(folders: tuple[Path, Path]):
    half = HeartCodec.from_encoder_decoder_pretrained(*folders, dtype=torch.bfloat16)
    assert half.encoder is not None
    kept = [*half.encoder.parameters(), *half.flow_matching.vq_embed.parameters()]
    assert {p.dtype for p in kept} == {torch.float32}
    assert half.flow_matching.estimator.dtype == torch.bfloat16
    codes = torch.zeros(8, 2, dtype=torch.long)
    assert half.detokenize(codes, num_steps=1).isfinite().all()


def test_without_transformers(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(HeartlibError, match=r"pip install 'heartlib\[transcribe\]'"):
        HeartCodec.from_encoder_decoder_pretrained(*folders)


def test_without_an_encoder(folders: tuple[Path, Path]):
    decoder = HeartCodec.from_pretrained(folders[0])
    with pytest.raises(UsageError, match="without its encoder; load both with"):
        decoder.tokenize(torch.zeros(2, 100), 24_000)


def test_parts_of_two_codecs(folders: tuple[Path, Path], tiny_checkpoint: Path):
    with pytest.raises(CheckpointError, match=r"width 128.*take 32: they are not of one codec"):
        HeartCodec.from_encoder_decoder_pretrained(tiny_checkpoint / "HeartCodec-oss", folders[1])
    with pytest.raises(CheckpointError, match=r"encoder_config\.json is missing"):
        HeartCodec.from_encoder_decoder_pretrained(folders[0], folders[0])
