"""The flow-matching estimator: a two-stage transformer with timestep-modulated blocks.

Shapes: B rows, T latent frames (25 Hz), W width of a stage, H heads. Rotary embedding turns
interleaved pairs; attention is full. Source: HeartMuLa (arXiv 2601.10547), section on HeartCodec.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def rope_table(length: int, width: int, device: torch.device, base: float = 10_000.0) -> Tensor:
    """Cosines and sines of every position and pair, float32 [length, width / 2, 2]."""
    power = torch.arange(0, width, 2, device=device, dtype=torch.float32) / width
    angles = torch.outer(torch.arange(length, device=device, dtype=torch.float32), base**-power)
    return torch.stack((angles.cos(), angles.sin()), dim=-1)


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Turn interleaved pairs of x [B, H, T, width] by the table [T, width / 2, 2]."""
    pairs = x.float().unflatten(-1, (-1, 2))
    even, odd = pairs.unbind(-1)
    cos, sin = table.unbind(-1)
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return turned.flatten(-2).to(x.dtype)


def timestep_embedding(t: Tensor, width: int = 512, scale: float = 1000.0) -> Tensor:
    """[cos | sin] features of times t [B] → float32 [B, width]."""
    half = width // 2
    step = -math.log(10_000) / half
    frequency = torch.exp(step * torch.arange(half, device=t.device, dtype=torch.float32))
    angle = scale * t.float()[:, None] * frequency
    return torch.cat((angle.cos(), angle.sin()), dim=-1)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x · (1 + scale) + shift, shift and scale one vector a row."""
    return x * (1 + scale) + shift


class ProjectLayer(nn.Module):
    """A kernel-3 convolution over time, scaled by 3^-½, then a linear layer."""

    def __init__(self, width_in: int, width_out: int):
        super().__init__()
        self.ffn_1 = nn.Conv1d(width_in, width_out, 3, padding=1)
        self.ffn_2 = nn.Linear(width_out, width_out)

    def forward(self, x: Tensor) -> Tensor:  # [B, T, in] → [B, T, out]
        return self.ffn_2(self.ffn_1(x.transpose(1, 2)).transpose(1, 2) * 3**-0.5)


class TimestepEmbedder(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.linear_1 = nn.Linear(512, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, t: Tensor) -> Tensor:  # [B] → [B, W]
        return self.linear_2(F.silu(self.linear_1(timestep_embedding(t).to(self.linear_1.weight))))


class TimestepEmbeddings(nn.Module):
    """Holds `timestep_embedder`, the published name."""

    def __init__(self, width: int):
        super().__init__()
        self.timestep_embedder = TimestepEmbedder(width)


class AdaLayerNormSingle(nn.Module):
    """One timestep embedding and its six modulation vectors for all blocks of a stage."""

    def __init__(self, width: int):
        super().__init__()
        self.emb = TimestepEmbeddings(width)
        self.linear = nn.Linear(width, 6 * width)

    def forward(self, t: Tensor) -> tuple[Tensor, Tensor]:  # [B] → [B, 6, W], [B, W]
        e = self.emb.timestep_embedder(t)
        return self.linear(F.silu(e)).unflatten(-1, (6, -1)), e


class Attention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        q, k, v = (
            p(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, H, T, width / H]
            for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        y = F.scaled_dot_product_attention(rotate(q, table), rotate(k, table), v)
        return self.o_proj(y.transpose(1, 2).flatten(-2))


class FeedForward(nn.Module):
    """SwiGLU; the hidden size is 8/3 of the width rounded up to 256."""

    def __init__(self, width: int):
        super().__init__()
        hidden = 256 * math.ceil((8 * width // 3) / 256)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Block(nn.Module):
    """Attention and feed-forward, each shifted, scaled and gated by the timestep."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.scale_shift_table = nn.Parameter(torch.empty(6, width).normal_(0, width**-0.5))
        self.attn_norm = nn.RMSNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.mlp_norm = nn.RMSNorm(width, eps=1e-6)
        self.mlp = FeedForward(width)

    def forward(self, x: Tensor, modulation: Tensor, table: Tensor) -> Tensor:
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = (
            self.scale_shift_table + modulation  # [B, 6, W]
        ).chunk(6, dim=1)
        x = x + gate_a * self.attn(modulate(self.attn_norm(x), shift_a, scale_a), table)
        return x + gate_m * self.mlp(modulate(self.mlp_norm(x), shift_m, scale_m))


def output_norm(x: Tensor, table: Tensor, embedded: Tensor) -> Tensor:
    """LayerNorm without weights, modulated by `scale_shift_table` [2, W] + the timestep [B, W]."""
    shift, scale = (table + embedded[:, None]).chunk(2, dim=1)
    return modulate(F.layer_norm(x, x.shape[-1:], eps=1e-6), shift, scale)


class Estimator(nn.Module):
    """The velocity of the flow: [x | context latents | condition] and t → velocity of x."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_heads: int,
        head_dim: int,
        num_layers: int,
        num_layers_2: int,
    ):
        super().__init__()
        width, width_2 = num_heads * head_dim, 2 * num_heads * head_dim
        self.head_dim = head_dim
        self.proj_in = ProjectLayer(in_channels, width)
        self.transformer_blocks = nn.ModuleList(Block(width, num_heads) for _ in range(num_layers))
        self.connection_proj = ProjectLayer(in_channels + width, width_2)
        self.transformer_blocks_2 = nn.ModuleList(
            Block(width_2, num_heads) for _ in range(num_layers_2)
        )
        self.proj_out = ProjectLayer(width_2, out_channels)
        self.scale_shift_table = nn.Parameter(torch.empty(2, width).normal_(0, width**-0.5))
        self.scale_shift_table_2 = nn.Parameter(torch.empty(2, width_2).normal_(0, width_2**-0.5))
        self.adaln_single = AdaLayerNormSingle(width)
        self.adaln_single_2 = AdaLayerNormSingle(width_2)

    @property
    def dtype(self) -> torch.dtype:
        """Of the blocks' matrices."""
        return self.scale_shift_table.dtype

    def forward(self, x: Tensor, t: Tensor) -> Tensor:  # [B, T, in], [B] → [B, T, out]
        length, device = x.shape[1], x.device
        modulation, e = self.adaln_single(t)
        table, s = rope_table(length, self.head_dim, device), self.proj_in(x)
        for block in self.transformer_blocks:
            s = block(s, modulation, table)
        s = output_norm(s, self.scale_shift_table, e)

        modulation, e = self.adaln_single_2(t)
        table = rope_table(length, 2 * self.head_dim, device)
        s = self.connection_proj(torch.cat((x, s), dim=-1))
        for block in self.transformer_blocks_2:
            s = block(s, modulation, table)
        return self.proj_out(output_norm(s, self.scale_shift_table_2, e))
