"""Attention of one new position a row over what the row has cached, rotary embedding and cache writes included.

The backbone's cache lies in pages, since songs come and go; the depth decoder's holds one frame.

Legend: R rows, H heads, N kv heads, G = H / N heads a group, d head width, P positions.
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
    dependent_launch,
    wait_for_inputs,
)

PAGE = 64  # positions of a page
FEW_SPLITS, MANY_SPLITS = (
    8,
    32,
)  # programs that share a row's positions, at most: among many rows, for two


class Workspace(NamedTuple):
    """What programs that share a row leave for the last of them: acc [R, N, splits, G, d], top and total [R, N,
    splits, G] float32; done [R, N] int32, zeros between calls."""

    acc: Tensor
    top: Tensor
    total: Tensor
    done: Tensor

    @classmethod
    def allocate(
        cls,
        rows: int,
        heads: int,
        kv_heads: int,
        width: int,
        device: torch.device,
        splits: int = FEW_SPLITS,
    ) -> Workspace:
        """For at most `rows` rows; a row is the same in any company only with as many splits."""
        shape = (rows, kv_heads, splits, heads // kv_heads)
        return cls(
            torch.zeros(*shape, width, device=device),
            torch.zeros(shape, device=device),
            torch.zeros(shape, device=device),
            torch.zeros(shape[:2], device=device, dtype=torch.int32),
        )


def attend(
    qkv: Tensor,
    keys: Tensor,
    values: Tensor,
    pages: Tensor,
    position: Tensor,
    rope: Tensor,
    out: Tensor,
    space: Workspace,
    heads: int,
    rows: int,
) -> None:
    """Attention of new rows over their pages and themselves; their keys and values are added to the pages.

    qkv [≥ R, (H + 2N)·d]; keys, values [pages, N, PAGE, d] of one layer; pages int32 [R, most pages of a row];
    position int32 [R]: how many positions a row has cached; rope float32 [P, d/2, 2]; out [≥ R, H·d].
    """
    kv_heads, width = keys.shape[1], keys.shape[3]
    dependent = dependent_launch(qkv.device)
    _attend_kernel[(rows, kv_heads, space.top.shape[2])](
        qkv,
        keys,
        values,
        pages,
        position,
        rope,
        out,
        *space,
        pages.shape[1],
        kv_heads,
        width**-0.5 * 1.4426950408889634,
        G=heads // kv_heads,
        GP=max(16, triton.next_power_of_2(heads // kv_heads)),
        GM=triton.next_power_of_2(heads // kv_heads),
        D=width,
        B=max(16, triton.next_power_of_2(width)),
        PAGE=PAGE,
        SPLITS=space.top.shape[2],
        PRECISION="ieee" if qkv.dtype == torch.float32 else "tf32",
        DEPENDENT=dependent,
        num_warps=2,
        num_stages=1 if space.top.shape[2] > FEW_SPLITS else 2,  # with many splits a page or two
        **({"launch_pdl": True} if dependent else {}),
    )


def attend_reference(
    qkv: Tensor,
    keys: Tensor,
    values: Tensor,
    pages: Tensor,
    position: Tensor,
    rope: Tensor,
    out: Tensor,
    space: Workspace,
    heads: int,
    rows: int,
) -> None:
    """`attend` in PyTorch, a row at a time; it waits for the device."""
    kv_heads, width = keys.shape[1], keys.shape[3]
    for row in range(rows):
        place = int(position[row])
        q, k, v = qkv[row].unflatten(0, (-1, width)).split((heads, kv_heads, kv_heads))
        q, k = rotate(q, rope[place]), rotate(k, rope[place])
        page, at = pages[row, place // PAGE].long(), place % PAGE
        keys[page, :, at], values[page, :, at] = k, v
        held = pages[row, : place // PAGE + 1].long()
        past = keys[held].transpose(0, 1).flatten(1, 2)[:, : place + 1]  # [N, P, d]
        seen = values[held].transpose(0, 1).flatten(1, 2)[:, : place + 1]
        groups = q.unflatten(0, (kv_heads, -1)).float()  # [N, G, d]
        share = (groups @ past.float().transpose(1, 2) * width**-0.5).softmax(-1)
        out[row] = (share @ seen.float()).flatten().to(out.dtype)


def attend_depth(
    qkv: Tensor,
    keys: Tensor,
    values: Tensor,
    rope: Tensor,
    out: Tensor,
    heads: int,
    rows: int,
    start: int,
    count: int,
) -> None:
    """The depth decoder's attention for `count` new positions from `start` on, which lie one block of rows after another.

    qkv [≥ count·R, (H + 2N)·d]; keys, values [R, N, P, d] of one layer; out [≥ count·R, H·d].
    """
    kv_heads, most, width = keys.shape[1:]
    dependent = dependent_launch(qkv.device)
    _attend_depth_kernel[(rows, kv_heads, count)](
        qkv,
        keys,
        values,
        rope,
        out,
        rows,
        start,
        kv_heads,
        width**-0.5 * 1.4426950408889634,
        G=heads // kv_heads,
        D=width,
        B=triton.next_power_of_2(width),
        MOST=most,
        P=triton.next_power_of_2(most),
        DEPENDENT=dependent,
        num_warps=4,
        **({"launch_pdl": True} if dependent else {}),
    )


def attend_depth_reference(
    qkv: Tensor,
    keys: Tensor,
    values: Tensor,
    rope: Tensor,
    out: Tensor,
    heads: int,
    rows: int,
    start: int,
    count: int,
) -> None:
    """`attend_depth` in PyTorch."""
    kv_heads, width = keys.shape[1], keys.shape[3]
    for new in range(count):
        at = slice(new * rows, (new + 1) * rows)
        q, k, v = qkv[at].unflatten(1, (-1, width)).split((heads, kv_heads, kv_heads), dim=1)
        place = start + new
        q, keys[:rows, :, place] = rotate(q, rope[place]), rotate(k, rope[place])
        values[:rows, :, place] = v
        past = keys[:rows, :, : place + 1].float()  # [R, N, P, d]
        groups = q.unflatten(1, (kv_heads, -1)).float()  # [R, N, G, d]
        share = (groups @ past.transpose(2, 3) * width**-0.5).softmax(-1)
        seen = values[:rows, :, : place + 1].float()
        out[at] = (share @ seen).flatten(1).to(out.dtype)


def rotate(x: Tensor, rope: Tensor) -> Tensor:
    """Turns the interleaved pairs of x [..., d] by one position's rope [d/2, 2]."""
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = rope.unbind(-1)
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return turned.flatten(-2).to(x.dtype)


@triton.jit
def _turned(x, pairs, rope, d, here):
    """A vector at x, or several, with its pairs turned by the angles at rope; in x's type."""
    cos = tl.load(rope + d // 2 * 2, mask=here, other=0.0)
    sin = tl.load(rope + d // 2 * 2 + 1, mask=here, other=0.0)
    sin = tl.where(d % 2 == 0, -sin, sin)
    return (x.to(tl.float32) * cos + pairs.to(tl.float32) * sin).to(x.dtype)


@triton.jit
def _heard(q, k, v, seen, top, total, acc, factor, PRECISION: tl.constexpr):
    """The running softmax of queries q [GP, B] and one more page of keys and values [PAGE, B]."""
    scores = tl.dot(q, tl.trans(k), input_precision=PRECISION) * factor  # [GP, PAGE]
    scores = tl.where(seen[None, :], scores, -1e30)
    higher = tl.maximum(top, tl.max(scores, 1))
    shrink = tl.exp2(top - higher)
    share = tl.where(seen[None, :], tl.exp2(scores - higher[:, None]), 0.0)
    total = total * shrink + tl.sum(share, 1)
    acc = tl.dot(share.to(v.dtype), v, acc * shrink[:, None], input_precision=PRECISION)
    return higher, total, acc


@triton.jit
def _attend_kernel(
    qkv,
    keys,
    values,
    pages,
    position,
    rope,
    out,
    accs,
    tops,
    totals,
    done,
    most_pages,
    N,
    factor,
    G: tl.constexpr,
    GP: tl.constexpr,
    GM: tl.constexpr,
    D: tl.constexpr,
    B: tl.constexpr,
    PAGE: tl.constexpr,
    SPLITS: tl.constexpr,
    PRECISION: tl.constexpr,
    DEPENDENT: tl.constexpr,
):
    row, head, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    place = tl.load(position + row)
    blocks = tl.cdiv(place, PAGE)
    active = tl.minimum(tl.maximum(blocks, 1), SPLITS)
    if split >= active:
        wait_for_inputs(DEPENDENT)
        return
    g, d, p = tl.arange(0, GP), tl.arange(0, B), tl.arange(0, PAGE)
    wide, group = d < D, g < G
    table = pages + row * most_pages
    # Its first keys and values are of earlier frames: they are on their way before the wait.
    page = tl.load(table + split).to(tl.int64)
    at = ((page * N + head) * PAGE + p[:, None]) * D + d[None, :]
    k0 = tl.load(keys + at, mask=wide[None, :], other=0.0)
    v0 = tl.load(values + at, mask=wide[None, :], other=0.0)
    angles = rope + place * D
    cos = tl.load(angles + d // 2 * 2, mask=wide, other=0.0)
    sin = tl.load(angles + d // 2 * 2 + 1, mask=wide, other=0.0)
    sin = tl.where(d % 2 == 0, -sin, sin)
    wait_for_inputs(DEPENDENT)
    row_at = qkv + row.to(tl.int64) * (N * (G + 2) * D)
    q_at = row_at + (head * G + g)[:, None] * D
    mask = group[:, None] & wide[None, :]
    q = tl.load(q_at + d[None, :], mask=mask, other=0.0)
    paired = tl.load(q_at + (d ^ 1)[None, :], mask=mask, other=0.0)
    q = (q.to(tl.float32) * cos[None, :] + paired.to(tl.float32) * sin[None, :]).to(q.dtype)
    top = tl.full([GP], -1e30, tl.float32)
    total = tl.zeros([GP], tl.float32)
    acc = tl.zeros([GP, B], tl.float32)
    if split == 0:  # the new position itself
        k_at = row_at + (N * G + head) * D
        new_k = tl.load(k_at + d, mask=wide, other=0.0)
        its_pairs = tl.load(k_at + (d ^ 1), mask=wide, other=0.0)
        new_v = tl.load(k_at + N * D + d, mask=wide, other=0.0)
        new_k = (new_k.to(tl.float32) * cos + its_pairs.to(tl.float32) * sin).to(new_k.dtype)
        new_page = tl.load(table + place // PAGE).to(tl.int64)
        to = ((new_page * N + head) * PAGE + place % PAGE) * D + d
        tl.store(keys + to, new_k, mask=wide)
        tl.store(values + to, new_v, mask=wide)
        top = tl.sum(q.to(tl.float32) * new_k.to(tl.float32)[None, :], 1) * factor
        total += 1.0
        acc += new_v.to(tl.float32)[None, :]
    seen = split * PAGE + p < place
    top, total, acc = _heard(q, k0, v0, seen, top, total, acc, factor, PRECISION)
    for block in range(split + active, blocks, active):
        page = tl.load(table + block).to(tl.int64)
        at = ((page * N + head) * PAGE + p[:, None]) * D + d[None, :]
        k = tl.load(keys + at, mask=wide[None, :], other=0.0)
        v = tl.load(values + at, mask=wide[None, :], other=0.0)
        seen = block * PAGE + p < place
        top, total, acc = _heard(q, k, v, seen, top, total, acc, factor, PRECISION)
    out_at = out + row.to(tl.int64) * (N * G * D) + (head * G + g)[:, None] * D + d[None, :]
    if active == 1:
        tl.store(out_at, (acc / total[:, None]).to(out.dtype.element_ty), mask=mask)
        return
    base = (row * N + head) * SPLITS
    tl.store(accs + (base + split) * (G * D) + g[:, None] * D + d[None, :], acc, mask=mask)
    tl.store(tops + (base + split) * G + g, top, mask=group)
    tl.store(totals + (base + split) * G + g, total, mask=group)
    tl.debug_barrier()
    before = tl.atomic_add(done + row * N + head, 1, sem="acq_rel", scope="gpu")
    if before < active - 1:
        return
    tl.store(done + row * N + head, 0)  # the last one gathers, all at once
    s, few = tl.arange(0, SPLITS), tl.arange(0, GM)
    there = (s < active)[:, None] & (few < G)[None, :]
    at = (base + s)[:, None] * G + few[None, :]
    tops_of = tl.load(tops + at, mask=there, other=-1e30)  # [SPLITS, GM]
    totals_of = tl.load(totals + at, mask=there, other=0.0)
    all_of = there[:, :, None] & wide[None, None, :]
    accs_of = tl.load(accs + at[:, :, None] * D + d[None, None, :], mask=all_of, other=0.0)
    shares = tl.exp2(tops_of - tl.max(tops_of, 0)[None, :])
    total = tl.sum(totals_of * shares, 0)  # [GM]
    acc = tl.sum(accs_of * shares[:, :, None], 0)  # [GM, B]
    out_at = out + row.to(tl.int64) * (N * G * D) + (head * G + few)[:, None] * D + d[None, :]
    made = acc / tl.maximum(total, 1e-30)[:, None]
    tl.store(out_at, made.to(out.dtype.element_ty), mask=(few < G)[:, None] & wide[None, :])


@triton.jit
def _attend_depth_kernel(
    qkv,
    keys,
    values,
    rope,
    out,
    R,
    start,
    N,
    factor,
    G: tl.constexpr,
    D: tl.constexpr,
    B: tl.constexpr,
    MOST: tl.constexpr,
    P: tl.constexpr,
    DEPENDENT: tl.constexpr,
):
    row, head, new = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    wait_for_inputs(DEPENDENT)
    d, p = tl.arange(0, B), tl.arange(0, P)
    wide = d < D
    one = N * (G + 2) * D  # a row of qkv
    place = start + new
    # Positions of this call lie in qkv, those before in the cache: each is loaded from one and masked in the other.
    at = (row * N + head).to(tl.int64) * MOST * D + p[:, None] * D + d[None, :]
    old = (p < start)[:, None] & wide[None, :]
    fresh = ((p >= start) & (p <= place))[:, None] & wide[None, :]
    k_at = qkv + ((p - start) * R + row).to(tl.int64)[:, None] * one + (N * G + head) * D
    fresh_k = tl.load(k_at + d[None, :], mask=fresh, other=0.0)
    paired = tl.load(k_at + (d ^ 1)[None, :], mask=fresh, other=0.0)
    turned = _turned(fresh_k, paired, rope + p[:, None] * D, d[None, :], fresh)
    fresh_v = tl.load(k_at + N * D + d[None, :], mask=fresh, other=0.0)
    keys_of = tl.load(keys + at, mask=old, other=0.0).to(tl.float32) + turned.to(tl.float32)
    values_of = tl.load(values + at, mask=old, other=0.0).to(tl.float32) + fresh_v.to(tl.float32)
    mine = (p == place)[:, None] & wide[None, :]
    tl.store(keys + at, turned, mask=mine)
    tl.store(values + at, fresh_v, mask=mine)
    for g in tl.static_range(G):
        q_at = qkv + (new * R + row).to(tl.int64) * one + (head * G + g) * D
        q = tl.load(q_at + d, mask=wide, other=0.0)
        paired_q = tl.load(q_at + (d ^ 1), mask=wide, other=0.0)
        q = _turned(q, paired_q, rope + place * D, d, wide).to(tl.float32)
        scores = tl.where(p <= place, tl.sum(q[None, :] * keys_of, 1) * factor, -1e30)
        share = tl.exp2(scores - tl.max(scores, 0))
        made = tl.sum(share[:, None] * values_of, 0) / tl.sum(share, 0)
        to = out + (new * R + row).to(tl.int64) * (N * G * D) + (head * G + g) * D + d
        tl.store(to, made.to(out.dtype.element_ty), mask=wide)
