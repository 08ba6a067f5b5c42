"""Rotary embedding of queries and keys where they lie, side by side with the values.

Shapes: R rows, T latent frames, W width, D width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor

from heartlib.heartcodec.kernels.launch import HAVE_TRITON, power_of_two, runs_kernels, warps


def turn_reference(qkv: Tensor, table: Tensor) -> None:
    """What `turn` does."""
    width = qkv.shape[-1] // 3
    both = qkv[..., : 2 * width]
    pairs = both.float().unflatten(-1, (-1, table.shape[1], 2))  # [R, T, 2H, D / 2, 2]
    even, odd = pairs.unbind(-1)
    cos, sin = table[:, None].unbind(-1)
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    both.copy_(turned.flatten(-3))


if HAVE_TRITON:
    import triton
    import triton.language as tl

    @triton.jit(do_not_specialize=["length"])
    def _turn(qkv_ptr, table_ptr, length, width, half, BLOCK: tl.constexpr):
        token = tl.program_id(0)
        start = token.to(tl.int64) * (3 * width)
        pair = tl.arange(0, BLOCK)  # of q and k: as many as they are wide
        side = tl.arange(0, 2)
        inside = (pair < width)[:, None]
        numbers = qkv_ptr + start + pair[:, None] * 2 + side[None, :]
        even, odd = tl.split(tl.load(numbers, mask=inside, other=0.0).to(tl.float32))
        angle = (token % length) * half + pair % half
        turn = tl.load(table_ptr + angle[:, None] * 2 + side[None, :], mask=inside, other=0.0)
        cos, sin = tl.split(turn)
        turned = tl.join(even * cos - odd * sin, even * sin + odd * cos)
        tl.store(numbers, turned.to(qkv_ptr.dtype.element_ty), mask=inside)


def turn_kernel(qkv: Tensor, table: Tensor) -> None:
    """`turn` by Triton."""
    assert qkv.is_contiguous() and table.is_contiguous()
    rows, length, width = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    block = power_of_two(width)
    _turn[(rows * length,)](
        qkv,
        table,
        length,
        width,
        table.shape[1],
        BLOCK=block,
        num_warps=warps(2 * block),  # pyright: ignore[reportCallIssue]
    )


def turn(qkv: Tensor, table: Tensor) -> None:
    """Turn the pairs of queries and keys, in place: qkv [R, T, 3W], table float32 [T, D / 2, 2] (`rope_table`)."""
    (turn_kernel if runs_kernels(qkv) else turn_reference)(qkv, table)
