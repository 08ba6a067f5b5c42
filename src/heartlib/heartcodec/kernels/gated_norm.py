"""A block's end and the next one's beginning: the gated residual, the norm and its modulation, in one reading.

Shapes: R rows, T latent frames, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from heartlib.heartcodec.kernels.launch import HAVE_TRITON, power_of_two, runs_kernels, warps

EPS = 1e-6


def gated_norm_reference(
    x: Tensor,
    gain: Tensor,
    shift: Tensor,
    branch: Tensor | None,
    gate: Tensor | None,
    *,
    centred: bool,
    dtype: torch.dtype,
) -> Tensor:
    """What `gated_norm` computes."""
    wide = x.float()
    if branch is not None:
        assert gate is not None
        wide = wide + gate * branch.float()
        x.copy_(wide)
    if centred:
        wide = wide - wide.mean(-1, keepdim=True)
    wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + EPS)
    return (wide * gain + shift).to(dtype)


if HAVE_TRITON:
    import triton
    import triton.language as tl

    @triton.jit
    def _gated_norm(
        x_ptr,
        gain_ptr,
        shift_ptr,
        branch_ptr,
        gate_ptr,
        out_ptr,
        width,
        eps,
        GATED: tl.constexpr,
        CENTRED: tl.constexpr,
        BLOCK: tl.constexpr,
    ):
        start = tl.program_id(0).to(tl.int64) * width
        column = tl.arange(0, BLOCK)
        inside = column < width
        x = tl.load(x_ptr + start + column, mask=inside, other=0.0).to(tl.float32)
        if GATED:
            gate = tl.load(gate_ptr + column, mask=inside, other=0.0)
            branch = tl.load(branch_ptr + start + column, mask=inside, other=0.0)
            x = x + gate * branch.to(tl.float32)
            tl.store(x_ptr + start + column, x.to(x_ptr.dtype.element_ty), mask=inside)
        if CENTRED:
            x = tl.where(inside, x - tl.sum(x, 0) / width, 0.0)
        x = x / tl.sqrt(tl.sum(x * x, 0) / width + eps)
        gain = tl.load(gain_ptr + column, mask=inside, other=0.0)
        shift = tl.load(shift_ptr + column, mask=inside, other=0.0)
        out = x * gain + shift
        tl.store(out_ptr + start + column, out.to(out_ptr.dtype.element_ty), mask=inside)


def gated_norm_kernel(
    x: Tensor,
    gain: Tensor,
    shift: Tensor,
    branch: Tensor | None,
    gate: Tensor | None,
    *,
    centred: bool,
    dtype: torch.dtype,
) -> Tensor:
    """`gated_norm` by Triton."""
    assert x.is_contiguous() and (branch is None or branch.is_contiguous())
    out = torch.empty_like(x, dtype=dtype)
    width = x.shape[-1]
    block = power_of_two(width)
    _gated_norm[(x.numel() // width,)](
        x,
        gain,
        shift,
        x if branch is None else branch,
        gain if gate is None else gate,
        out,
        width,
        EPS,
        GATED=branch is not None,
        CENTRED=centred,
        BLOCK=block,
        num_warps=warps(block),  # pyright: ignore[reportCallIssue]
    )
    return out


def gated_norm(
    x: Tensor,
    gain: Tensor,
    shift: Tensor,
    branch: Tensor | None = None,
    gate: Tensor | None = None,
    *,
    centred: bool = False,
    dtype: torch.dtype,
) -> Tensor:
    """x [R, T, W] += gate · branch, in place; then its norm · gain + shift, in `dtype`.

    gain, shift, gate [W] float32. The norm divides by the root mean square; `centred` takes the mean away before
    it. Sums are float32 whatever the dtypes.
    """
    run = gated_norm_kernel if runs_kernels(x) else gated_norm_reference
    return run(x, gain, shift, branch, gate, centred=centred, dtype=dtype)
