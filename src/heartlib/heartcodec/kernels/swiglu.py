"""silu(gate) · up of gates and ups that one matrix product made side by side.

Shapes: R rows, T latent frames, H hidden size.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from heartlib.heartcodec.kernels.launch import HAVE_TRITON, runs_kernels

FLOAT16_MOST = 65504.0  # products are held back to what float16 can say


def swiglu_reference(gate_up: Tensor) -> Tensor:
    """What `swiglu` computes."""
    gate, up = gate_up.float().chunk(2, dim=-1)
    made = F.silu(gate) * up
    if gate_up.dtype == torch.float16:
        made = made.clamp(-FLOAT16_MOST, FLOAT16_MOST)
    return made.to(gate_up.dtype)


if HAVE_TRITON:
    import triton
    import triton.language as tl

    @triton.jit
    def _swiglu(gate_up_ptr, out_ptr, hidden, most, BLOCK: tl.constexpr):
        token = tl.program_id(0).to(tl.int64)
        column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        inside = column < hidden
        at = gate_up_ptr + token * 2 * hidden + column
        gate = tl.load(at, mask=inside, other=0.0).to(tl.float32)
        up = tl.load(at + hidden, mask=inside, other=0.0).to(tl.float32)
        made = gate / (1.0 + tl.exp(-gate)) * up
        if out_ptr.dtype.element_ty == tl.float16:
            made = tl.minimum(tl.maximum(made, -most), most)
        tl.store(out_ptr + token * hidden + column, made.to(out_ptr.dtype.element_ty), mask=inside)


def swiglu_kernel(gate_up: Tensor) -> Tensor:
    """`swiglu` by Triton."""
    assert gate_up.is_contiguous()
    hidden = gate_up.shape[-1] // 2
    out = gate_up.new_empty(*gate_up.shape[:-1], hidden)
    block = 1024
    grid = (out.numel() // hidden, triton.cdiv(hidden, block))
    _swiglu[grid](gate_up, out, hidden, FLOAT16_MOST, BLOCK=block)  # pyright: ignore[reportArgumentType]
    return out


def swiglu(gate_up: Tensor) -> Tensor:
    """[R, T, 2H], gates before ups → silu(gate) · up [R, T, H]; computed in float32."""
    return (swiglu_kernel if runs_kernels(gate_up) else swiglu_reference)(gate_up)
