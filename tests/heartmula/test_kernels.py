"""Each kernel against its PyTorch reference: in Triton's interpreter without a GPU, on it with one."""

import pytest
import torch

pytest.importorskip("triton")

from heartlib.errors import UsageError
from heartlib.heartmula.kernels import attention, few_rows, rows, sample, whole_numbers
from heartlib.heartmula.kernels.launch import kernels_run_on
from heartlib.heartmula.kernels.linear import (
    Shares,
    Tiles,
    count_shares,
    gated_linear,
    gated_linear_reference,
    linear,
    linear_reference,
    padded,
)
from heartlib.heartmula.kernels.whole_numbers import WholeRows
from heartlib.heartmula.transformer import rope_table
from heartlib.heartmula.weights import Weight

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# The interpreter multiplies bfloat16 wrongly.
DTYPES = [torch.float32, torch.bfloat16] if DEVICE.type == "cuda" else [torch.float32]

pytestmark = pytest.mark.skipif(not kernels_run_on(DEVICE), reason="no GPU and no interpreter")


def close(found: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype) -> None:
    error = (found.float() - expected.float()).norm() / expected.float().norm()
    assert error < (1e-5 if dtype == torch.float32 else 8e-3), error


def randn(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape).to(DEVICE, dtype)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["plain", "int8", "int4"])
@pytest.mark.parametrize(
    ("count", "outputs", "inputs"), [(2, 40, 128), (9, 21, 640), (5, 16, 1024)]
)
def test_linear(kind, count, outputs, inputs, dtype):
    dense = randn(outputs, inputs, dtype=dtype)
    weight = Weight.plain(dense) if kind == "plain" else Weight.quantize(dense, kind)
    x = randn(padded(count), inputs, dtype=dtype)
    for add in (False, True):
        found = randn(count, outputs)
        expected = found.clone()
        linear(x, weight, found, count, add=add)
        linear_reference(x, weight, expected, count, add=add)
        close(found, expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["plain", "int8"])
def test_shares_are_added_alike_whoever_takes_them(kind, dtype):
    """By one program for few rows, by four for many; twice, since the counters must be as before."""
    dense, count = randn(20, 1024, dtype=dtype), 16
    weight = Weight.plain(dense) if kind == "plain" else Weight.quantize(dense, kind)
    x, before = randn(16, 1024, dtype=dtype), randn(count, 20)
    space = Shares.allocate(count, DEVICE)
    assert count_shares(weight, False) == 4
    for _ in range(2):
        split, few, expected = before.clone(), before[:3].clone(), before.clone()
        linear(x, weight, split, count, add=True, space=space)
        linear(x, weight, few, 3, add=True, space=space)
        linear_reference(x, weight, expected, count, add=True)
        close(split, expected, dtype)
        assert not space.done.any()
        if DEVICE.type == "cuda":
            assert torch.equal(split[:3], few)
        torch.testing.assert_close(split[:3], few, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kind", "count", "inputs", "tiles"), [
    ("plain", 2, 256, (2, 128, 4, 2)), ("plain", 1, 384, (8, 256, 4, 1)), ("fp8", 1, 640, (4, 128, 4, 3)),
])  # fmt: skip
def test_few_rows(kind, count, inputs, tiles, dtype):
    dense = randn(10, inputs, dtype=dtype)
    weight = Weight.plain(dense) if kind == "plain" else Weight.quantize(dense, kind)
    x = randn(padded(count), inputs, dtype=dtype)
    for add in (False, True):
        found = randn(count, 10)
        expected = found.clone()
        few_rows.linear(x, weight, found, count, add=add, tiles=few_rows.Tiles(*tiles))
        linear_reference(x, weight, expected, count, add=add)
        close(found, expected, dtype)
    found, expected = randn(count, 5), randn(count, 5)
    few_rows.gated_linear(x, weight, found, count, tiles=few_rows.Tiles(*tiles))
    gated_linear_reference(x, weight, expected, count)
    close(found, expected, dtype)


@pytest.mark.parametrize(("kind", "count", "inputs", "tiles"), [
    ("int8", 2, 64, (4, 32, 1, 2)), ("int8", 3, 48, (8, 32, 1, 1)), ("int8", 1, 160, (16, 32, 2, 4)),
    ("int4", 2, 256, (8, 64, 1, 1)), ("int4", 1, 384, (16, 128, 1, 2)),
])  # fmt: skip
def test_whole_rows(kind, count, inputs, tiles):
    weight, cut = Weight.quantize(randn(22, inputs), kind), whole_numbers.Tiles(*tiles)
    given = randn(count, inputs)
    x, expected_x = (WholeRows.allocate(count, inputs, DEVICE) for _ in range(2))
    whole_numbers.round_rows(given, x, count)
    whole_numbers.round_rows_reference(given, expected_x, count)
    assert (x.dense() - expected_x.dense()).abs().max() <= 1.01 * x.steps.max()
    assert (x.dense() - given).abs().max() <= 0.51 * x.steps.max()
    for add in (False, True):
        found = randn(count, 22)
        expected = found.clone()
        whole_numbers.linear(x, weight, found, count, add=add, tiles=cut)
        linear_reference(x, weight, expected, count, add=add)
        close(found, expected, torch.float32)
    found, expected = randn(count, 11), randn(count, 11)
    whole_numbers.gated_linear(x, weight, found, count, tiles=cut)
    gated_linear_reference(x, weight, expected, count)
    close(found, expected, torch.float32)


def test_a_row_of_zeros_is_zeros_in_whole_numbers():
    x = WholeRows.allocate(1, 8, DEVICE)
    whole_numbers.round_rows(torch.zeros(1, 8, device=DEVICE), x, 1)
    assert not x.dense().any()


@pytest.mark.parametrize("inputs", [48, 96])
def test_linear_of_odd_width(inputs):
    weight, x = Weight.plain(randn(21, inputs)), randn(8, inputs)
    found, expected = randn(3, 21), randn(3, 21)
    linear(x, weight, found, 3, tiles=Tiles(32, 1, 2))
    linear_reference(x, weight, expected, 3)
    close(found, expected, torch.float32)


@pytest.mark.parametrize("kind", ["plain", "int8", "fp8", "int4"])
def test_gated_linear(kind):
    dense = randn(2 * 24, 128)
    weight = Weight.plain(dense) if kind == "plain" else Weight.quantize(dense, kind)
    x, found, expected = randn(8, 128), randn(5, 24), randn(5, 24)
    gated_linear(x, weight, found, 5)
    gated_linear_reference(x, weight, expected, 5)
    close(found, expected, torch.float32)


@pytest.mark.parametrize("pair", [False, True])
def test_a_row_is_the_same_in_any_company(pair):
    dtype, many = DTYPES[-1], 128 if DEVICE.type == "cuda" else 16
    outputs, inputs = (96, 2048) if DEVICE.type == "cuda" else (16, 512)
    weight, x = Weight.plain(randn(outputs, inputs, dtype=dtype)), randn(many, inputs, dtype=dtype)
    found = []
    for count in (2, many // 2, many):
        out = randn(count, outputs // 2 if pair else outputs)
        if pair:
            gated_linear(x, weight, out, count)
        else:
            linear(x, weight, out, count, space=Shares.allocate(count, DEVICE))
        found.append(out[:2])
    for out in found[1:]:
        if DEVICE.type == "cuda":
            assert torch.equal(out, found[0])
        else:  # the interpreter's products are NumPy's, whose order depends on the shape
            torch.testing.assert_close(out, found[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("kind", "bits"), [("int8", 8), ("fp8", 8), ("int4", 4)])
def test_quantized_is_near(kind, bits):
    dense = randn(16, 256)
    weight = Weight.quantize(dense, kind)
    error = (weight.dense(torch.float32) - dense).norm() / dense.norm()
    assert error < {"int8": 0.01, "fp8": 0.04, "int4": 0.15}[kind]
    assert weight.data.nbytes == dense.numel() * bits // 8


def test_unknown_quantization_is_refused():
    with pytest.raises(UsageError, match="int8, fp8, int4"):
        Weight.quantize(randn(4, 8), "int2")
    with pytest.raises(UsageError, match="int4 groups 128 inputs"):
        Weight.quantize(randn(4, 100), "int4")


def test_norm_in_whole_numbers():
    x, scale = randn(3, 48), randn(48)
    found, expected = (WholeRows.allocate(3, 48, DEVICE) for _ in range(2))
    rows.norm(x, scale, found, 3)
    rows.norm_reference(x, scale, expected, 3)
    close(found.dense(), expected.dense(), torch.bfloat16)
    close(found.after(1).dense(), expected.dense()[1:], torch.bfloat16)


def test_norm_and_embeddings():
    x, out = randn(8, 40), randn(8, 40)
    scale, expected = randn(40), out.clone()
    rows.norm(x, scale, out, 5)
    rows.norm_reference(x, scale, expected, 5)
    torch.testing.assert_close(out, expected)

    codes = torch.tensor([[3, 1, 2], [0, 4, 4]], dtype=torch.int32, device=DEVICE)
    table = randn(3 * 5, 40)
    for first in (0, 4):
        found = [randn(8, 40), randn(8, 40)]
        wanted = [tensor.clone() for tensor in found]
        rows.embed_code(codes, 1, table, 5, scale, *found, 4, first)
        rows.embed_code_reference(codes, 1, table, 5, scale, *wanted, 4, first)
        torch.testing.assert_close(found, wanted)

    found, wanted = randn(4, 40), randn(4, 40)
    advance = torch.tensor([1, 0, 1, 1], dtype=torch.int32, device=DEVICE)
    positions = [torch.tensor([7, 0, 3, 3], dtype=torch.int32, device=DEVICE) for _ in range(2)]
    frames = [torch.tensor([4, 9], dtype=torch.int32, device=DEVICE) for _ in range(2)]
    rows.embed_frame(codes, table, 5, found, positions[0], advance, frames[0])
    rows.embed_frame_reference(codes, table, 5, wanted, positions[1], advance, frames[1])
    assert frames[0].tolist() == frames[1].tolist() == [5, 10]
    torch.testing.assert_close(found, wanted)
    assert positions[0].tolist() == positions[1].tolist() == [8, 0, 4, 4]


@pytest.mark.parametrize("dtype", DTYPES)
def test_attend(dtype):
    heads, kv_heads, width, count = 6, 2, 24, 4
    places = torch.tensor([0, 5, 200, 64], dtype=torch.int32, device=DEVICE)
    shape = (20, kv_heads, attention.PAGE, width)
    caches = [randn(*shape, dtype=dtype) for _ in range(2)]
    again = [cache.clone() for cache in caches]
    pages = torch.randperm(20, device=DEVICE)[:16].view(4, 4).int()
    rope = torch.view_as_real(rope_table(256, width, DEVICE)).contiguous()
    qkv = randn(8, (heads + 2 * kv_heads) * width, dtype=dtype)
    space = attention.Workspace.allocate(count, heads, kv_heads, width, DEVICE)
    found, expected = (randn(count, heads * width, dtype=dtype) for _ in range(2))
    for _ in range(2):  # the second time, everything must be as after the first
        arguments = (pages, places, rope)
        attention.attend(qkv, *caches, *arguments, found, space, heads, count)
        attention.attend_reference(qkv, *again, *arguments, expected, space, heads, count)
        close(found, expected, dtype)
        for cache, other in zip(caches, again, strict=True):
            torch.testing.assert_close(cache, other, atol=1e-2, rtol=1e-2)
        assert not space.done.any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("start", "new"), [(0, 2), (2, 1), (5, 1)])
def test_attend_depth(start, new, dtype):
    heads, kv_heads, width, count = 4, 2, 24, 3
    caches = [randn(count, kv_heads, 8, width, dtype=dtype) for _ in range(2)]
    again = [cache.clone() for cache in caches]
    rope = torch.view_as_real(rope_table(8, width, DEVICE)).contiguous()
    qkv = randn(8, (heads + 2 * kv_heads) * width, dtype=dtype)
    found, expected = (randn(new * count, heads * width, dtype=dtype) for _ in range(2))
    attention.attend_depth(qkv, *caches, rope, found, heads, count, start, new)
    attention.attend_depth_reference(qkv, *again, rope, expected, heads, count, start, new)
    close(found, expected, dtype)
    for cache, other in zip(caches, again, strict=True):
        torch.testing.assert_close(cache, other, atol=1e-2, rtol=1e-2)


def test_what_is_split_into_shares_fits():
    def shares(outputs: int, inputs: int, pair: bool = False) -> int:
        data = torch.empty(outputs, inputs, device="meta", dtype=torch.bfloat16)
        return count_shares(Weight("plain", data, None, outputs, inputs), pair)

    assert shares(3072, 8192) == 4 and shares(4096, 14336) == 4
    assert shares(3072, 3072) == shares(4160, 16384) == shares(3072, 8200) == 1
    assert shares(3072, 8192, pair=True) == 1


def test_noise_is_philox():
    seed = torch.tensor([5, 2**40 + 3], device=DEVICE)
    frame = torch.tensor([0, 77], dtype=torch.int32, device=DEVICE)
    found, expected = (torch.zeros(2, 3, 21, device=DEVICE) for _ in range(2))
    sample.draw_noise(seed, frame, found)
    sample.draw_noise_reference(seed, frame, expected)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert found.isfinite().all() and len(found.unique()) == found.numel()


def test_philox_known_answer():
    """The published vector for a key and a counter of ones (Random123's kat_vectors)."""
    ones = torch.tensor([0xFFFFFFFF])
    words = sample.philox(torch.tensor(-1), (ones, ones, ones, ones))
    assert [int(word) for word in words] == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


@pytest.mark.parametrize("vocab", [21, 17])  # and a tail
def test_sample_is_its_reference(vocab):
    songs = 40
    logits, noise = randn(2 * songs, vocab), -(-torch.rand(songs, 2, vocab).log()).log().to(DEVICE)
    scale = torch.tensor([1.0, 1.5, 3.0, 2.0], device=DEVICE).repeat(10)
    temperature = torch.tensor([0.7, 1.0, 1.3, 2.0, 5.0], device=DEVICE).repeat(8)
    topk = torch.tensor([1, 2, 3, 5, 20, 21, 50, 7], dtype=torch.int32, device=DEVICE).repeat(5)
    found, expected = (torch.zeros(songs, 2, dtype=torch.int32, device=DEVICE) for _ in range(2))
    for codebook in range(2):
        arguments = (logits, noise, codebook, scale, temperature, topk)
        sample.sample(*arguments, found, 16)
        sample.sample_reference(*arguments, expected, 16)
    assert torch.equal(found, expected)
    assert not (found == 16).any()
    greedy = (logits[1::2] + scale[:, None] * (logits[::2] - logits[1::2]))[topk == 1]
    greedy[:, 16] = -torch.inf
    assert torch.equal(found[topk == 1, 0].long(), greedy.argmax(-1))


def test_draws_follow_the_probabilities():
    """χ² over many frames' draws of one song."""
    frames, vocab, kept = 120 if DEVICE.type == "cpu" else 100_000, 21, 7
    logits = randn(2, vocab).repeat(frames, 1)
    noise = torch.zeros(frames, 1, vocab, device=DEVICE)
    seed = torch.full((frames,), 3, device=DEVICE)
    sample.draw_noise(seed, torch.arange(frames, dtype=torch.int32, device=DEVICE), noise)
    one = torch.ones(frames, device=DEVICE)
    codes = torch.zeros(frames, 1, dtype=torch.int32, device=DEVICE)
    sample.sample(logits, noise, 0, 1.5 * one, 2 * one, (kept * one).int(), codes, -1)
    guided = logits[1] + 1.5 * (logits[0] - logits[1])
    likely = guided.topk(kept)
    expected = (likely.values / 2).softmax(-1) * frames
    drawn = codes[:, 0].long().bincount(minlength=vocab)
    assert drawn.sum() == drawn[likely.indices].sum()
    chi2 = ((drawn[likely.indices] - expected) ** 2 / expected).sum()
    assert chi2 < 22.5  # six degrees of freedom: p = 0.001
