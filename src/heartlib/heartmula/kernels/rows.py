"""What is done to each row's hidden state between the products: embeddings in, norms.

Legend: R rows, S songs (rows 2s and 2s + 1), D width, K codebooks, V audio vocabulary.
"""

# Triton reads these functions, not Python: its types and launch options are unknown to pyright.
# pyright: reportCallIssue=false, reportArgumentType=false, reportGeneralTypeIssues=false
# pyright: reportOperatorIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from heartlib.heartmula.kernels.launch import dependent_launch, wait_for_inputs
from heartlib.heartmula.kernels.whole_numbers import WholeRows, put_whole, round_rows_reference

NORM_EPS = 1e-5


def norm(x: Tensor, scale: Tensor, out: Tensor | WholeRows, rows: int) -> None:
    """out[:rows] = RMS norm of x[:rows] [R, D] float32, times scale [D]."""
    _launch(_norm_kernel, rows, x, (x, scale, *_targets(out)), WHOLE=isinstance(out, WholeRows))


def norm_reference(x: Tensor, scale: Tensor, out: Tensor | WholeRows, rows: int) -> None:
    """`norm` in PyTorch."""
    made = F.rms_norm(x[:rows].float(), scale.shape, scale.float(), NORM_EPS)
    if isinstance(out, WholeRows):
        round_rows_reference(made, out, rows)
    else:
        out[:rows] = made.to(out.dtype)


def _targets(out: Tensor | WholeRows) -> tuple[Tensor, Tensor]:
    """Where a norm is stored, and its steps."""
    return (out.planes, out.steps) if isinstance(out, WholeRows) else (out, out)


def embed_code(
    codes: Tensor,
    codebook: int,
    table: Tensor,
    vocab: int,
    scale: Tensor,
    x: Tensor,
    out: Tensor | WholeRows,
    rows: int,
    first: int,
) -> None:
    """Rows of the depth decoder's input for codes [S, K] of a codebook, from table [(K−1)·V, D], and their norm.

    Rows `first` … `first + rows − 1` are those of the songs, two each; those before hold their input in x and get
    their norm only. x float32 and out [≥ first + rows, D].
    """
    _launch(
        _embed_code_kernel,
        first + rows,
        x,
        (codes, table, scale, x, *_targets(out), first, codebook, codebook * vocab, codes.shape[1]),
        WHOLE=isinstance(out, WholeRows),
    )


def embed_code_reference(
    codes: Tensor,
    codebook: int,
    table: Tensor,
    vocab: int,
    scale: Tensor,
    x: Tensor,
    out: Tensor | WholeRows,
    rows: int,
    first: int,
) -> None:
    """`embed_code` in PyTorch."""
    songs = codes[: rows // 2, codebook].long().repeat_interleave(2)
    x[first : first + rows] = table[songs + codebook * vocab].float()
    norm_reference(x, scale, out, first + rows)


def embed_frame(
    codes: Tensor,
    table: Tensor,
    vocab: int,
    x: Tensor,
    position: Tensor,
    advance: Tensor,
    frame: Tensor,
) -> None:
    """The backbone's next input: x [R, D] = the summed embeddings of codes [S, K], from table [K·V, D].

    position [R] += advance [R]; frame [S] += 1.
    """
    rows = position.shape[0]
    arguments = (codes, table, x, position, advance, frame, vocab)
    _launch(_embed_frame_kernel, rows, x, arguments, K=codes.shape[1])


def embed_frame_reference(
    codes: Tensor,
    table: Tensor,
    vocab: int,
    x: Tensor,
    position: Tensor,
    advance: Tensor,
    frame: Tensor,
) -> None:
    """`embed_frame` in PyTorch."""
    rows, codebooks = position.shape[0], codes.shape[1]
    offsets = torch.arange(codebooks, device=codes.device) * vocab
    songs = codes[: rows // 2].long() + offsets
    x[:rows] = table[songs].float().sum(1).repeat_interleave(2, dim=0)
    position += advance
    frame += 1


def _launch(kernel, rows: int, x: Tensor, arguments: tuple, **more: int) -> None:
    dependent, width = dependent_launch(x.device), x.shape[-1]
    kernel[(rows,)](
        *arguments,
        width,
        B=triton.next_power_of_2(width),
        DEPENDENT=dependent,
        num_warps=16 if more.get("WHOLE") else 4,
        **more,
        **({"launch_pdl": True} if dependent else {}),
    )


@triton.jit
def _normed(x, scale, D):
    return x * tl.rsqrt(tl.sum(x * x, 0) / D + 1e-5) * scale


@triton.jit
def _sum_and_max(square, size, other_square, other_size):
    return square + other_square, tl.maximum(size, other_size)


@triton.jit
def _put_normed(state, factor, out, steps, row, d, here, D, WHOLE: tl.constexpr):
    if WHOLE:
        made = state * factor
        squares, largest = tl.reduce((state * state, tl.abs(made)), 0, _sum_and_max)
        put_whole(made, largest, tl.rsqrt(squares / D + 1e-5), out, steps, row, d, here, D)
    else:
        made = _normed(state, factor, D)
        tl.store(out + row * D + d, made.to(out.dtype.element_ty), mask=here)


@triton.jit
def _norm_kernel(x, scale, out, steps, D, B: tl.constexpr, DEPENDENT: tl.constexpr, WHOLE: tl.constexpr):  # fmt: skip
    row, d = tl.program_id(0).to(tl.int64), tl.arange(0, B)
    here = d < D
    factor = tl.load(scale + d, mask=here, other=0.0).to(tl.float32)
    wait_for_inputs(DEPENDENT)
    state = tl.load(x + row * D + d, mask=here, other=0.0)
    _put_normed(state, factor, out, steps, row, d, here, D, WHOLE)


@triton.jit
def _embed_code_kernel(
    codes, table, scale, x, out, steps, first, codebook, offset, K, D,
    B: tl.constexpr, DEPENDENT: tl.constexpr, WHOLE: tl.constexpr,
):  # fmt: skip
    row, d = tl.program_id(0).to(tl.int64), tl.arange(0, B)
    here = d < D
    factor = tl.load(scale + d, mask=here, other=0.0).to(tl.float32)
    wait_for_inputs(DEPENDENT)
    if row < first:
        state = tl.load(x + row * D + d, mask=here, other=0.0)
    else:
        code = tl.load(codes + (row - first) // 2 * K + codebook) + offset
        state = tl.load(table + code.to(tl.int64) * D + d, mask=here, other=0.0).to(tl.float32)
        tl.store(x + row * D + d, state, mask=here)
    _put_normed(state, factor, out, steps, row, d, here, D, WHOLE)


@triton.jit
def _embed_frame_kernel(
    codes, table, x, position, advance, frame, V, D, B: tl.constexpr, DEPENDENT: tl.constexpr, K: tl.constexpr
):  # fmt: skip
    row, d = tl.program_id(0).to(tl.int64), tl.arange(0, B)
    here = d < D
    wait_for_inputs(DEPENDENT)
    state = tl.zeros([B], tl.float32)
    for codebook in tl.static_range(K):
        code = tl.load(codes + row // 2 * K + codebook) + codebook * V
        state += tl.load(table + code.to(tl.int64) * D + d, mask=here, other=0.0).to(tl.float32)
    tl.store(x + row * D + d, state, mask=here)
    tl.store(position + row, tl.load(position + row) + tl.load(advance + row))
    if row % 2 == 0:
        tl.store(frame + row // 2, tl.load(frame + row // 2) + 1)
