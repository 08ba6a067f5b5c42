"""Decoding with kernels of its own: each kernel against its reference, the whole against the modules.

Without a GPU the kernels run in Triton's interpreter.
"""

import copy
import inspect
import json
import shutil
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from heartlib.errors import UsageError
from heartlib.graphs import CUDAGraphed
from heartlib.heartcodec import HeartCodec
from heartlib.heartcodec.kernels import convolution, gated_norm, launch, rope, swiglu
from heartlib.heartcodec.models import fused_estimator, fused_sq_decoder
from heartlib.heartcodec.models.fused_estimator import FusedEstimator
from heartlib.heartcodec.models.fused_sq_decoder import FusedDecoder
from heartlib.heartcodec.models.sq_codec import round_latents
from heartlib.heartcodec.models.transformer import rope_table
from heartlib.heartcodec.models.window_sampler import WindowSampler
from heartlib.heartcodec.precision import Precision
from heartlib.heartcodec.window_decoder import WindowDecoder

FOLDER = Path(__file__).parents[1] / "golden" / "heartcodec"
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
EXACT, HALF = Precision.beside(torch.float32), Precision.beside(torch.bfloat16)
triton = pytest.mark.skipif(not launch.HAVE_TRITON, reason="Triton is not installed")
gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture(autouse=True)
def all_bits(monkeypatch: pytest.MonkeyPatch):
    """The modules that fused ones are compared with do not shorten float32 on a GPU."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def numbers(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(shape, generator=generator).to(DEVICE, dtype)


def near(made: Tensor, expected: Tensor) -> None:
    bits = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}[made.dtype]
    assert made.dtype == expected.dtype
    torch.testing.assert_close(made, expected, atol=bits, rtol=bits)


def agreement(made: Tensor, expected: Tensor) -> float:
    """How far the expected stands above the difference, dB."""
    return 10 * torch.log10(expected.square().sum() / (made - expected).square().sum()).item()


@triton
@pytest.mark.parametrize("width", [16, 48, 77, 192])
@pytest.mark.parametrize("branched", [True, False])
@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_gated_norm(width, branched, centred, dtype):
    x, branch = numbers(2, 5, width), numbers(2, 5, width, dtype=dtype, seed=1)
    gain, shift, gate = numbers(3, width).unbind(0)
    more = (branch, gate) if branched else (None, None)
    mine, theirs = x.clone(), x.clone()
    settings = {"centred": centred, "dtype": dtype}
    made = gated_norm.gated_norm_kernel(mine, gain, shift, *more, **settings)
    near(made, gated_norm.gated_norm_reference(theirs, gain, shift, *more, **settings))
    near(mine, theirs)
    assert torch.equal(mine, x) != branched


@triton
@pytest.mark.parametrize(("heads", "width"), [(1, 2), (2, 8), (3, 6), (4, 48)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_turning_queries_and_keys(heads, width, dtype):
    qkv = numbers(2, 7, 3 * heads * width, dtype=dtype)
    mine, theirs = qkv.clone(), qkv.clone()
    table = rope_table(7, width, DEVICE)
    rope.turn_kernel(mine, table)
    rope.turn_reference(theirs, table)
    near(mine, theirs)
    assert torch.equal(mine[..., 2 * heads * width :], qkv[..., 2 * heads * width :])


@triton
@pytest.mark.parametrize("hidden", [1, 24, 1030])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_swiglu(hidden, dtype):
    gate_up = numbers(2, 3, 2 * hidden, dtype=dtype)
    near(swiglu.swiglu_kernel(gate_up), swiglu.swiglu_reference(gate_up))


@triton
def test_what_float16_cannot_say_stays_finite():
    gate_up = torch.full((1, 1, 4), 6e4, dtype=torch.float16, device=DEVICE)
    for run in (swiglu.swiglu_kernel, swiglu.swiglu_reference):
        assert run(gate_up).isfinite().all()
    x, weight = torch.full((1, 2, 16), 6e4, device=DEVICE), torch.ones(1, 16, 4, device=DEVICE)
    for run in (convolution.convolve_kernel, convolution.convolve_reference):
        assert run(x.half(), weight.half(), dtype=torch.float16).isfinite().all()


@triton
@pytest.mark.parametrize(("taps", "dilation", "ahead"), [(1, 1, 0), (3, 1, 1), (7, 9, 0)])
@pytest.mark.parametrize(("width_in", "width_out"), [(16, 1), (40, 136)])
@pytest.mark.parametrize("kind", ["plain", "activated", "added", "in place"])
def test_convolution(taps, dilation, ahead, width_in, width_out, kind):
    x, weight = numbers(2, 150, width_in), numbers(taps, width_in, width_out) * 0.1
    bias, slope, base = (
        numbers(width_out),
        numbers(1),
        numbers(2, 150, width_out, dtype=torch.float16),
    )
    settings: dict = {"dilation": dilation, "ahead": ahead}
    if kind != "plain":
        settings |= {"bias": bias, "slope": slope}
    if kind in ("added", "in place"):
        settings |= {"base": base, "dtype": torch.float16}
    expected = convolution.convolve_reference(x, weight.half(), **settings)
    if kind == "in place":
        settings["out"] = base
    near(convolution.convolve_kernel(x, weight.half(), **settings), expected)


def test_a_reference_is_a_convolution():
    x, weight, bias = numbers(2, 20, 6), numbers(5, 6, 4), numbers(4)
    made = convolution.convolve_reference(x, weight, bias, dilation=3)
    padded = torch.nn.functional.pad(x.transpose(1, 2), (12, 0))
    expected = torch.nn.functional.conv1d(padded, weight.permute(2, 1, 0), bias, dilation=3)
    torch.testing.assert_close(made, expected.transpose(1, 2), atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def io() -> dict[str, Tensor]:
    return load_file(FOLDER / "io.safetensors")


def loaded(dtype: torch.dtype = torch.float32, device: torch.device = DEVICE) -> HeartCodec:
    return HeartCodec.from_pretrained(FOLDER, device, dtype)


def decoder_of(codec: HeartCodec, precision: Precision = EXACT, **more) -> WindowDecoder:
    return WindowDecoder(codec.flow_matching, codec.scalar_model, precision, whole=744, **more)


@torch.inference_mode()
@pytest.mark.parametrize("rows", [1, 2])
def test_the_fused_estimator_is_the_estimator(rows):
    codec = loaded()
    x, context, condition = numbers(1, 9, 256), numbers(rows, 9, 256), numbers(rows, 9, 64)
    t = torch.tensor([0.0, 0.3], device=DEVICE)
    fused = FusedEstimator(copy.deepcopy(codec.flow_matching.estimator), EXACT)
    made = fused(x, fused.given(context, condition), fused.times(t), 1, fused.tables(9, DEVICE))
    inputs = torch.cat((x.expand(rows, -1, -1), context, condition), dim=-1)
    expected = codec.flow_matching.estimator(inputs, t[1:].expand(rows))
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_three_taps_in_one_product(dtype):
    x, weight = numbers(2, 7, 6), numbers(3, 6, 4)
    made = fused_estimator.convolve(x, weight.flatten(0, 1).to(dtype))
    expected = torch.nn.functional.conv1d(x.transpose(1, 2), weight.permute(2, 1, 0), padding=1)
    assert made.dtype == torch.float32
    bits = 1e-5 if dtype == torch.float32 else 1e-2
    torch.testing.assert_close(made, expected.transpose(1, 2), atol=bits, rtol=bits)


@torch.inference_mode()
@pytest.mark.parametrize("guidance", [1.0, 1.25, 2.0])
def test_the_window_sampler_gives_golden_latents(io, guidance):
    codec = loaded()
    sampler = WindowSampler(
        codec.flow_matching, FusedEstimator(codec.flow_matching.estimator, EXACT)
    )
    inputs = [io[f"window.{name}"].to(DEVICE) for name in ("codes", "noise")]
    made = sampler(
        *inputs,
        [io["window.context"][0, :12].to(DEVICE)],
        num_steps=4,
        guidance_scale=guidance,
        guidance_from=0.0,
    )
    expected = io[f"window.g{guidance}.latents"].to(DEVICE)
    torch.testing.assert_close(made, expected, atol=1e-3, rtol=0)


@torch.inference_mode()
@pytest.mark.parametrize("guidance_from", [0.0, 0.5, 2.0])
def test_rows_of_a_batch_are_what_they_are_alone(guidance_from):
    codec = loaded()
    sampler = WindowSampler(
        codec.flow_matching, FusedEstimator(codec.flow_matching.estimator, EXACT)
    )
    codes, noise = torch.randint(0, 32, (3, 8, 20), device=DEVICE), numbers(3, 40, 256)
    contexts = [None, numbers(13, 256), numbers(40, 256)]
    settings = {"num_steps": 3, "guidance_scale": 2.0, "guidance_from": guidance_from}
    together = sampler(codes, noise, contexts, **settings)
    for i, context in enumerate(contexts):
        row = slice(i, i + 1)
        alone = sampler(codes[row], noise[row], [context], **settings)
        given = None if context is None else context[None]
        expected = codec.flow_matching.sample(codes[row], noise[row], given, **settings)
        torch.testing.assert_close(alone, expected, atol=1e-4, rtol=0)
        torch.testing.assert_close(together[row], alone, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_a_sampler_forgets_what_it_prepared_long_ago():
    codec = loaded()
    sampler = WindowSampler(
        codec.flow_matching, FusedEstimator(codec.flow_matching.estimator, EXACT)
    )
    codes, noise = torch.zeros(1, 8, 2, dtype=torch.long, device=DEVICE), numbers(1, 4, 256)
    for steps in (1, 2, 3, 4, 5, 5, 1):
        settings = {"num_steps": steps, "guidance_scale": 1.0, "guidance_from": 0.0}
        made = sampler(codes, noise, [None], **settings)
        expected = codec.flow_matching.sample(codes, noise, **settings)
        torch.testing.assert_close(made, expected, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_the_fused_scalar_decoder_is_the_scalar_decoder(io):
    scalar = loaded().scalar_model
    rounded = round_latents(io["scalar.latent"].to(DEVICE))
    expected = scalar.decoder(rounded)
    exact = FusedDecoder(scalar.decoder, torch.float32)(rounded.transpose(1, 2))
    torch.testing.assert_close(exact, expected, atol=1e-4, rtol=1e-4)
    half = FusedDecoder(scalar.decoder, torch.float16)(rounded.transpose(1, 2))
    assert half.shape == expected.shape and agreement(half, expected) > 40


@torch.inference_mode()
def test_first_calls_are_of_every_kernel_that_decoding_needs(monkeypatch):
    """As Triton tells them apart: by the dtypes and widths of what they are given."""
    codec, called = loaded(torch.bfloat16), set()

    def listen(module, name: str) -> None:
        run = getattr(module, name)

        def heard(*given, **named):
            call = inspect.signature(run).bind(*given, **named)
            call.apply_defaults()
            told = call.arguments
            if name == "convolve":  # one kernel for all layers of a tile
                told = {key: told[key] for key in ("x", "weight", "base", "dtype", "out")}
                whole = tuple(size % 16 == 0 for size in given[1].shape[1:])
                tile = convolution.tile_of(given[1])
                called.add((name, tile, whole, *map(kind, told.values())))
            else:
                widths = [value.shape[-1] for value in told.values() if isinstance(value, Tensor)]
                called.add((name, *widths, *map(kind, told.values())))
            return run(*given, **named)

        monkeypatch.setattr(module, name, heard)

    def kind(value):
        return ("of", value.dtype) if isinstance(value, Tensor) else value

    for name in ("gated_norm", "turn", "swiglu"):
        listen(fused_estimator, name)
    listen(fused_sq_decoder, "convolve")
    estimator = FusedEstimator(codec.flow_matching.estimator, HALF)
    scalar = FusedDecoder(codec.scalar_model.decoder, HALF.scalar)
    for call in (*estimator.first_calls(), *scalar.first_calls()):
        call()
    prepared = set(called)
    called.clear()
    codes = torch.zeros(1, 8, 3, dtype=torch.long, device=DEVICE)
    sampler = WindowSampler(codec.flow_matching, estimator, graphed=False)
    settings = {"num_steps": 2, "guidance_scale": 2.0, "guidance_from": 0.5}
    latents = sampler(codes, numbers(1, 6, 256), [None], **settings)
    scalar(round_latents(latents[..., :128]))
    assert called == prepared and len(called) > 10


def test_joined_weights_are_the_published_ones_and_take_no_memory_twice(tmp_path):
    codec, before = loaded(), load_file(FOLDER / "model.safetensors")
    decoder_of(codec)
    block = codec.flow_matching.estimator.transformer_blocks[0]
    whole = block.attn.q_proj.weight.untyped_storage().data_ptr()
    for part in (block.attn.k_proj, block.attn.v_proj):
        assert part.weight.untyped_storage().data_ptr() == whole
    assert (
        block.mlp.gate.weight.untyped_storage().data_ptr()
        == block.mlp.up.weight.untyped_storage().data_ptr()
    )
    for name, tensor in codec.flow_matching.state_dict().items():
        assert torch.equal(tensor.cpu(), before[f"flow_matching.{name}"])
    codec.save_pretrained(tmp_path / "codec")
    after = load_file(tmp_path / "codec" / "model.safetensors")
    name = "flow_matching.estimator.transformer_blocks.0.attn.k_proj.weight"
    assert torch.equal(after[name], before[name])


@pytest.mark.parametrize(("dtype", "least"), [(torch.bfloat16, 20), (torch.float16, 30)])
def test_half_precision_is_near(io, dtype, least):
    codec = loaded(dtype)
    wave = codec.detokenize(io["detok100.codes"], num_steps=4, noise=io["detok100.noise"])
    assert agreement(wave[:, ::61], io["detok100.wav_every_61"]) > least


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_songs_together_are_what_they_are_alone(dtype):
    codec = loaded(dtype)
    generator = torch.Generator().manual_seed(0)
    songs = [torch.randint(0, 32, (8, frames), generator=generator) for frames in (5, 400)]
    together = codec.detokenize_songs(songs, num_steps=1, seeds=[1, 2])
    for seed, (codes, wave) in enumerate(zip(songs, together, strict=True), 1):
        alone = codec.detokenize(codes, num_steps=1, seed=seed)
        assert wave.shape == alone.shape == (2, codes.shape[1] * 3840)
        assert agreement(wave, alone) > 30
    assert codec.detokenize_songs([]) == []


def test_songs_and_seeds_that_do_not_fit():
    codec = loaded()
    with pytest.raises(UsageError, match="1 songs and 2 seeds"):
        codec.detokenize_songs([torch.zeros(8, 3, dtype=torch.long)], seeds=[1, 2])
    with pytest.raises(UsageError, match="this codec knows"):
        codec.detokenize_songs([torch.full((8, 3), 99)])


def test_what_was_prepared_is_forgotten_with_the_weights():
    codec = loaded(torch.float16)
    first = codec.decoder()
    assert first is not None and codec.decoder() is first
    assert copy.deepcopy(codec)._decoder is None
    codec.load_state_dict(codec.state_dict())
    assert codec.decoder() is not first
    codec.float()
    assert (codec.decoder() is None) == (DEVICE.type == "cpu")
    assert codec.requires_grad_(True).decoder() is None


def test_a_scalar_codec_with_levels_sounds_alike(tiny_analysis):
    half = HeartCodec.from_pretrained(tiny_analysis, DEVICE, torch.float16)
    codes = torch.randint(0, 32, (8, 40), generator=torch.Generator().manual_seed(1))
    expected = HeartCodec.from_pretrained(tiny_analysis).detokenize(codes, num_steps=2, seed=5)
    assert agreement(half.detokenize(codes, num_steps=2, seed=5), expected) > 20


@pytest.fixture(scope="module")
def tiny_analysis(tiny_checkpoint, tmp_path_factory) -> Path:
    """The tiny codec as one whose latents are a fixed analysis, like nano's."""
    folder = tmp_path_factory.mktemp("analysis") / "HeartCodec-oss"
    shutil.copytree(tiny_checkpoint / "HeartCodec-oss", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"scalar_encoder": "analysis"}))
    return folder


class TestOnAGPU:
    pytestmark = gpu

    @torch.inference_mode()
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
    def test_graphed_is_eager(self, dtype):
        codec = loaded(dtype)
        codes, noise = torch.randint(0, 32, (1, 8, 372), device=DEVICE), numbers(1, 744, 256)
        precision = Precision.beside(dtype)
        eager, graphed = (decoder_of(codec, precision, graphed=on) for on in (False, True))
        settings = {"num_steps": 6, "guidance_scale": 3.5, "guidance_from": 0.5}
        for context in (None, numbers(104, 256), numbers(18, 256), None):
            latents = eager.latents(codes, noise, [context], **settings)
            made = graphed.latents(codes, noise, [context], **settings)
            torch.testing.assert_close(made, latents, atol=1e-5, rtol=0)
            expected = eager.sound(latents)
            torch.testing.assert_close(graphed.sound(latents), expected, atol=1e-5, rtol=0)

    @triton
    def test_windows_compile_nothing_more(self):
        codec = loaded(torch.bfloat16)
        assert codec.decoder() is not None
        kernels = (gated_norm._gated_norm, rope._turn, swiglu._swiglu, convolution._convolve)

        def known() -> list[int]:
            return [len(kernel.device_caches[DEVICE.index or 0][0]) for kernel in kernels]

        before = known()
        assert min(before) > 0
        codec.detokenize(torch.zeros(8, 400, dtype=torch.long), num_steps=2)
        assert known() == before

    def test_a_song_on_the_gpu_is_the_cpus(self):
        codes = torch.randint(0, 32, (8, 700), generator=torch.Generator().manual_seed(2))
        expected = loaded(device=torch.device("cpu")).detokenize(codes, num_steps=2, seed=3)
        assert agreement(loaded().detokenize(codes, num_steps=2, seed=3), expected) > 40
        for dtype in (torch.float16, torch.bfloat16):
            assert agreement(loaded(dtype).detokenize(codes, num_steps=2, seed=3), expected) > 20

    def test_other_threads_and_streams(self):
        codec = loaded(torch.float16)
        codes = torch.randint(0, 32, (8, 400), generator=torch.Generator().manual_seed(4))
        expected = codec.detokenize(codes, num_steps=2, seed=3)
        found: dict[int, Tensor] = {}

        def decode(number: int) -> None:
            with torch.cuda.stream(torch.cuda.Stream()):
                mine = codes.to(DEVICE, non_blocking=True) if number % 2 else codes
                found[number] = codec.detokenize(mine, num_steps=2, seed=3)

        threads = [threading.Thread(target=decode, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 4
        for wave in found.values():
            torch.testing.assert_close(wave, expected, atol=1e-5, rtol=0)

    def test_work_of_the_caller_goes_on_beside(self):
        codec = loaded(torch.float16)
        codes = torch.randint(0, 32, (8, 30))
        codec.detokenize(codes, num_steps=1)
        busy = numbers(4096, 4096)
        for _ in range(400):
            busy = busy @ busy * 1e-3
        done = torch.cuda.Event()
        done.record()
        codec.detokenize(codes, num_steps=1)
        assert not done.query()

    def test_a_graph_is_its_step(self):
        total = torch.zeros(1, device=DEVICE)
        run = CUDAGraphed(lambda: total.add_(1), DEVICE)
        total.zero_()
        for _ in range(3):
            run()
        assert total.item() == 3
