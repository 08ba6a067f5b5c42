"""A few rows times a matrix of 8-bit or 4-bit weights, in whole numbers: no weight becomes a float, and no sum is rounded.

A row is kept as numbers of 16 bits times one step, finer than bfloat16 for all that is above a hundredth of the row's largest.
Its high and its low bytes lie apart, so that one instruction (dp4a) multiplies and adds four weights and four bytes, in 32
bits. Whole numbers add up alike in any order. Weights of 4 bits come as 16 times what they are, each group's sum times its step.

Legend: R rows, O outputs, I inputs, L lines of weights a program takes, P = 2R planes.
"""

# Triton reads these functions, not Python: its types and launch options are unknown to pyright.
# pyright: reportCallIssue=false, reportArgumentType=false, reportGeneralTypeIssues=false
# pyright: reportOperatorIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from heartlib.heartmula.kernels.launch import (
    INTERPRETED,
    dependent_launch,
    load_weights,
    wait_for_inputs,
)
from heartlib.heartmula.kernels.tuning import key, table
from heartlib.heartmula.weights import Weight

KINDS = ("int8", "int4")
LARGEST = 127 * 256 + 127  # so that both bytes are signed


class WholeRows(NamedTuple):
    """Rows [R, I] in whole numbers: planes int8 [R, 2, I], high · 256 + low; steps float32 [R], what a 1 is worth."""

    planes: Tensor
    steps: Tensor

    @classmethod
    def allocate(cls, rows: int, inputs: int, device: torch.device) -> WholeRows:
        """Rows of zeros."""
        planes = torch.zeros(rows, 2, inputs, device=device, dtype=torch.int8)
        return cls(planes, torch.zeros(rows, device=device))

    def after(self, first: int) -> WholeRows:
        """The rows from `first` on, the same memory."""
        return WholeRows(self.planes[first:], self.steps[first:])

    def dense(self) -> Tensor:
        """The rows float32 [R, I]."""
        high, low = self.planes.float().unbind(1)
        return (high * 256 + low) * self.steps[:, None]


class Tiles(NamedTuple):
    """How the work is cut: outputs and stored bytes a tile, warps, and how many tiles are asked for before the wait."""

    outputs: int
    inputs: int
    warps: int
    early: int


def choose_tiles(weight: Weight, pair: bool) -> Tiles:
    """Tiles for a weight: as measured, or by rule."""
    measured = table().get(key(weight, 2, pair))
    if measured is not None and measured[0] == "whole":
        return Tiles(*measured[1:])
    return Tiles(2 if pair else 4, min(1024, triton.next_power_of_2(weight.data.shape[1])), 2, 3)


def round_rows(x: Tensor, out: WholeRows, rows: int) -> None:
    """out[:rows] = x[:rows] [≥ R, I] in whole numbers."""
    width = x.shape[1]
    dependent = dependent_launch(x.device)
    _round_kernel[(rows,)](
        x,
        *out,
        width,
        B=triton.next_power_of_2(width),
        DEPENDENT=dependent,
        num_warps=8,
        **({"launch_pdl": True} if dependent else {}),
    )


def round_rows_reference(x: Tensor, out: WholeRows, rows: int) -> None:
    """`round_rows` in PyTorch."""
    given = x[:rows].float()
    largest = given.abs().amax(1, keepdim=True).clamp(min=1e-30)
    whole = (given * (LARGEST / largest)).round().int()
    high = (whole + 128) >> 8
    out.planes[:rows, 0], out.planes[:rows, 1] = high, whole - high * 256
    out.steps[:rows] = largest[:, 0] / LARGEST


def linear(
    x: WholeRows,
    weight: Weight,
    out: Tensor,
    rows: int,
    *,
    add: bool = False,
    tiles: Tiles | None = None,
) -> None:
    """out[:rows] = x[:rows] @ weightᵀ of an int8 or int4 weight, or += with `add`; out [≥ rows, O]."""
    _launch(x, weight, out, rows, False, add, tiles)


def gated_linear(
    x: WholeRows, weight: Weight, out: Tensor, rows: int, *, tiles: Tiles | None = None
) -> None:
    """out = silu(gate) · up, gate and up the two halves of weight's outputs: out [≥ rows, O / 2]."""
    _launch(x, weight, out, rows, True, False, tiles)


def _launch(
    x: WholeRows,
    weight: Weight,
    out: Tensor,
    rows: int,
    pair: bool,
    add: bool,
    tiles: Tiles | None,
) -> None:
    assert weight.kind in KINDS and weight.scale is not None
    assert weight.inputs % 4 == 0 and weight.group in (0, 128)  # words of four
    tiles = tiles or choose_tiles(weight, pair)
    outputs = weight.outputs // 2 if pair else weight.outputs
    dependent = dependent_launch(out.device)
    stored = weight.data.shape[1]  # bytes of a line
    _linear_kernel[(triton.cdiv(outputs, tiles.outputs),)](
        x.planes.view(torch.int32),
        x.steps,
        weight.data.view(torch.int32),
        weight.scale,
        out,
        rows,
        outputs,
        stored // 4,
        FOUR=weight.kind == "int4",
        R=triton.next_power_of_2(rows),
        PAIR=pair,
        ADD=add,
        BO=tiles.outputs,
        BI=tiles.inputs // 4,
        EARLY=min(tiles.early, triton.cdiv(stored, tiles.inputs)),
        WHOLE=stored % tiles.inputs == 0,
        FULL=rows == triton.next_power_of_2(rows),
        DP4A=not INTERPRETED,
        DEPENDENT=dependent,
        num_warps=tiles.warps,
        **({"launch_pdl": True} if dependent else {}),
    )


@triton.jit
def put_whole(made, largest, worth, planes, steps, row, d, here, D):
    """Stores one row [B] in whole numbers: made · worth, where the largest of |made| is known."""
    largest = tl.maximum(largest, 1e-30)
    scaled = made * (32639 / largest)
    whole = (scaled + tl.where(scaled < 0, -0.5, 0.5)).to(tl.int32)
    high = (whole + 128) >> 8
    to = planes + row * 2 * D + d
    tl.store(to, high.to(tl.int8), mask=here)
    tl.store(to + D, (whole - high * 256).to(tl.int8), mask=here)
    tl.store(steps + row, largest * worth / 32639)


@triton.jit
def _round_kernel(x, planes, steps, D, B: tl.constexpr, DEPENDENT: tl.constexpr):
    row, d = tl.program_id(0).to(tl.int64), tl.arange(0, B)
    here = d < D
    wait_for_inputs(DEPENDENT)
    made = tl.load(x + row * D + d, mask=here, other=0.0).to(tl.float32)
    put_whole(made, tl.max(tl.abs(made), 0), 1.0, planes, steps, row, d, here, D)


@triton.jit
def _fours(words):
    """Words [·, ·, BI] as four of [·, ·, BI / 4]: those that one load gives a thread."""
    pairs = tl.reshape(words, [words.shape[0], words.shape[1], words.shape[2] // 4, 2, 2])
    even, odd = tl.split(pairs)
    first, third = tl.split(even)
    second, fourth = tl.split(odd)
    return first, second, third, fourth


@triton.jit
def _dot4(word, given, acc, DP4A: tl.constexpr):
    """acc and the products of four signed bytes each."""
    if DP4A:
        acc = tl.inline_asm_elementwise(
            "dp4a.s32.s32 $0, $1, $2, $3;", "=r,r,r,r", [word, given, acc], tl.int32, True, 1
        )
    else:
        for byte in tl.static_range(4):
            acc += ((word << (24 - 8 * byte)) >> 24) * ((given << (24 - 8 * byte)) >> 24)
    return acc


@triton.jit
def _row_words(at, k, p, S, rows, WHOLE: tl.constexpr, FULL: tl.constexpr):
    """The rows' bytes at k [1, P, BI], four a word."""
    if WHOLE & FULL:
        given = tl.load(at)
    else:
        given = tl.load(at, mask=(k < S) & (p < 2 * rows), other=0)
    return given


@triton.jit
def _dots(part, given, acc, DP4A: tl.constexpr):
    """acc [L, P, BI / 4] and the products of weights [L, 1, BI] and the rows' bytes [1, P, BI]."""
    w0, w1, w2, w3 = _fours(part)
    x0, x1, x2, x3 = _fours(given)
    acc = _dot4(w0, x0, acc, DP4A)
    acc = _dot4(w1, x1, acc, DP4A)
    acc = _dot4(w2, x2, acc, DP4A)
    return _dot4(w3, x3, acc, DP4A)


@triton.jit
def _group_steps(scale, lines, k, S, FOUR: tl.constexpr, WHOLE: tl.constexpr):
    """The steps [L, 1, BI / 4] of the groups of weights at k [1, 1, BI], which have 16 words."""
    step = 1.0
    if FOUR:
        at = scale + lines * (S // 16) + k // 16
        if WHOLE:
            every = tl.load(at)
        else:
            every = tl.load(at, mask=k < S, other=0.0)
        step, _second, _third, _fourth = _fours(every)  # alike
    return step


@triton.jit
def _times(acc, part, step, x, k, p, rows, S, FOUR: tl.constexpr, WHOLE: tl.constexpr, FULL: tl.constexpr, DP4A: tl.constexpr):  # fmt: skip
    """acc [L, P, BI / 4] and the products of weights [L, 1, BI] and the rows' bytes at k [1, 1, BI]."""
    if FOUR:  # a byte holds inputs j and j + 64 of a group, each plus 8
        at = x + p * (2 * S) + k // 16 * 32 + k % 16
        low = _row_words(at, k, p, S, rows, WHOLE, FULL)
        high = _row_words(at + 16, k, p, S, rows, WHOLE, FULL)
        made = tl.zeros(acc.shape, tl.int32)
        made = _dots(((part << 4) & -252645136) ^ -2139062144, low, made, DP4A)
        made = _dots((part & -252645136) ^ -2139062144, high, made, DP4A)  # 0xF0F0F0F0, 0x80808080
        acc += made.to(tl.float32) * step
    else:
        acc = _dots(part, _row_words(x + p * S + k, k, p, S, rows, WHOLE, FULL), acc, DP4A)
    return acc


@triton.jit
def _linear_kernel(
    x,
    steps,
    w,
    scale,
    out,
    rows,
    O,
    S,
    FOUR: tl.constexpr,
    R: tl.constexpr,
    PAIR: tl.constexpr,
    ADD: tl.constexpr,
    BO: tl.constexpr,
    BI: tl.constexpr,
    EARLY: tl.constexpr,
    WHOLE: tl.constexpr,
    FULL: tl.constexpr,
    DP4A: tl.constexpr,
    DEPENDENT: tl.constexpr,
):
    """S words a line of weights: four of them a word, or eight."""
    first = tl.program_id(0) * BO
    L: tl.constexpr = 2 * BO if PAIR else BO
    line = tl.arange(0, L)
    if PAIR:  # an output's gate and up follow one another
        o = tl.minimum(first + line // 2, O - 1) + line % 2 * O
    else:
        o = tl.minimum(first + line, O - 1)
    k = tl.arange(0, BI)[None, None, :]
    p = tl.arange(0, 2 * R)[None, :, None]
    lines = o.to(tl.int64)[:, None, None]
    at = w + lines * S + k
    p0 = load_weights(at, k, S, WHOLE)
    s0 = _group_steps(scale, lines, k, S, FOUR, WHOLE)
    p1, p2, p3 = p0, p0, p0
    s1, s2, s3 = s0, s0, s0
    if EARLY > 1:
        p1 = load_weights(at + BI, BI + k, S, WHOLE)
        s1 = _group_steps(scale, lines, BI + k, S, FOUR, WHOLE)
    if EARLY > 2:
        p2 = load_weights(at + 2 * BI, 2 * BI + k, S, WHOLE)
        s2 = _group_steps(scale, lines, 2 * BI + k, S, FOUR, WHOLE)
    if EARLY > 3:
        p3 = load_weights(at + 3 * BI, 3 * BI + k, S, WHOLE)
        s3 = _group_steps(scale, lines, 3 * BI + k, S, FOUR, WHOLE)
    worth = 0.0625  # of a weight that came as 16 times itself
    if not FOUR:
        worth = tl.load(scale + o)[:, None]
    wait_for_inputs(DEPENDENT)
    outputs = first + tl.arange(0, BO)
    r = tl.arange(0, R)[None, :]
    to = out + r * O + outputs[:, None]
    here = (outputs < O)[:, None] & (r < rows)
    before = tl.zeros([BO, R], tl.float32)
    if ADD:
        before = tl.load(to, mask=here, other=0.0)
    step = tl.load(steps + r, mask=r < rows, other=0.0)
    acc = tl.zeros([L, 2 * R, BI // 4], tl.float32 if FOUR else tl.int32)
    for tile in tl.static_range(EARLY):
        part, each = p0, s0
        if tile == 1:
            part, each = p1, s1
        if tile == 2:
            part, each = p2, s2
        if tile == 3:
            part, each = p3, s3
        acc = _times(acc, part, each, x, tile * BI + k, p, rows, S, FOUR, WHOLE, FULL, DP4A)
    for start in tl.range(EARLY * BI, S, BI):
        part = load_weights(at + start, start + k, S, WHOLE)
        each = _group_steps(scale, lines, start + k, S, FOUR, WHOLE)
        acc = _times(acc, part, each, x, start + k, p, rows, S, FOUR, WHOLE, FULL, DP4A)
    high, low = tl.split(tl.reshape(tl.sum(acc, 2), [L, R, 2]))
    made = (high.to(tl.float32) * 256 + low.to(tl.float32)) * worth * step
    if PAIR:
        gate, up = tl.split(tl.permute(tl.reshape(made, [BO, 2, R]), (0, 2, 1)))
        made = gate / (1 + tl.exp(-gate)) * up
    made += before
    tl.store(to, made.to(out.dtype.element_ty), mask=here)
