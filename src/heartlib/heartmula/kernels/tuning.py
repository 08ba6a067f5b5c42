"""Which tiles are fastest, as `benchmarks/kernels.py --write` measured them on an H200: kernels/tiles.json.

A key names a matrix and the rows it meets; for shapes that are not in the table the kernels choose by rules.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

from heartlib.heartmula.weights import Weight

TABLE = Path(__file__).with_name("tiles.json")


def key(weight: Weight, rows: int, pair: bool) -> str:
    """Such as "int8 3072x8192, 8 rows": outputs, inputs and the rows with their padding, or 2 for one song alone."""
    name = f"{weight.kind} {weight.outputs}x{weight.inputs}"
    return f"{name}{' in pairs' if pair else ''}, {rows} rows"


@functools.cache
def table() -> dict[str, list]:
    """["few" or "dot", *tiles] for each key."""
    return json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.is_file() else {}
