"""What every recipe's steps share: a clock that survives lots, a rate, CUDA graphs, a running mean.

GPU time comes in short lots, so schedules run over minutes of training, not over steps: the clock of
a resumed run goes on where the lot before stopped.
"""

from __future__ import annotations

import math
import signal
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from time import monotonic as now
from typing import Any

import torch
from torch import Tensor, nn


class Clock:
    """Minutes of training done, those of the lots before counted. The first Ctrl-C sets `interrupted`."""

    def __init__(self, done: float = 0.0) -> None:
        self.done_before, self.start = done, now()
        self.interrupted = False

    def __enter__(self) -> Clock:
        self.start = now()
        self.previous: Any = None
        if threading.current_thread() is threading.main_thread():
            self.previous = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        if self.previous is not None:
            signal.signal(signal.SIGINT, self.previous)

    def _interrupt(self, *_: object) -> None:
        self.interrupted = True
        signal.signal(signal.SIGINT, self.previous)  # a second Ctrl-C quits at once

    @property
    def minutes(self) -> float:
        return self.done_before + (now() - self.start) / 60


def learning_rate(
    fraction: float, peak: float, warm_up: float = 0.02, floor: float = 0.02
) -> float:
    """Linear warm-up, then half a cosine from `peak` to `floor`·peak."""
    if fraction < warm_up:
        return peak * max(fraction, 1e-4) / warm_up
    along = (fraction - warm_up) / (1 - warm_up)
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * along)))


def autocast(device: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 arithmetic on CUDA (the weights stay float32), plain float32 elsewhere."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


def adamw(
    parameters: Any, peak_lr: float, betas: tuple[float, float], weight_decay: float, graphed: bool
) -> torch.optim.AdamW:
    """AdamW; for a graphed step its rate is a tensor, which the graph reads anew at every replay."""
    groups = list(parameters)
    where = groups[0]["params"][0] if isinstance(groups[0], dict) else groups[0]
    rate = torch.tensor(peak_lr, device=where.device) if graphed else peak_lr
    return torch.optim.AdamW(
        groups,
        lr=rate,
        betas=betas,
        weight_decay=weight_decay,
        fused=where.is_cuda,
        capturable=graphed,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(value)
        else:
            group["lr"] = value


@dataclass(frozen=True)
class Graph:
    """Recorded kernels, the tensors they read and those they write."""

    replay: Callable[[], None]
    inputs: dict[str, Tensor]
    found: dict[str, Tensor]


class GraphedStep:
    """A training step as CUDA graphs, one for every shape of its inputs: the GPU no longer waits for Python.

    `step` updates weights in place and returns tensors, which the next call overwrites. Tensors it is
    given by name are copied into the graph; other arguments are part of the graph, as shapes are, so
    that few values should occur. The first calls of all and of each graph are plain. Where `enabled`
    is false (a CPU) the step is simply called.
    """

    WARM_UP = 5

    def __init__(self, step: Callable[..., dict[str, Tensor]], enabled: bool):
        self.step, self.enabled = step, enabled
        self.calls, self.met = 0, set[Hashable]()
        self.graphs: dict[Hashable, Graph] = {}
        self.side = torch.cuda.Stream() if enabled else None  # one: each would keep its own memory
        self.pool = torch.cuda.graph_pool_handle() if enabled else None
        self.replayed: deque[torch.cuda.Event] = deque()

    def prepare(self, optimizers: Iterable[torch.optim.Optimizer], *fixed: Hashable) -> None:
        """Take the slow first steps of a new run at a rate of 0, which changes no weight; nothing on a CPU.

        For a step whose tensors have no names, and not for a resumed run: its running mean and the
        optimisers' moments would move on.
        """
        for optimizer in optimizers:
            set_learning_rate(optimizer, 0.0)
        for _ in range(self.WARM_UP + 1 if self.enabled else 0):
            self(*fixed)

    def __call__(self, *fixed: Hashable, **inputs: Tensor) -> dict[str, Tensor]:
        if not self.enabled:
            return self.step(*fixed, **inputs)
        self.calls += 1
        key = (fixed, tuple((name, value.shape) for name, value in inputs.items()))
        if self.calls <= self.WARM_UP or key not in self.met:
            self.met.add(key)
            assert self.side
            self.side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.side):
                found = self.step(*fixed, **inputs)
            torch.cuda.current_stream().wait_stream(self.side)
            return found
        if key not in self.graphs:
            self.graphs[key] = self.capture(fixed, inputs)
        graph = self.graphs[key]
        for name, value in inputs.items():
            graph.inputs[name].copy_(value)
        graph.replay()
        self.replayed.append(torch.cuda.Event())
        self.replayed[-1].record()
        if len(self.replayed) > 2:  # stay close behind the GPU, so that clocks mean something
            self.replayed.popleft().synchronize()
        return graph.found

    def capture(self, fixed: tuple[Hashable, ...], inputs: dict[str, Tensor]) -> Graph:
        """The step's kernels for such inputs, recorded and not yet run; another thread may go on."""
        graph, held = torch.cuda.CUDAGraph(), {name: x.clone() for name, x in inputs.items()}
        with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
            found = self.step(*fixed, **held)
        return Graph(graph.replay, held, found)


class EMA(nn.Module):
    """A running mean of a module's parameters; `copy_to` puts it into a module of the same shape."""

    def __init__(self, module: nn.Module, decay: float):
        super().__init__()
        self.decay = decay
        for name, value in module.named_parameters():
            self.register_buffer(name.replace(".", "/"), value.detach().clone())

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        means = list(self.buffers())
        torch._foreach_lerp_(  # pyright: ignore[reportPrivateImportUsage]
            means, [p.detach() for p in module.parameters()], 1 - self.decay
        )

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        for mean, parameter in zip(self.buffers(), module.parameters(), strict=True):
            parameter.copy_(mean)

    @torch.no_grad()
    def take(self, module: nn.Module) -> None:
        """Begin anew at the module's weights."""
        for mean, parameter in zip(self.buffers(), module.parameters(), strict=True):
            mean.copy_(parameter)

    @torch.no_grad()
    def swap(self, module: nn.Module) -> None:
        """The means and the module's weights change places, without a copy."""
        for mean, parameter in zip(self.buffers(), module.parameters(), strict=True):
            mean.data, parameter.data = parameter.data, mean.data

    @contextmanager
    def in_place(self, module: nn.Module) -> Iterator[None]:
        """The module with the means as its weights, for a while."""
        self.swap(module)
        try:
            yield
        finally:
            self.swap(module)


class Means:
    """Means of figures since the last look, kept on the device."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, values: dict[str, Tensor]) -> None:
        """Scalars by name; a graph may overwrite them later."""
        for name, value in values.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
            self.counts[name] = self.counts.get(name, 0) + 1

    def take(self) -> dict[str, Tensor]:
        """The means; then starts anew."""
        means = {name: value / self.counts[name] for name, value in self.sums.items()}
        self.sums, self.counts = {}, {}
        return means
