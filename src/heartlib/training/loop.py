"""What every recipe's loop shares: a clock that survives lots, a learning-rate schedule, a log.

GPU time comes in short lots, so schedules run over minutes of training, not over steps: the clock of
a resumed run goes on where the lot before stopped.
"""

import json
import math
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class Clock:
    """Minutes of training done, of `total`; a lot may end earlier. Ctrl-C ends the lot cleanly."""

    def __init__(self, total: float, lot: float | None = None, done: float = 0.0):
        self.total, self.done_before = total, done
        self.lot = total - done if lot is None else min(lot, total - done)
        self.start = time.monotonic()
        self.interrupted = False

    def __enter__(self) -> "Clock":
        self._previous = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._previous)

    def _interrupt(self, *_: object) -> None:
        self.interrupted = True
        signal.signal(signal.SIGINT, self._previous)  # a second Ctrl-C quits at once

    @property
    def minutes(self) -> float:
        return self.done_before + (time.monotonic() - self.start) / 60

    @property
    def fraction(self) -> float:
        """How much of the whole schedule is done, 0 … 1."""
        return min(1.0, self.minutes / self.total)

    @property
    def over(self) -> bool:
        return self.interrupted or self.minutes - self.done_before >= self.lot


def learning_rate(
    fraction: float, peak: float, warm_up: float = 0.02, floor: float = 0.02
) -> float:
    """Linear warm-up, then half a cosine from `peak` to `floor`·peak."""
    if fraction < warm_up:
        return peak * max(fraction, 1e-4) / warm_up
    along = (fraction - warm_up) / (1 - warm_up)
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * along)))


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = value


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
        torch._foreach_lerp_(means, [p.detach() for p in module.parameters()], 1 - self.decay)

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        for mean, parameter in zip(self.buffers(), module.parameters(), strict=True):
            parameter.copy_(mean)


class Log:
    """Figures of a run as JSON lines in `log.jsonl`, and on the screen."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "log.jsonl"

    def __call__(self, **figures: Any) -> None:
        plain = {
            k: round(v.item() if isinstance(v, Tensor) else v, 5) if isinstance(v, Tensor | float) else v
            for k, v in figures.items()
        }
        with open(self.path, "a", encoding="utf-8") as handle:
            handle.write(json.dumps(plain) + "\n")
        print(" ".join(f"{k} {v}" for k, v in plain.items()), flush=True)


def finite(losses: Iterable[Tensor]) -> bool:
    """Whether no loss of the last steps was NaN or infinite (reads them from the device)."""
    return all(math.isfinite(float(loss)) for loss in losses)
