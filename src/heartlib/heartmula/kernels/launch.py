"""How kernels follow one another: each is there, and asks for its weights, before the one before it has ended.

Programmatic dependent launch (Hopper and later): a kernel says at its start that the next may be launched. The next waits in
`wait_for_inputs` until all before it have ended, since a chain of kernels that all wait hands the order on. Before that it
may read only what no kernel of the same frame writes: weights, positions, keys and values of earlier frames. The first kernel
of a frame lets none start before it has ended (`wait_for_frame`), so that no frame reads what the one before still writes.
"""

from __future__ import annotations

import functools
import os

import torch
import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

INTERPRETED = os.environ.get("TRITON_INTERPRET", "0") == "1"


def kernels_run_on(device: torch.device) -> bool:
    """Whether the kernels run there: on CUDA, or anywhere in Triton's interpreter."""
    return device.type == "cuda" or INTERPRETED


@functools.cache
def dependent_launch(device: torch.device) -> bool:
    """Whether the device launches kernels before those they depend on have ended."""
    if INTERPRETED or device.type != "cuda" or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device)[0] >= 9


@triton.jit
def wait_for_inputs(DEPENDENT: tl.constexpr):
    """Let the next kernel be launched, and wait for those before this one."""
    if DEPENDENT:
        gdc_launch_dependents()
        gdc_wait()


@triton.jit
def wait_for_frame(DEPENDENT: tl.constexpr):
    """Wait for the frame before, and keep the kernels that follow waiting too."""
    if DEPENDENT:
        gdc_wait()


@triton.jit
def load_weights(at, k, size, WHOLE: tl.constexpr):
    """Weights at `at` where their places k in a line of `size` exist, else 0; they are not needed again soon."""
    if WHOLE:
        part = tl.load(at, eviction_policy="evict_first")
    else:
        part = tl.load(at, mask=k < size, other=0.0)
    return part
