"""Two rows times a large matrix, without the matrix units: each weight is multiplied as it arrives.

For one song. A program asks for all its weights before it waits for the rows. With more rows, and where a row must be the
same in any company, see `linear`, whose sums are in another order; for weights in whole numbers `whole_numbers`.

Legend: R rows, O outputs, I inputs.
"""

# Triton reads these functions, not Python: its types and launch options are unknown to pyright.
# pyright: reportCallIssue=false, reportArgumentType=false, reportGeneralTypeIssues=false
# pyright: reportOperatorIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from heartlib.heartmula.kernels import linear as any_rows
from heartlib.heartmula.kernels import whole_numbers
from heartlib.heartmula.kernels.launch import dependent_launch, load_weights, wait_for_inputs
from heartlib.heartmula.kernels.tuning import key, table
from heartlib.heartmula.kernels.whole_numbers import WholeRows
from heartlib.heartmula.weights import Weight

MOST_ROWS = 2


class Tiles(NamedTuple):
    """How the work is cut: outputs and inputs a tile, warps, and how many tiles are asked for before the wait."""

    outputs: int
    inputs: int
    warps: int
    early: int


def choose_tiles(weight: Weight, pair: bool) -> Tiles | None:
    """Tiles for a weight, or None where `any_rows` is faster: as measured, or by rule."""
    if weight.kind not in ("plain", "fp8"):
        return None
    measured = table().get(key(weight, MOST_ROWS, pair))
    if measured is not None:
        return Tiles(*measured[1:]) if measured[0] == "few" else None
    if weight.kind == "fp8" and (pair or weight.inputs > weight.outputs):
        return None
    if weight.kind == "plain" and weight.inputs == weight.outputs:
        return Tiles(4, min(512, triton.next_power_of_2(weight.inputs)), 2, 2)
    return Tiles(2, min(1024, triton.next_power_of_2(weight.inputs)), 4, 3)


def linear(
    x: Tensor | WholeRows,
    weight: Weight,
    out: Tensor,
    rows: int,
    *,
    add: bool = False,
    space: any_rows.Shares | None = None,
    tiles: Tiles | None = None,
) -> None:
    """`any_rows.linear`, where that is faster or has more rows by itself; rows in whole numbers as such."""
    if isinstance(x, WholeRows):
        return whole_numbers.linear(x, weight, out, rows, add=add)
    tiles = tiles or choose_tiles(weight, False)
    if rows > MOST_ROWS or tiles is None:
        any_rows.linear(x, weight, out, rows, add=add)
    else:
        _launch(x, weight, out, rows, weight.outputs, False, add, tiles)


def gated_linear(
    x: Tensor | WholeRows,
    weight: Weight,
    out: Tensor,
    rows: int,
    *,
    tiles: Tiles | None = None,
) -> None:
    """`any_rows.gated_linear`, likewise."""
    if isinstance(x, WholeRows):
        return whole_numbers.gated_linear(x, weight, out, rows)
    tiles = tiles or choose_tiles(weight, True)
    if rows > MOST_ROWS or tiles is None:
        any_rows.gated_linear(x, weight, out, rows)
    else:
        _launch(x, weight, out, rows, weight.outputs // 2, True, False, tiles)


def _launch(
    x: Tensor,
    weight: Weight,
    out: Tensor,
    rows: int,
    outputs: int,
    pair: bool,
    add: bool,
    tiles: Tiles,
) -> None:
    dependent = dependent_launch(x.device)
    _few_rows_kernel[(triton.cdiv(outputs, tiles.outputs),)](
        x,
        weight.data,
        weight.scale if weight.scale is not None else weight.data,
        out,
        rows,
        outputs,
        weight.inputs,
        STEPPED=weight.scale is not None,
        PAIR=pair,
        ADD=add,
        BO=tiles.outputs,
        BI=tiles.inputs,
        EARLY=min(tiles.early, triton.cdiv(weight.inputs, tiles.inputs)),
        WHOLE=weight.inputs % tiles.inputs == 0,
        FULL=rows == MOST_ROWS,
        DEPENDENT=dependent,
        num_warps=tiles.warps,
        **({"launch_pdl": True} if dependent else {}),
    )


@triton.jit
def _row(x, at, k, I, row, rows, WHOLE: tl.constexpr, FULL: tl.constexpr):
    """A row's inputs at `at`, once for every output: from the first-level cache, in the order of the weights."""
    if WHOLE & FULL:
        given = tl.load(x + at)
    else:
        given = tl.load(x + at, mask=(k < I) & (k * 0 + row < rows), other=0.0)
    return given.to(tl.float32)


@triton.jit
def _added(a0, a1, part, x, k, rows, I, WHOLE: tl.constexpr, FULL: tl.constexpr):
    """Sums [BO, BI] of two rows, and each weight of a tile times each row's input."""
    w = part.to(tl.float32)
    a0 += w * _row(x, k, k, I, 0, rows, WHOLE, FULL)
    a1 += w * _row(x, k + I, k, I, 1, rows, WHOLE, FULL)
    return a0, a1


@triton.jit
def _few_rows_kernel(
    x,
    w,
    scale,
    out,
    rows,
    O,
    I,
    STEPPED: tl.constexpr,
    PAIR: tl.constexpr,
    ADD: tl.constexpr,
    BO: tl.constexpr,
    BI: tl.constexpr,
    EARLY: tl.constexpr,
    WHOLE: tl.constexpr,
    FULL: tl.constexpr,
    DEPENDENT: tl.constexpr,
):
    """STEPPED: each output has a step, in scale."""
    first = tl.program_id(0) * BO
    o = tl.minimum(first + tl.arange(0, BO), O - 1).to(tl.int64)[:, None]
    j = tl.arange(0, BI)[None, :]
    if STEPPED:  # eight at a time: then weights and inputs lie alike
        j = tl.max_contiguous(j, [1, 8])
    at = w + o * I + j
    p0 = load_weights(at, j, I, WHOLE)
    p1, p2, p3 = p0, p0, p0
    if EARLY > 1:
        p1 = load_weights(at + BI, BI + j, I, WHOLE)
    if EARLY > 2:
        p2 = load_weights(at + 2 * BI, 2 * BI + j, I, WHOLE)
    if EARLY > 3:
        p3 = load_weights(at + 3 * BI, 3 * BI + j, I, WHOLE)
    q0, q1, q2, q3 = p0, p0, p0, p0
    if PAIR:
        at += O.to(tl.int64) * I
        q0 = load_weights(at, j, I, WHOLE)
        if EARLY > 1:
            q1 = load_weights(at + BI, BI + j, I, WHOLE)
        if EARLY > 2:
            q2 = load_weights(at + 2 * BI, 2 * BI + j, I, WHOLE)
        if EARLY > 3:
            q3 = load_weights(at + 3 * BI, 3 * BI + j, I, WHOLE)
    wait_for_inputs(DEPENDENT)
    outputs = first + tl.arange(0, BO)
    b0 = _before(out, outputs, 0, rows, O, ADD)
    b1 = _before(out, outputs, 1, rows, O, ADD)
    a0 = tl.zeros([BO, BI], tl.float32)
    a1, u0, u1 = a0, a0, a0
    for tile in tl.static_range(EARLY):
        part, also = p0, q0
        if tile == 1:
            part, also = p1, q1
        if tile == 2:
            part, also = p2, q2
        if tile == 3:
            part, also = p3, q3
        k = tile * BI + j
        a0, a1 = _added(a0, a1, part, x, k, rows, I, WHOLE, FULL)
        if PAIR:
            u0, u1 = _added(u0, u1, also, x, k, rows, I, WHOLE, FULL)
    for start in tl.range(EARLY * BI, I, BI):
        k = start + j
        some = load_weights(w + o * I + k, k, I, WHOLE)
        a0, a1 = _added(a0, a1, some, x, k, rows, I, WHOLE, FULL)
        if PAIR:
            some = load_weights(w + (o + O) * I + k, k, I, WHOLE)
            u0, u1 = _added(u0, u1, some, x, k, rows, I, WHOLE, FULL)
    _put(a0, u0, b0, 0, scale, out, outputs, rows, O, STEPPED, PAIR)
    _put(a1, u1, b1, 1, scale, out, outputs, rows, O, STEPPED, PAIR)


@triton.jit
def _before(out, outputs, row, rows, O, ADD: tl.constexpr):
    """What a row's outputs are added to."""
    before = outputs * 0.0
    if ADD:
        here = (outputs < O) & (outputs * 0 + row < rows)
        before = tl.load(out + row * O + outputs, mask=here, other=0.0)
    return before


@triton.jit
def _put(a, u, before, row, scale, out, outputs, rows, O, STEPPED: tl.constexpr, PAIR: tl.constexpr):  # fmt: skip
    """One row's outputs, from the sums of its parts."""
    here = (outputs < O) & (outputs * 0 + row < rows)
    made = tl.sum(a, 1)
    if STEPPED:
        made *= tl.load(scale + outputs, mask=here, other=0.0)
    if PAIR:
        up = tl.sum(u, 1)
        if STEPPED:
            up *= tl.load(scale + outputs + O, mask=here, other=0.0)
        made = made / (1 + tl.exp(-made)) * up
    made += before
    tl.store(out + row * O + outputs, made.to(out.dtype.element_ty), mask=here)
