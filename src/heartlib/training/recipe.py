"""What every recipe sets: a schedule, an optimiser, and what must hold of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from heartlib.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings that all recipes share; a subclass adds its model's and its losses'.

    `free` names the settings that may change between two lots of one run.
    """

    minutes: float = 8.0  # of the whole schedule
    steps: int = 0  # 0: minutes decide; else the schedule has this many steps
    accumulate: int = 1  # batches whose gradients are gathered before a step
    peak_lr: float = 1e-3
    warm_up: float = 0.02  # share of the schedule in which the rate rises
    weight_decay: float = 0.01
    clip: float = 1.0  # largest norm of a gradient
    ema_decay: float = 0.999  # of the running mean of the weights, which is what is saved
    report_minutes: float = 0.5  # between two lines of the log
    report_steps: int = 0  # 0: minutes decide; else a line every so many steps
    save_minutes: float = 2.0  # between two states, held-out figures and usable weights
    seed: int = 0

    free: ClassVar[tuple[str, ...]] = (
        "minutes",
        "steps",
        "accumulate",
        "peak_lr",
        "warm_up",
        "report_minutes",
        "report_steps",
        "save_minutes",
    )

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise UsageError(f"{field.name} is {value}; it must be finite")
        if self.minutes <= 0 and self.steps < 1:
            raise UsageError(
                f"minutes is {self.minutes:g} and steps {self.steps}; minutes must be above 0, or "
                "steps at least 1"
            )
        self.at_least(0, "steps", "weight_decay", "report_minutes", "report_steps", "save_minutes")
        self.at_least(0, "seed")
        self.at_least(1, "accumulate")
        self.above(0, "peak_lr", "clip")
        self.shares("warm_up", "ema_decay")

    def at_least(self, least: float, *names: str) -> None:
        """UsageError where one of these settings is lower."""
        for name in names:
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be at least {least}")

    def above(self, limit: float, *names: str) -> None:
        """UsageError where one of these settings is not higher."""
        for name in names:
            if getattr(self, name) <= limit:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be above {limit}")

    def shares(self, *names: str) -> None:
        """UsageError where one of these settings is not at least 0 and below 1."""
        for name in names:
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(
                    f"{name} is {getattr(self, name)}; it must be at least 0 and below 1"
                )


@dataclass(frozen=True, kw_only=True)
class Options:
    """Where a run reads and writes, and how long this lot of it is; a recipe adds its own inputs."""

    out: Path  # where state, figures and model are written; the same command again goes on there
    lot: float = 0.0  # stop after so many minutes; 0: at the end of the schedule
    lot_steps: int = 0  # stop after so many steps; 0: at the end of the schedule
    device: str = ""  # cpu, cuda, cuda:1; default: a GPU when there is one
    graph: bool = True  # record each step as a CUDA graph, with one GPU and without accumulation

    def __post_init__(self) -> None:
        for name in ("lot", "lot_steps"):
            value: Any = getattr(self, name)
            if not 0 <= value < math.inf:
                raise UsageError(f"{name} is {value}; it must be at least 0")
