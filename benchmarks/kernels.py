"""How long each kernel of the 3B frame takes with each of many ways to cut it: microseconds a call, in chains.

    python benchmarks/kernels.py                            # everything, about two minutes on an H200
    python benchmarks/kernels.py --only output down attend --kinds int8 --rows 2
    python benchmarks/kernels.py --write                    # and keep the best of each in kernels/tiles.json

A chain is one CUDA graph of the same kernel over as many matrices as do not fit in the cache, so that launches, waits and the
memory's latency count as in a frame. Compiling goes on in many processes first.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch

from heartlib.heartmula.kernels import (
    attention,
    few_rows,
    linear,
    sample,
    tuning,
    whole_numbers,
)
from heartlib.heartmula.kernels.rows import norm
from heartlib.heartmula.kernels.whole_numbers import WholeRows
from heartlib.heartmula.transformer import rope_table
from heartlib.heartmula.weights import Weight

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
DTYPE = torch.bfloat16 if DEVICE.type == "cuda" else torch.float32
ROLES = {  # outputs, inputs, pair, add
    "output": (3072, 3072, False, True),
    "down": (3072, 8192, False, True),
    "qkv": (5120, 3072, False, False),
    "depth_qkv": (6144, 3072, False, False),
    "gate_up": (16384, 3072, True, False),
    "head": (8197, 3072, False, False),
}
KINDS = ("plain", "int8", "int4")
CACHE = 500 * 2**20  # bytes that are surely not in the cache any more
POSITION, LAYERS, HEADS, KV_HEADS, WIDTH = 1900, 28, 24, 8, 128


class Case(NamedTuple):
    """One way to run one kernel: a role of `ROLES`, "attend" or one of `OTHERS`."""

    role: str
    kind: str
    rows: int
    way: str
    cut: tuple


FEW = (
    (2, 1024, 4, 3), (4, 1024, 4, 3), (4, 512, 2, 2), (4, 1024, 4, 2), (1, 1024, 2, 3), (1, 512, 2, 3), (2, 512, 4, 3),
)  # fmt: skip
WHOLE = (
    (4, 1024, 2, 3), (2, 1024, 2, 3), (4, 512, 1, 4), (2, 512, 1, 4), (1, 1024, 2, 3), (1, 512, 1, 4), (4, 1024, 2, 4),
    (2, 2048, 4, 4), (4, 2048, 4, 4), (8, 512, 1, 2), (8, 512, 1, 3), (8, 1024, 2, 2), (8, 1024, 2, 3),
    (4, 512, 1, 3), (2, 512, 1, 3), (1, 512, 1, 3), (2, 1024, 2, 4), (4, 2048, 4, 2), (8, 2048, 4, 2),
)  # fmt: skip
DOT = {
    8: ((16, 2, 3), (16, 2, 4), (16, 2, 6), (16, 4, 3), (16, 1, 6), (32, 2, 3), (32, 1, 6)),
    16: ((16, 2, 3), (16, 2, 4), (16, 1, 6), (32, 1, 4)),
    32: ((16, 1, 4), (16, 2, 3), (32, 1, 3), (32, 1, 4), (32, 2, 3), (64, 1, 3), (64, 1, 4)),
    64: ((16, 1, 4), (32, 1, 3), (32, 1, 4), (32, 2, 3), (64, 1, 3), (64, 1, 4)),
    128: ((16, 1, 3), (32, 1, 3), (64, 1, 3)),
}


def cases(only: list[str]) -> Iterator[Case]:
    for role, (_, inputs, _, _) in ROLES.items():
        if role not in only:
            continue
        for kind in KINDS:
            stored = inputs // 2 if kind == "int4" else inputs
            for cut in FEW if kind == "plain" else ():
                if stored % cut[1] == 0 and cut[1] * cut[3] <= stored:
                    yield Case(role, kind, 2, "few", cut)
            for cut in WHOLE if kind in whole_numbers.KINDS else ():
                if stored % cut[1] == 0 and cut[1] * cut[3] <= stored:
                    yield Case(role, kind, 2, "whole", cut)
            for cut in DOT[8] if kind == "plain" else ():
                yield Case(role, kind, 2, "dot", cut)
            for rows, cuts in DOT.items():
                if kind == "plain" or rows == 8:
                    for cut in cuts:
                        yield Case(role, kind, rows, "dot", cut)
    if "attend" in only:
        for cut in ((64, 8), (64, 16), (64, 32)):
            for rows in (2, 32):
                yield Case("attend", "plain", rows, "attend", cut)
    for role in OTHERS:
        if role in only:
            yield Case(role, "plain", 2, role, ())


def prepared(case: Case, small: bool) -> tuple[list[Callable[[], None]], int]:
    """Calls over different memory, and the bytes that each reads. small: just to compile."""
    if case.role == "attend":
        return attend_calls(case, small)
    if case.role in OTHERS:
        return [OTHERS[case.role]()] * (1 if small else 100), 0
    outputs, inputs, pair, add = ROLES[case.role]
    if small:
        outputs = 512 + outputs % 16
    weight = new_weight(outputs, inputs, case.kind)
    count = 1 if small else max(2, CACHE // weight.nbytes)
    weights = [weight._replace(data=copy) for copy in copies(weight.data, count)]
    x: Any = torch.randn(linear.padded(case.rows), inputs, device=DEVICE).to(DTYPE)
    wide = outputs // 2 if pair else outputs
    out = torch.zeros(case.rows, wide, device=DEVICE, dtype=DTYPE if pair else torch.float32)
    module: Any = {"few": few_rows, "whole": whole_numbers, "dot": linear}[case.way]
    settings: dict[str, Any] = {"tiles": module.Tiles(*case.cut)}
    if case.way == "whole":
        whole_numbers.round_rows(
            x, whole := WholeRows.allocate(case.rows, inputs, DEVICE), case.rows
        )
        x = whole
    call = module.gated_linear if pair else module.linear
    if add:
        settings["add"] = True
    if not pair and case.rows >= linear.MANY_ROWS:
        settings["space"] = linear.Shares.allocate(case.rows, DEVICE)
    calls = [functools.partial(call, x, each, out, case.rows, **settings) for each in weights]
    return calls, weight.nbytes


@functools.cache
def new_weight(outputs: int, inputs: int, kind: str) -> Weight:
    torch.manual_seed(0)
    dense = torch.randn(outputs, inputs, device=DEVICE).to(DTYPE) * 0.02
    return Weight.plain(dense) if kind == "plain" else Weight.quantize(dense, kind)


def copies(data: torch.Tensor, count: int) -> list[torch.Tensor]:
    return [data, *(data.clone() for _ in range(count - 1))]


def attend_calls(case: Case, small: bool) -> tuple[list[Callable[[], None]], int]:
    attention.PAGE, splits = case.cut
    page, rows = attention.PAGE, case.rows
    held = -(-POSITION // page) + 1
    layers = 1 if small else LAYERS
    shape = (layers, rows * held + 1, KV_HEADS, page, WIDTH)
    keys, values = (torch.randn(shape, device=DEVICE).to(DTYPE) for _ in range(2))
    pages = (torch.randperm(rows * held, device=DEVICE) + 1).view(rows, held).int()
    position = torch.full((rows,), POSITION, device=DEVICE, dtype=torch.int32)
    rope = torch.view_as_real(rope_table(4096, WIDTH, DEVICE)).contiguous()
    qkv = torch.randn(rows, (HEADS + 2 * KV_HEADS) * WIDTH, device=DEVICE).to(DTYPE)
    out = torch.empty(rows, HEADS * WIDTH, device=DEVICE, dtype=DTYPE)
    space = attention.Workspace.allocate(rows, HEADS, KV_HEADS, WIDTH, DEVICE, splits)
    calls = [
        functools.partial(
            attention.attend, qkv, keys[layer], values[layer], pages, position, rope, out, space, HEADS, rows
        )
        for layer in range(layers)
    ]  # fmt: skip
    return calls, 2 * rows * POSITION * KV_HEADS * WIDTH * DTYPE.itemsize


def norm_call(whole: bool) -> Callable[[], None]:
    x, scale = torch.randn(8, 3072, device=DEVICE), torch.ones(3072, device=DEVICE)
    out: Any = WholeRows.allocate(2, 3072, DEVICE) if whole else x.to(DTYPE)
    return functools.partial(norm, x, scale, out, 2)


def round_call(width: int) -> Callable[[], None]:
    x, out = torch.randn(8, width, device=DEVICE).to(DTYPE), WholeRows.allocate(2, width, DEVICE)
    return functools.partial(whole_numbers.round_rows, x, out, 2)


def attend_depth_call() -> Callable[[], None]:
    keys, values = (torch.randn(2, 4, 8, 384, device=DEVICE).to(DTYPE) for _ in range(2))
    qkv = torch.randn(8, 6144, device=DEVICE).to(DTYPE)
    rope = torch.view_as_real(rope_table(64, 384, DEVICE)).contiguous()
    out = torch.empty(8, 3072, device=DEVICE, dtype=DTYPE)
    arguments = (qkv, keys, values, rope, out, 8, 2, 5, 1)
    return functools.partial(attention.attend_depth, *arguments)


def sample_call() -> Callable[[], None]:
    logits, noise = torch.randn(8, 8197, device=DEVICE), torch.randn(1, 8, 8197, device=DEVICE)
    ones = torch.ones(1, device=DEVICE)
    topk, codes = (torch.full((1, n), 50, device=DEVICE, dtype=torch.int32) for n in (1, 8))
    return functools.partial(
        sample.sample, logits, noise, 3, 1.5 * ones, ones, topk[0], codes, 8196
    )


OTHERS = {  # kernels that have one way
    "norm": functools.partial(norm_call, False),
    "norm_whole": functools.partial(norm_call, True),
    "round_3072": functools.partial(round_call, 3072),
    "round_8192": functools.partial(round_call, 8192),
    "attend_depth": attend_depth_call,
    "sample": sample_call,
}


def compile_them(part: list[Case]) -> None:
    """In a process of its own: every case once, on little memory."""
    for case in part:
        with contextlib.suppress(Exception):  # too much shared memory, say: told when it is timed
            prepared(case, small=True)[0][0]()
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def microseconds(calls: list[Callable[[], None]], repeats: int = 12) -> float:
    """A call, in a chain."""
    if DEVICE.type != "cuda":
        begin = time.perf_counter()
        calls[0]()
        return 1e6 * (time.perf_counter() - begin)
    calls[0]()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    for _ in range(2):
        graph.replay()
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(repeats):
        graph.replay()
    end.record()
    torch.cuda.synchronize()
    return 1e3 * begin.elapsed_time(end) / repeats / len(calls)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [*ROLES, "attend", *OTHERS]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="of weights")
    parser.add_argument("--rows", nargs="+", type=int, help="which numbers of them (all)")
    parser.add_argument("--few", action="store_true", help="every eighth case, to try it out")
    parser.add_argument("--write", action="store_true", help="the best into kernels/tiles.json")
    options = parser.parse_args()
    every = [
        case
        for case in cases(options.only)
        if case.kind in options.kinds and case.rows in (options.rows or [case.rows])
    ][:: 8 if options.few else 1]
    begun = time.perf_counter()
    if DEVICE.type == "cuda":
        workers = min(12, os.cpu_count() or 1)
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            pool.map(compile_them, [every[at::workers] for at in range(workers)])
    print(f"{len(every)} cases compiled in {time.perf_counter() - begun:.1f} s", flush=True)
    results, best = [], {}
    for (role, kind, rows), group in itertools.groupby(every, key=lambda case: case[:3]):
        found = []
        for case in group:
            try:
                calls, size = prepared(case, small=DEVICE.type != "cuda")
                took = microseconds(calls)
            except Exception as error:
                print(f"  {case}: {str(error).splitlines()[0][:70]}", flush=True)
                continue
            found.append((took, case.way, case.cut))
            results.append([*case, took])
        found.sort()
        if role in ROLES and found:
            name = tuning.key(new_weight(*ROLES[role][:2], kind), rows, ROLES[role][2])
            best[name] = [found[0][1], *found[0][2]]
        print(f"{role} {kind}, {rows} rows, {size / 1e6:.1f} MB:", flush=True)
        for took, way, cut in found[:9]:
            print(f"  {took:7.2f} us {size / took / 1e3:6.0f} GB/s  {way} {cut}", flush=True)
    if options.write:
        table = tuning.table() | best
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(cut)}" for name, cut in table.items())
        tuning.TABLE.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
    print(f"took {time.perf_counter() - begun:.0f} s")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
