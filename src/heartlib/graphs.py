"""Work on a GPU that is launched as a whole: CUDA graphs, and switches to do without them and without our kernels."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import torch


def graphs_enabled() -> bool:
    """Whether CUDA graphs are used; `HEARTLIB_GRAPHS=0` in the environment turns them off."""
    return os.environ.get("HEARTLIB_GRAPHS", "1") != "0"


def has_triton() -> bool:
    """Whether Triton is installed, and not switched off by `HEARTLIB_KERNELS=0` in the environment."""
    installed = importlib.util.find_spec("triton") is not None
    return installed and os.environ.get("HEARTLIB_KERNELS", "1") != "0"


class CUDAGraphed:
    """A step over static tensors, recorded once and replayed: the GPU no longer waits for Python.

    step() takes and returns nothing: it reads and writes tensors that stay where they are, and does not wait for the
    device. `warm_up` calls run for real before it is recorded (kernels are compiled then), so that the tensors must
    hold something harmless. Where `enabled` is false (no CUDA device, or switched off) each call is the step itself.
    """

    def __init__(
        self,
        step: Callable[[], object],
        device: torch.device,
        *,
        enabled: bool = True,
        warm_up: int = 1,
        pool: Any = None,
    ) -> None:
        self.step = step
        self.graph: torch.cuda.CUDAGraph | None = None
        if not (enabled and device.type == "cuda" and graphs_enabled()):
            return
        side = torch.cuda.Stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            for _ in range(warm_up):
                step()
        torch.cuda.current_stream(device).wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, pool=pool, capture_error_mode="thread_local"):
            step()

    def __call__(self) -> None:
        if self.graph is None:
            self.step()
        else:
            self.graph.replay()
