"""Where kernels run, and how large their blocks are."""

from __future__ import annotations

from torch import Tensor

from heartlib.graphs import has_triton

HAVE_TRITON = has_triton()


def runs_kernels(x: Tensor) -> bool:
    """Whether work on `x` goes to Triton's kernels."""
    return HAVE_TRITON and x.is_cuda


def power_of_two(count: int) -> int:
    """The smallest power of two that is `count` or more."""
    return 1 << max(count - 1, 0).bit_length()


def warps(block: int) -> int:
    """For a block of `block` numbers that are read once."""
    return max(1, min(8, block // 256))
