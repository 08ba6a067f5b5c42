"""The estimator for decoding alone: the same mathematics in fewer and faster kernels.

Its weights are those of `models.transformer.Estimator`. What one input is multiplied by lies in one matrix; what
the time alone decides is computed once for all steps; what a window's condition and context decide, once a window.

Shapes: B windows, R rows (B, or 2·B with guidance: the unconditional ones first), T latent frames, C latent channels,
D condition channels, W width of a stage, H heads, S steps, L blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from heartlib.heartcodec.kernels.gated_norm import gated_norm
from heartlib.heartcodec.kernels.rope import turn
from heartlib.heartcodec.kernels.swiglu import swiglu
from heartlib.heartcodec.models.transformer import (
    AdaLayerNormSingle,
    Block,
    Estimator,
    ProjectLayer,
    rope_table,
    timestep_embedding,
)
from heartlib.heartcodec.precision import Precision


def join(*layers: nn.Linear) -> Tensor:
    """The weights of layers that read the same input, one below the other; theirs become views of it."""
    whole = torch.cat([layer.weight.detach() for layer in layers])
    parts = whole.split([layer.out_features for layer in layers])
    for layer, part in zip(layers, parts, strict=True):
        layer.weight = nn.Parameter(part, requires_grad=False)
    return whole


def collapse(layer: ProjectLayer, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """A convolution and the linear layer after it as one convolution: weight [3, in, out] in dtype, bias float64.

    Multiplied in float64, a tap at a time for memory.
    """
    first, second = layer.ffn_1, layer.ffn_2
    assert first.bias is not None
    linear = second.weight.double() * 3**-0.5
    taps = [(linear @ tap.double()).to(dtype).t() for tap in first.weight.unbind(2)]
    return torch.stack(taps), linear @ first.bias.double() + second.bias.double()


def convolve(x: Tensor, weight: Tensor) -> Tensor:
    """x [R, T, C], of which each frame sees its neighbours, times weight [3·C, N] → float32 [R, T, N].

    x is rounded to the weight's dtype; sums are float32.
    """
    padded = F.pad(x.to(weight.dtype), (0, 0, 1, 1))
    seen = padded.unfold(1, 3, 1).transpose(2, 3).flatten(2)  # [R, T, 3·C]
    if seen.is_cuda and weight.dtype != torch.float32:
        made = torch.mm(seen.flatten(0, 1), weight, out_dtype=torch.float32)
        return made.unflatten(0, x.shape[:2])
    return seen.float() @ weight.float()


def in_float32(layer: nn.Linear, x: Tensor) -> Tensor:
    """layer(x) in float32, for a layer that may be stored in less; a slice of it at a time, for memory."""
    made = torch.cat([F.linear(x, part.float()) for part in layer.weight.chunk(6)], dim=-1)
    return made + layer.bias.float()


@dataclass(frozen=True)
class Times:
    """What a stage's blocks and its output norm do at each step of a schedule, float32."""

    blocks: Tensor  # [S, L, 6, W]: gain, shift and gate of attention, then of the feed-forward
    output: Tensor  # [S, 2, W]: gain and shift


class FusedBlock:
    """The matrices of one block; what is between them is in `FusedStage`."""

    def __init__(self, block: Block):
        attn, mlp = block.attn, block.mlp
        self.heads = attn.heads
        self.qkv = join(attn.q_proj, attn.k_proj, attn.v_proj)  # [3W, W]
        self.gate_up = join(mlp.gate, mlp.up)
        self.out, self.down = attn.o_proj.weight, mlp.down.weight

    def attention(self, x: Tensor, table: Tensor) -> Tensor:
        qkv = F.linear(x, self.qkv)
        turn(qkv, table)
        q, k, v = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v)  # [R, H, T, W / H]
        return F.linear(seen.transpose(1, 2).flatten(-2), self.out)

    def feed_forward(self, x: Tensor) -> Tensor:
        return F.linear(swiglu(F.linear(x, self.gate_up)), self.down)


class FusedStage:
    """A stage's blocks and its output norm."""

    def __init__(self, blocks: nn.ModuleList, adaln: AdaLayerNormSingle, output: Tensor):
        self.source = [block for block in blocks if isinstance(block, Block)]
        self.adaln, self.output = adaln, output
        self.blocks = [FusedBlock(block) for block in self.source]
        self.dtype = self.blocks[0].qkv.dtype

    def times(self, t: Tensor) -> Times:
        """What the times t [S] decide."""
        embedder = self.adaln.emb.timestep_embedder
        embedded = in_float32(
            embedder.linear_2, F.silu(in_float32(embedder.linear_1, timestep_embedding(t)))
        )
        modulation = in_float32(self.adaln.linear, F.silu(embedded)).unflatten(-1, (6, -1))
        tables = torch.stack([block.scale_shift_table.float() for block in self.source])
        made = modulation[:, None] + tables  # [S, L, 6, W]: shift, scale, gate, twice
        norms = torch.stack(
            [
                torch.stack((block.attn_norm.weight, block.mlp_norm.weight)).float()
                for block in self.source
            ]
        )
        shift, scale, gate = made.unflatten(2, (2, 3)).unbind(3)  # [S, L, 2, W]
        blocks = torch.stack((norms * (1 + scale), shift, gate), dim=3).flatten(2, 3)
        shift, scale = (self.output.float() + embedded[:, None]).unbind(1)
        return Times(blocks.contiguous(), torch.stack((1 + scale, shift), dim=1).contiguous())

    def __call__(
        self, x: Tensor, times: Times, step: int, table: Tensor, dtype: torch.dtype
    ) -> Tensor:
        """The stream x [R, T, W] float32, which is overwritten → the stage's normed output in `dtype`."""
        at = [vectors.unbind(0) for vectors in times.blocks[step]]
        h = gated_norm(x, at[0][0], at[0][1], dtype=self.dtype)
        for i, block in enumerate(self.blocks):
            _, _, gate_a, gain_m, shift_m, gate_m = at[i]
            h = block.attention(h, table)
            h = gated_norm(x, gain_m, shift_m, h, gate_a, dtype=self.dtype)
            h = block.feed_forward(h)
            if i + 1 < len(self.blocks):
                h = gated_norm(x, at[i + 1][0], at[i + 1][1], h, gate_m, dtype=self.dtype)
            else:
                gain, shift = times.output[step].unbind(0)
                h = gated_norm(x, gain, shift, h, gate_m, centred=True, dtype=dtype)
        return h

    def first_calls(self, dtype: torch.dtype) -> list[Callable[[], object]]:
        """Each kernel once, on one frame, as `__call__` with this dtype has it."""
        block = self.blocks[0]
        width, device = block.qkv.shape[1], block.qkv.device

        def some(size: int, kind: torch.dtype = self.dtype) -> Tensor:
            return torch.zeros(1, 1, size, dtype=kind, device=device)

        def norm(branched: bool, centred: bool, kind: torch.dtype) -> None:
            x, vector = some(width, torch.float32), some(width, torch.float32)
            more = (some(width), vector) if branched else ()
            gated_norm(x, vector, vector, *more, centred=centred, dtype=kind)

        return [
            partial(norm, False, False, self.dtype),
            partial(norm, True, False, self.dtype),
            partial(norm, True, True, dtype),
            lambda: turn(some(3 * width), rope_table(1, width // block.heads, device)),
            lambda: swiglu(some(len(block.gate_up))),
        ]


@dataclass(frozen=True)
class Given:
    """What a window's context and condition add at the beginning of each stage, float32 [R, T, W]."""

    first: Tensor
    second: Tensor

    def rows(self, begin: int) -> Given:
        """The rows from `begin` on."""
        return Given(self.first[begin:], self.second[begin:])


class FusedEstimator:
    """The velocity of the flow, from weights that no longer change."""

    def __init__(self, estimator: Estimator, precision: Precision):
        e, self.ends, self.head_dim = estimator, precision.ends, estimator.head_dim
        self.stages = (
            FusedStage(e.transformer_blocks, e.adaln_single, e.scale_shift_table),
            FusedStage(e.transformer_blocks_2, e.adaln_single_2, e.scale_shift_table_2),
        )
        channels = e.proj_out.ffn_2.out_features
        width = e.proj_in.ffn_2.out_features
        known = e.proj_in.ffn_1.in_channels - channels  # of context and condition

        def operand(weight: Tensor) -> Tensor:
            return weight.flatten(0, 1).contiguous()

        weight, bias = collapse(e.proj_in, self.ends)
        self.of_x, self.of_known = (operand(w) for w in weight.split((channels, known), dim=1))
        self.bias = bias.float()
        weight, bias = collapse(e.connection_proj, self.ends)
        of_x, of_known, of_stage = weight.split((channels, known, width), dim=1)
        self.of_known_2, self.of_stage = operand(of_known), operand(torch.cat((of_x, of_stage), 1))
        self.bias_2 = bias.float()
        weight, bias = collapse(e.proj_out, self.ends)
        self.of_output, self.bias_out = operand(weight), bias.float()

    def times(self, t: Tensor) -> tuple[Times, Times]:
        """What the times t [S] of a schedule decide in each stage."""
        return self.stages[0].times(t), self.stages[1].times(t)

    def tables(self, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """The rotary tables of the stages."""
        return (
            rope_table(length, self.head_dim, device),
            rope_table(length, 2 * self.head_dim, device),
        )

    def given(self, context: Tensor, condition: Tensor) -> Given:
        """context [R, T, C] and condition [R, T, D] of a window, both float32."""
        known = torch.cat((context, condition), dim=-1)
        return Given(
            convolve(known, self.of_known) + self.bias,
            convolve(known, self.of_known_2) + self.bias_2,
        )

    def __call__(
        self,
        x: Tensor,
        given: Given,
        times: tuple[Times, Times],
        step: int,
        tables: tuple[Tensor, Tensor],
    ) -> Tensor:
        """x [B, T, C] float32 at a step → the velocity of every row that `given` has, float32 [R, T, C]."""
        x = x.repeat(len(given.first) // len(x), 1, 1).to(self.ends)
        s = given.first + convolve(x, self.of_x)
        s = self.stages[0](s, times[0], step, tables[0], self.ends)
        s = given.second + convolve(torch.cat((x, s), dim=-1), self.of_stage)
        s = self.stages[1](s, times[1], step, tables[1], self.ends)
        return convolve(s, self.of_output) + self.bias_out

    def first_calls(self) -> list[Callable[[], object]]:
        """Each kernel once, with next to nothing to do: Triton compiles it then."""
        return [call for stage in self.stages for call in stage.first_calls(self.ends)]
