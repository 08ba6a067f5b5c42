"""The cache changes nothing, whatever the pieces and the rows' lengths."""

import math

import pytest
import torch

from heartlib.heartmula import StackConfig
from heartlib.heartmula.transformer import KVCache, RMSNorm, Transformer, apply_rope, rope_table

CPU = torch.device("cpu")
CONFIG = StackConfig(2, 4, 2, 32, 48, 64)


@pytest.fixture(scope="module")
def stack() -> Transformer:
    torch.manual_seed(0)
    stack = Transformer(CONFIG).eval()
    for parameter in stack.parameters():  # larger than by default: attention that is not flat
        torch.nn.init.normal_(parameter, std=0.5)
    return stack


@pytest.mark.parametrize("pieces", [[12], [1] * 12, [5, 1, 1, 4, 1]])
@torch.inference_mode()
def test_cached_is_uncached(stack, pieces):
    x = torch.randn(2, 12, 32)
    whole = stack(x)
    cache = stack.new_cache(rows=2, positions=12)
    parts = [stack(piece, cache) for piece in x.split(pieces, dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=1e-4)
    assert cache.lengths == [12, 12]


@torch.inference_mode()
def test_rows_of_different_lengths_are_as_alone(stack):
    x = torch.randn(2, 10, 32)
    lengths = [6, 3]
    cache = stack.new_cache(rows=2, positions=10)
    stack(x[:, :6], cache)
    cache.lengths = list(lengths)  # the second row's last three were padding
    more = torch.randn(2, 3, 32)
    together = torch.cat([stack(more[:, :2], cache), stack(more[:, 2:], cache)], dim=1)
    for row, length in enumerate(lengths):
        alone = stack(torch.cat((x[row, :length], more[row]))[None])[0, length:]
        torch.testing.assert_close(together[row], alone, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_cleared_cache_is_a_new_one(stack):
    x = torch.randn(1, 4, 32)
    cache = stack.new_cache(rows=1, positions=4)
    stack(torch.randn(1, 4, 32), cache)
    cache.clear()
    assert torch.equal(stack(x, cache), stack(x, stack.new_cache(rows=1, positions=4)))


def test_cache_is_sized_to_the_request():
    cache = KVCache(CONFIG, rows=3, positions=7, device=CPU, dtype=torch.bfloat16)
    assert cache.keys.shape == cache.values.shape == (2, 3, 2, 7, 8)
    assert cache.keys.dtype == torch.bfloat16


@pytest.mark.parametrize("head_dim", [64, 128, 384])
def test_rope_scales_long_waves_only(head_dim):
    """Frequencies one by one, from the definition, in double precision."""
    table = rope_table(2, head_dim, CPU)
    for pair in range(head_dim // 2):
        frequency = 500_000.0 ** (-2 * pair / head_dim)
        wave = 2 * math.pi / frequency
        if wave > 8192:
            frequency /= 32
        elif wave > 8192 / 4:
            s = (8192 / wave - 1) / 3
            frequency = (1 - s) * frequency / 32 + s * frequency
        assert (
            abs(complex(table[1, pair]) - complex(math.cos(frequency), math.sin(frequency))) < 1e-5
        )


def test_rope_turns_interleaved_pairs_and_keeps_the_dtype():
    x = torch.randn(1, 3, 2, 8, dtype=torch.bfloat16)
    table = rope_table(3, 8, CPU)
    turned = apply_rope(x, table)
    assert turned.dtype == torch.bfloat16
    assert torch.equal(turned[:, 0], x[:, 0])
    pair = complex(x[0, 2, 1, 4], x[0, 2, 1, 5]) * complex(table[2, 2])
    assert abs(complex(turned[0, 2, 1, 4], turned[0, 2, 1, 5]) - pair) < 0.02


def test_norm_takes_its_mean_in_float32():
    x = torch.full((1, 4096), 3e4, dtype=torch.float16)  # squares beyond float16
    assert torch.allclose(RMSNorm(4096).half()(x), torch.ones(1, 4096).half())
