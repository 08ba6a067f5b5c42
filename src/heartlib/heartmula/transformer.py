"""The Llama 3.2 stack of both transformers, and the cache of keys and values that it writes to.

Legend: B rows, S new positions, P cached positions, L layers, D width, H heads, N kv heads, d head width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from heartlib.heartmula.configuration_heartmula import StackConfig
from heartlib.heartmula.quantization import Int8Linear, join

ROPE_BASE = 500_000.0
ROPE_FACTOR = 32.0
ROPE_LOW, ROPE_HIGH = 1.0, 4.0
ROPE_OLD_CONTEXT = 8192
NORM_EPS = 1e-5


def rope_table(positions: int, head_dim: int, device: torch.device) -> Tensor:
    """Rotations of Llama 3's scaled rotary embedding, e^(i·position·frequency), from float32 angles.

    Returns complex64 [positions, head_dim / 2]. Wavelengths beyond the old context are stretched
    32 times, those under a quarter of it kept, the ones between blended.
    """
    exponent = torch.arange(0, head_dim, 2, dtype=torch.float32, device=device) / head_dim
    frequency = ROPE_BASE**-exponent  # [d/2]
    old_turns = ROPE_OLD_CONTEXT * frequency / (2 * math.pi)  # wavelengths in the old context
    keep = ((old_turns - ROPE_LOW) / (ROPE_HIGH - ROPE_LOW)).clamp(0.0, 1.0)
    frequency = (1 - keep) * frequency / ROPE_FACTOR + keep * frequency
    step = torch.arange(positions, dtype=torch.float32, device=device)
    angle = step[:, None] * frequency
    return torch.complex(angle.cos(), angle.sin())


def apply_rope(x: Tensor, table: Tensor) -> Tensor:
    """Rotates the interleaved pairs of x [B, S, heads, d] by table [S, d/2] or [B, S, d/2].

    A pair is one complex number. Computed in float32, returned in x's dtype.
    """
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * table.unsqueeze(-2)).flatten(-2).type_as(x)


class KVCache:
    """Keys and values of one request, sized to it: rows × positions, with a length for each row.

    `lengths` are plain integers, so that asking for them never waits for the device. Rows of
    different lengths are allowed; what lies behind a row's length is never attended to.
    """

    def __init__(
        self,
        config: StackConfig,
        rows: int,
        positions: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        shape = (config.num_layers, rows, config.num_kv_heads, positions, config.head_dim)
        self.keys = torch.zeros(shape, device=device, dtype=dtype)  # [L, B, N, P, d]
        self.values = torch.zeros(shape, device=device, dtype=dtype)
        self.rope = rope_table(positions, config.head_dim, device)  # [P, d/2]
        self.lengths = [0] * rows

    @property
    def positions(self) -> int:
        return self.keys.shape[3]

    @property
    def uniform(self) -> bool:
        """Whether all rows have the same length; then plain slices do."""
        return min(self.lengths) == max(self.lengths)

    def clear(self) -> None:
        """Forgets everything; the memory is kept."""
        self.lengths = [0] * len(self.lengths)

    def advance(self, count: int) -> None:
        """Counts `count` positions, just written to every row by the stack."""
        self.lengths = [length + count for length in self.lengths]

    def new_positions(self, count: int) -> Tensor:
        """Where each row's next `count` positions go: [B, count] on the cache's device."""
        start = torch.tensor(self.lengths, device=self.keys.device)
        return start[:, None] + torch.arange(count, device=self.keys.device)

    def write(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Stores keys, values [B, N, S, d] behind each row's length; returns all up to there.

        Returned: views [B, N, longest + S, d].
        """
        count = keys.shape[2]
        end = max(self.lengths) + count
        if self.uniform:
            self.keys[layer, :, :, end - count : end] = keys
            self.values[layer, :, :, end - count : end] = values
        else:
            where = self.new_positions(count)
            row = torch.arange(len(self.lengths), device=where.device)[:, None]
            self.keys[layer][row, :, where] = keys.transpose(1, 2)
            self.values[layer][row, :, where] = values.transpose(1, 2)
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def mask(self, count: int) -> Tensor | None:
        """Which cached positions the next `count` may see: [B, 1, count, longest + count].

        None where no mask is needed: one new position in rows of one length, or empty rows
        (plain causal attention).
        """
        if self.uniform and (count == 1 or self.lengths[0] == 0):
            return None
        seen = torch.arange(max(self.lengths) + count, device=self.keys.device)
        return seen <= self.new_positions(count)[:, None, :, None]


class RMSNorm(nn.Module):
    """Root-mean-square normalisation; the mean is taken in float32."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), self.scale.shape, self.scale.float(), NORM_EPS).type_as(x)


class Attention(nn.Module):
    """Grouped-query causal attention with rotary positions, without biases."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        kv_dim = config.num_kv_heads * config.head_dim
        self.q_proj = nn.Linear(config.embed_dim, config.embed_dim, bias=False)
        self.k_proj = nn.Linear(config.embed_dim, kv_dim, bias=False)
        self.v_proj = nn.Linear(config.embed_dim, kv_dim, bias=False)
        self.output_proj = nn.Linear(config.embed_dim, config.embed_dim, bias=False)
        self.widths = (config.embed_dim, kv_dim, kv_dim)
        self.qkv: Int8Linear | None = None  # the first three as one, see join_int8

    def forward(
        self, x: Tensor, rope: Tensor, cache: KVCache | None, layer: int, mask: Tensor | None
    ) -> Tensor:
        heads = (-1, self.head_dim)
        if self.qkv is None:
            q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        else:
            q, k, v = self.qkv(x).split(self.widths, -1)
        q = apply_rope(q.unflatten(-1, heads), rope).transpose(1, 2)  # [B, H, S, d]
        k = apply_rope(k.unflatten(-1, heads), rope).transpose(1, 2)  # [B, N, S, d]
        v = v.unflatten(-1, heads).transpose(1, 2)
        if cache is not None:
            k, v = cache.write(layer, k, v)
        if q.shape[2] == 1 and mask is None:
            # One query a head: the heads of a group are its queries, all seeing everything.
            grouped = q.view(q.shape[0], k.shape[1], -1, self.head_dim)
            out = F.scaled_dot_product_attention(grouped, k, v).flatten(1)[:, None]
        else:
            out = F.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=True
            )
            out = out.transpose(1, 2).flatten(2)
        return self.output_proj(out)


class FeedForward(nn.Module):
    """w2(silu(w1 x) · w3 x)."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        self.w1 = nn.Linear(config.embed_dim, config.intermediate_dim, bias=False)
        self.w2 = nn.Linear(config.intermediate_dim, config.embed_dim, bias=False)
        self.w3 = nn.Linear(config.embed_dim, config.intermediate_dim, bias=False)
        self.w13: Int8Linear | None = None  # both as one, see join_int8

    def forward(self, x: Tensor) -> Tensor:
        if self.w13 is None:
            gate, up = self.w1(x), self.w3(x)
        else:
            gate, up = self.w13(x).chunk(2, -1)
        return self.w2(F.silu(gate) * up)


class Block(nn.Module):
    """Pre-norm attention and feed-forward, each added to its input."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        self.sa_norm = RMSNorm(config.embed_dim)
        self.attn = Attention(config)
        self.mlp_norm = RMSNorm(config.embed_dim)
        self.mlp = FeedForward(config)
        self.dropout = nn.Dropout(0.0)  # recipes set its p; nothing while it is 0

    def forward(
        self, x: Tensor, rope: Tensor, cache: KVCache | None, layer: int, mask: Tensor | None
    ) -> Tensor:
        x = x + self.dropout(self.attn(self.sa_norm(x), rope, cache, layer, mask))
        return x + self.dropout(self.mlp(self.mlp_norm(x)))


class Transformer(nn.Module):
    """A stack of blocks and a final norm; embeddings in, hidden states out."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.norm = RMSNorm(config.embed_dim)

    def new_cache(self, rows: int, positions: int) -> KVCache:
        """An empty cache for this stack, on its device and in its dtype."""
        weight = self.norm.scale
        return KVCache(self.config, rows, positions, weight.device, weight.dtype)

    def forward(self, x: Tensor, cache: KVCache | None = None) -> Tensor:
        """x [B, S, D] → normed hidden states [B, S, D].

        Without a cache: causal over S from position 0. With one: the S positions follow what the
        cache holds in each row, and are added to it.
        """
        count = x.shape[1]
        if cache is None:
            rope, mask = rope_table(count, self.config.head_dim, x.device), None
        else:
            mask = cache.mask(count)
            if cache.uniform:
                start = cache.lengths[0]
                rope = cache.rope[start : start + count]
            else:
                rope = cache.rope[cache.new_positions(count)]
        for layer, block in enumerate(self.layers):
            x = block(x, rope, cache, layer, mask)
        if cache is not None:
            cache.advance(count)
        return self.norm(x)


def join_int8(module: nn.Module) -> None:
    """Makes int8 layers that share an input one product: with a row or two calls cost the most."""
    for part in module.modules():
        if isinstance(part, Attention):
            part.qkv = join(part.q_proj, part.k_proj, part.v_proj)
        elif isinstance(part, FeedForward):
            part.w13 = join(part.w1, part.w3)
