"""A convolution over time as a matrix product of every tap, with what follows it: bias, PReLU, residual.

Channels lie side by side, so that a tap is a matrix product of shifted frames, and a transposed convolution of
stride s one to s times the channels.

Shapes: R rows, T frames, C channels in, N out, K taps.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from heartlib.heartcodec.kernels.launch import HAVE_TRITON, power_of_two, runs_kernels

FLOAT16_MOST = 65504.0


class Tile(NamedTuple):
    """What one program computes: frames · channels out, `inner` channels in at a time."""

    frames: int
    channels: int
    inner: int
    warps: int
    stages: int


def tile_of(weight: Tensor) -> Tile:
    """The tile for weights [K, C, N]."""
    _, channels_in, channels_out = weight.shape
    channels = min(max(power_of_two(channels_out), 16), 128)
    inner = min(max(power_of_two(channels_in), 16), 64)
    return Tile(128, channels, inner, 8 if channels == 128 else 4, 3)


def convolve_reference(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    dilation: int = 1,
    ahead: int = 0,
    slope: Tensor | None = None,
    base: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
    out: Tensor | None = None,
) -> Tensor:
    """What `convolve` computes."""
    taps, length = len(weight), x.shape[1]
    padded = F.pad(x.to(weight.dtype).float(), (0, 0, (taps - 1) * dilation - ahead, ahead))
    made = sum(
        padded[:, tap * dilation : tap * dilation + length] @ weight[tap].float()
        for tap in range(taps)
    )
    assert isinstance(made, Tensor)
    if bias is not None:
        made = made + bias
    if slope is not None:
        made = torch.where(made > 0, made, slope * made)
    if base is not None:
        made = made + base.float()
    kind = dtype if out is None else out.dtype
    if kind == torch.float16:
        made = made.clamp(-FLOAT16_MOST, FLOAT16_MOST)
    return made.to(kind) if out is None else out.copy_(made)


if HAVE_TRITON:
    import triton
    import triton.language as tl

    # Flags and numbers that may differ from layer to layer are no reason to compile it again, which takes a second.
    @triton.jit(do_not_specialize=["length", "taps", "dilation", "ahead", "biased", "sloped"])
    def _convolve(
        x_ptr,
        weight_ptr,
        bias_ptr,
        slope_ptr,
        base_ptr,
        out_ptr,
        length,
        channels_in,
        channels_out,
        taps,
        dilation,
        ahead,
        biased,
        sloped,
        most,
        BASE: tl.constexpr,
        FRAMES: tl.constexpr,
        CHANNELS: tl.constexpr,
        INNER: tl.constexpr,
    ):
        across = tl.cdiv(channels_out, CHANNELS)
        row = tl.program_id(1).to(tl.int64) * length
        frame = (tl.program_id(0) // across) * FRAMES + tl.arange(0, FRAMES)
        channel = (tl.program_id(0) % across) * CHANNELS + tl.arange(0, CHANNELS)
        wanted = channel < channels_out
        x_ptr += row * channels_in
        pieces = tl.cdiv(channels_in, INNER)
        made = tl.zeros((FRAMES, CHANNELS), dtype=tl.float32)
        for i in range(taps * pieces):
            tap = i // pieces
            source = (i % pieces) * INNER + tl.arange(0, INNER)
            given = source < channels_in
            at = frame + (ahead - (taps - 1 - tap) * dilation)
            heard = (at >= 0) & (at < length)
            x = tl.load(
                x_ptr + at[:, None] * channels_in + source[None, :],
                mask=heard[:, None] & given[None, :],
                other=0.0,
            )
            weight = tl.load(
                weight_ptr
                + (tap * channels_in + source)[:, None] * channels_out
                + channel[None, :],
                mask=given[:, None] & wanted[None, :],
                other=0.0,
            )
            made = tl.dot(x.to(weight.dtype), weight, made)
        made += tl.load(bias_ptr + channel, mask=channel < channels_out * biased, other=0.0)[
            None, :
        ]
        made = tl.where((made > 0) | (sloped == 0), made, made * tl.load(slope_ptr))
        place = (row + frame)[:, None] * channels_out + channel[None, :]
        stored = (frame < length)[:, None] & wanted[None, :]
        if BASE:
            made += tl.load(base_ptr + place, mask=stored, other=0.0).to(tl.float32)
        if out_ptr.dtype.element_ty == tl.float16:
            made = tl.minimum(tl.maximum(made, -most), most)
        tl.store(out_ptr + place, made.to(out_ptr.dtype.element_ty), mask=stored)


def convolve_kernel(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    dilation: int = 1,
    ahead: int = 0,
    slope: Tensor | None = None,
    base: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
    out: Tensor | None = None,
) -> Tensor:
    """`convolve` by Triton, of float16 or bfloat16 weights."""
    rows, length, channels_in = x.shape
    taps, _, channels_out = weight.shape
    if out is None:
        out = x.new_empty(rows, length, channels_out, dtype=dtype)
    assert x.is_contiguous() and weight.is_contiguous() and out.is_contiguous()
    assert base is None or (base.is_contiguous() and base.shape == out.shape)
    tile = tile_of(weight)
    unused = x.new_empty(1, dtype=torch.float32)
    grid = (triton.cdiv(length, tile.frames) * triton.cdiv(channels_out, tile.channels), rows)
    _convolve[grid](
        x,
        weight,
        unused if bias is None else bias,
        unused if slope is None else slope,
        out if base is None else base,
        out,
        length,
        channels_in,
        channels_out,
        taps,
        dilation,
        ahead,
        int(bias is not None),
        int(slope is not None),
        FLOAT16_MOST,
        BASE=base is not None,
        FRAMES=tile.frames,
        CHANNELS=tile.channels,
        INNER=tile.inner,
        num_warps=tile.warps,  # pyright: ignore[reportCallIssue]
        num_stages=tile.stages,  # pyright: ignore[reportCallIssue]
    )
    return out


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    dilation: int = 1,
    ahead: int = 0,
    slope: Tensor | None = None,
    base: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
    out: Tensor | None = None,
) -> Tensor:
    """x [R, T, C] and weight [K, C, N] → [R, T, N] in `dtype`: PReLU(x * weight + bias) + base.

    The last tap is at the frame itself, the others each `dilation` frames before the next, all of them `ahead`
    frames later; frames before and after x are zeros. x is rounded to the weight's dtype; sums are float32. `slope`
    [1] is the PReLU's. Written to `out` where it is given; with one tap that reads another tensor, `out` may be `base`.
    """
    settings = {"dilation": dilation, "ahead": ahead, "slope": slope, "base": base}
    half = weight.dtype != torch.float32  # which the kernel would multiply as TF32
    run = convolve_kernel if half and runs_kernels(x) else convolve_reference
    return run(x, weight, bias, **settings, dtype=dtype, out=out)
