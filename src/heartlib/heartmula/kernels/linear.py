"""A few rows times a large matrix, as fast as the matrix can be read.

Each program takes some outputs and passes their weights once; all rows wait beside them. A tile's inputs are dealt
out to PARTS parts in turn, CHUNK at a time, one part a warp: a single sum would be a chain of products that each wait for
the one before, longer than the weights take to arrive. The inputs of a matrix with few outputs are split into shares, which are
programs of their own where there are many rows. Who adds what to what does not hang on the number of rows: a row's result
is the same bit for bit in any company.

Legend: R rows, O outputs, I inputs, N rows with those that pad them to a power of two.
"""

# Triton reads these functions, not Python: its types and launch options are unknown to pyright.
# pyright: reportCallIssue=false, reportArgumentType=false, reportGeneralTypeIssues=false
# pyright: reportOperatorIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from heartlib.heartmula.kernels.launch import dependent_launch, load_weights, wait_for_inputs
from heartlib.heartmula.kernels.tuning import key, table
from heartlib.heartmula.kernels.whole_numbers import WholeRows
from heartlib.heartmula.weights import Weight

FEWEST_ROWS = 8
MANY_ROWS = 16
PARTS = 4  # as `_sum_parts` adds them
CHUNK = 64
SHARES, SHARED_OUTPUTS = 4, 4096  # of a matrix that is split, and its outputs at most


class Shares(NamedTuple):
    """Where a matrix's inputs are split into shares, what is left for the last: parts float32, done int32, zeros between calls.

    With few rows a program takes all shares itself, and adds them in the same order.
    """

    parts: Tensor
    done: Tensor

    @classmethod
    def allocate(cls, rows: int, device: torch.device) -> Shares:
        """For products of at most `rows` rows."""
        most = SHARES * SHARED_OUTPUTS
        parts = torch.zeros(most * padded(rows), device=device)
        return cls(parts, torch.zeros(most, device=device, dtype=torch.int32))


class Tiles(NamedTuple):
    """How the work is cut: outputs a tile, rounds of inputs a tile, tiles on their way."""

    outputs: int
    rounds: int
    stages: int


def padded(rows: int) -> int:
    """Rows that a buffer must have for `rows` of them: a power of two, at least eight."""
    return max(FEWEST_ROWS, 1 << (rows - 1).bit_length())


def count_shares(weight: Weight, pair: bool) -> int:
    """Into how many shares a matrix's inputs are split, by its shape alone."""
    if pair or weight.group or weight.outputs > SHARED_OUTPUTS:
        return 1
    long = weight.inputs >= 2 * weight.outputs and weight.inputs % (SHARES * PARTS * CHUNK) == 0
    return SHARES if long else 1


def choose_tiles(weight: Weight, rows: int, pair: bool) -> Tiles:
    """Tiles for a weight: as measured, or by rule."""
    measured = table().get(key(weight, padded(rows), pair))
    if measured is not None:
        return Tiles(*measured[1:])
    size = weight.data.element_size()
    if size == 4 or rows > 64:
        return Tiles(16, 1, 3)
    if rows > 32:
        return Tiles(32, 1, 4)
    if rows > 16:
        return Tiles(32, 1, 3 if pair or count_shares(weight, pair) > 1 else 4)
    if weight.group or rows > 8:
        return Tiles(16, 2, 3)
    if size == 1:
        return Tiles(16, 2, 3 if pair else 6)
    return Tiles(16, 2, 4)


def linear(
    x: Tensor,
    weight: Weight,
    out: Tensor,
    rows: int,
    *,
    add: bool = False,
    space: Shares | None = None,
    tiles: Tiles | None = None,
) -> None:
    """out[:rows] = x[:rows] @ weightᵀ, or += with `add`. x [≥ padded(rows), I], out [≥ rows, O], both contiguous.

    space: split the inputs into shares; only with it a row is the same among few rows and among many.
    """
    _launch(x, weight, out, rows, weight.outputs, False, add, space, tiles)


def gated_linear(
    x: Tensor,
    weight: Weight,
    out: Tensor,
    rows: int,
    *,
    tiles: Tiles | None = None,
) -> None:
    """out = silu(gate) · up, gate and up the two halves of weight's outputs: out [≥ rows, O / 2]."""
    _launch(x, weight, out, rows, weight.outputs // 2, True, False, None, tiles)


def linear_reference(
    x: Tensor | WholeRows,
    weight: Weight,
    out: Tensor,
    rows: int,
    *,
    add: bool = False,
    space: Shares | None = None,
) -> None:
    """`linear` in PyTorch."""
    product = F.linear(_dense(x, rows), weight.dense(torch.float32))
    out[:rows] = (out[:rows] + product if add else product).to(out.dtype)


def gated_linear_reference(x: Tensor | WholeRows, weight: Weight, out: Tensor, rows: int) -> None:
    """`gated_linear` in PyTorch."""
    gate, up = F.linear(_dense(x, rows), weight.dense(torch.float32)).chunk(2, -1)
    out[:rows] = (F.silu(gate) * up).to(out.dtype)


def _dense(x: Tensor | WholeRows, rows: int) -> Tensor:
    return x.dense()[:rows] if isinstance(x, WholeRows) else x[:rows].float()


def _launch(
    x: Tensor,
    weight: Weight,
    out: Tensor,
    rows: int,
    outputs: int,
    pair: bool,
    add: bool,
    space: Shares | None,
    tiles: Tiles | None,
) -> None:
    tiles = tiles or choose_tiles(weight, rows, pair)
    dependent = dependent_launch(x.device)
    shares = 1 if space is None else count_shares(weight, pair)
    programs = triton.cdiv(outputs, tiles.outputs)
    split = shares > 1 and padded(rows) >= MANY_ROWS
    _linear_kernel[(programs, shares if split else 1)](
        x,
        weight.data,
        weight.scale if weight.scale is not None else weight.data,
        out,
        space.parts if space is not None else out,
        space.done if space is not None else out,
        rows,
        outputs,
        weight.inputs,
        weight.inputs // shares,
        KIND=weight.kind,
        GROUP=weight.group,
        PAIR=pair,
        ADD=add,
        BO=tiles.outputs,
        ROUNDS=tiles.rounds,
        N=padded(rows),
        FULL=rows == padded(rows),
        WHOLE=weight.inputs // shares % (PARTS * (weight.group or tiles.rounds * CHUNK)) == 0,
        SHARES=shares,
        SPLIT=split,
        PRECISION="ieee" if x.dtype == torch.float32 else "tf32",
        DEPENDENT=dependent,
        PARTS=PARTS,
        CHUNK=CHUNK,
        num_warps=PARTS,
        num_stages=tiles.stages,
        **({"launch_pdl": True} if dependent else {}),
    )


@triton.jit
def _inputs(at, k, I, n, rows, WHOLE: tl.constexpr, FULL: tl.constexpr):
    """Rows' inputs at `at` where both exist."""
    if WHOLE:
        if FULL:
            part = tl.load(at)
        else:
            part = tl.load(at, mask=n < rows, other=0.0)
    else:
        part = tl.load(at, mask=(k < I) & (n < rows), other=0.0)
    return part


@triton.jit
def _linear_kernel(
    x,
    w,
    scale,
    out,
    parts,
    done,
    rows,
    O,
    I,
    size,
    KIND: tl.constexpr,
    GROUP: tl.constexpr,
    PAIR: tl.constexpr,
    ADD: tl.constexpr,
    BO: tl.constexpr,
    ROUNDS: tl.constexpr,
    N: tl.constexpr,
    FULL: tl.constexpr,
    WHOLE: tl.constexpr,
    SHARES: tl.constexpr,
    SPLIT: tl.constexpr,
    PRECISION: tl.constexpr,
    DEPENDENT: tl.constexpr,
    PARTS: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """KIND "plain", "int8", "fp8" (a step an output) or "int4" (a step a group of inputs). size: inputs of a share."""
    outputs = tl.program_id(0) * BO + tl.arange(0, BO)
    o = tl.minimum(outputs, O - 1).to(tl.int64)
    wait_for_inputs(DEPENDENT)
    n = tl.arange(0, N)
    to = out + n[None, :] * O + outputs[:, None]
    here = (outputs < O)[:, None] & (n < rows)[None, :]
    before = tl.zeros([BO, N], tl.float32)
    if ADD:
        before = tl.load(to, mask=here, other=0.0)
    across = o[None, :, None]
    made = tl.zeros([BO, N], tl.float32)
    also = tl.zeros([BO, N], tl.float32)
    row = n[None, None, :]
    if KIND == "int4":
        # A part takes a whole group at a time; a byte holds inputs j and j + GROUP / 2, each plus 8.
        part = tl.arange(0, PARTS)[:, None, None]
        acc = tl.zeros([PARTS, BO, N], tl.float32)
        up = tl.zeros([PARTS, BO, N], tl.float32)
        j = tl.arange(0, GROUP // 2)
        for start in range(0, I, PARTS * GROUP):
            first = start + part * GROUP
            at = x + row * I + first + j[None, :, None]
            low = _inputs(at, first, I, row, rows, WHOLE, FULL)
            high = _inputs(at + GROUP // 2, first, I, row, rows, WHOLE, FULL)
            at = w + first // 2 + j[None, None, :]
            steps = scale + (start // GROUP + tl.arange(0, PARTS))[:, None]
            acc = _add_int4(at, steps, across, first, low, high, acc, I, WHOLE, GROUP, PRECISION)
            if PAIR:
                up = _add_int4(
                    at, steps, across + O, first, low, high, up, I, WHOLE, GROUP, PRECISION
                )
        made, also = _sum_parts(acc), _sum_parts(up)
    elif PAIR:
        made, also = _share(x, w, across, O, 0, I, I, n[None, :, None], rows, made, also, True, ROUNDS, FULL, WHOLE, PRECISION, PARTS, CHUNK)  # fmt: skip
    elif SPLIT:
        mine = tl.program_id(1)
        made, also = _share(x, w, across, O, mine * size, size, I, n[None, :, None], rows, made, also, False, ROUNDS, FULL, WHOLE, PRECISION, PARTS, CHUNK)  # fmt: skip
        block = tl.program_id(0)
        at = tl.arange(0, BO)[:, None] * N + n[None, :]
        tl.store(parts + (block * SHARES + mine) * (BO * N) + at, made)
        tl.debug_barrier()
        if tl.atomic_add(done + block, 1, sem="acq_rel", scope="gpu") < SHARES - 1:
            return
        tl.store(done + block, 0)
        made = tl.zeros([BO, N], tl.float32)  # the last one adds them, in their order
        for share in tl.static_range(SHARES):
            made += tl.load(parts + (block * SHARES + share) * (BO * N) + at)
    else:
        for share in tl.static_range(SHARES):
            some, also = _share(x, w, across, O, share * size, size, I, n[None, :, None], rows, also, also, False, ROUNDS, FULL, WHOLE, PRECISION, PARTS, CHUNK)  # fmt: skip
            made += some
    if KIND == "int8" or KIND == "fp8":
        made *= tl.load(scale + o)[:, None]
    if PAIR:
        if KIND == "int8" or KIND == "fp8":
            also *= tl.load(scale + o + O)[:, None]
        made = made / (1 + tl.exp(-made)) * also
    tl.store(to, (made + before).to(out.dtype.element_ty), mask=here)


@triton.jit
def _share(
    x, w, across, O, begin, size, I, row, rows, made, also,
    PAIR: tl.constexpr, ROUNDS: tl.constexpr, FULL: tl.constexpr, WHOLE: tl.constexpr, PRECISION: tl.constexpr,
    PARTS: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """The products [BO, N] of `size` inputs from `begin` on; with PAIR those of the other half of the outputs too."""
    acc = tl.zeros([PARTS, made.shape[0], made.shape[1]], tl.float32)
    up = tl.zeros([PARTS, made.shape[0], made.shape[1]], tl.float32)
    part = tl.arange(0, PARTS)[:, None, None]
    j = tl.arange(0, ROUNDS * CHUNK)
    j = j // CHUNK * (PARTS * CHUNK) + j % CHUNK
    end = begin + size
    for start in range(begin, end, ROUNDS * PARTS * CHUNK):
        first = start + part * CHUNK
        k = first + j[None, None, :]
        given = _inputs(x + row * I + k, k, end, row, rows, WHOLE, FULL)  # [PARTS, N, inputs]
        given = tl.permute(given, (0, 2, 1))
        some = load_weights(w + across * I + k, k, end, WHOLE).to(given.dtype)
        acc = tl.dot(some, given, acc, input_precision=PRECISION)
        if PAIR:
            some = load_weights(w + (across + O) * I + k, k, end, WHOLE).to(given.dtype)
            up = tl.dot(some, given, up, input_precision=PRECISION)
    made = _sum_parts(acc)
    if PAIR:
        also = _sum_parts(up)
    return made, also


@triton.jit
def _sum_parts(acc):
    """The sum of acc [4, BO, N] over its parts, added two and two: in the same order whatever BO and N."""
    parts = tl.reshape(tl.permute(acc, (1, 2, 0)), [acc.shape[1], acc.shape[2], 2, 2])
    even, odd = tl.split(parts)
    first, third = tl.split(even)
    second, fourth = tl.split(odd)
    return (first + second) + (third + fourth)


@triton.jit
def _add_int4(
    at, steps, o, first, low, high, acc, I, WHOLE: tl.constexpr, GROUP: tl.constexpr, PRECISION: tl.constexpr
):  # fmt: skip
    """acc [PARTS, BO, N] and a group a part of 4-bit weights of outputs o times low and high [PARTS, GROUP / 2, N]."""
    packed = load_weights(at + o * (I // 2), first, I, WHOLE)
    made = tl.dot(((packed & 15).to(tl.int8) - 8).to(low.dtype), low, input_precision=PRECISION)
    made = tl.dot(
        ((packed >> 4).to(tl.int8) - 8).to(low.dtype), high, made, input_precision=PRECISION
    )
    at = steps[:, :, None] + o * (I // GROUP)
    if WHOLE:
        step = tl.load(at)
    else:
        step = tl.load(at, mask=first < I, other=0.0)
    return acc + made * step
