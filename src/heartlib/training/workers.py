"""The processes that train one model together, by accelerate: one, or one a GPU on one or many machines.

Every process has the whole model and draws batches of its own; gradients are averaged before each step,
so that the weights stay equal. Recipes have several models in a step, hooks and buffers that learn,
which DistributedDataParallel's wrapper does not allow for.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from heartlib.errors import HeartlibError, UsageError

BUCKET = 2**24  # numbers averaged at once


class Workers:
    """This process among all: its device and place, and what all agree on.

    HeartlibError without accelerate; UsageError for a device that is not there, or one named where
    each process must have its own.
    """

    def __init__(self, device: str = "") -> None:
        try:
            from accelerate import Accelerator
        except ImportError as error:
            raise HeartlibError(
                "training needs accelerate: pip install 'heartlib[train]'"
            ) from error
        # bfloat16 is the recipes' own matter: each knows which of its parts bear it.
        self.accelerator = Accelerator(mixed_precision="no")
        self.count, self.rank = self.accelerator.num_processes, self.accelerator.process_index
        if self.count > 1 and device:
            raise UsageError(
                f"--device {device} is for one process, not {self.count}: accelerate places them"
            )
        self.device = chosen(device) if self.count == 1 else self.accelerator.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def seed(self, seed: int, step: int, part: int) -> int:
        """The seed of this process' batch, of those that a step has: another one each time."""
        return int(np.random.default_rng([seed, step, part, self.rank]).integers(2**31))

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Puts the mean over all processes into each of the tensors, of one dtype."""
        if self.count == 1:
            return
        waiting, held = list[Tensor](), 0
        for tensor in [*tensors, None]:
            if tensor is not None:
                waiting.append(tensor)
                held += tensor.numel()
            if waiting and (tensor is None or held >= BUCKET):
                flat = torch.cat([x.flatten() for x in waiting])
                flat = self.accelerator.reduce(flat, reduction="mean")
                assert isinstance(flat, Tensor)
                parts = flat.split([x.numel() for x in waiting])
                for x, part in zip(waiting, parts, strict=True):
                    x.copy_(part.view_as(x))
                waiting, held = [], 0

    def share(self, tensor: Tensor) -> Tensor:
        """The first process' tensor."""
        if self.count == 1:
            return tensor
        from accelerate.utils import broadcast

        shared = broadcast(tensor)
        assert isinstance(shared, Tensor)
        return shared

    def agree(self, minutes: float, stop: bool) -> tuple[float, bool]:
        """The first process' clock, and whether it was asked to stop."""
        if self.count == 1:
            return minutes, stop
        kind = torch.float32 if self.device.type == "mps" else torch.float64
        told = self.share(torch.tensor([minutes, float(stop)], dtype=kind, device=self.device))
        minutes, asked = told.tolist()
        return minutes, bool(asked)

    def alone(self, given: object, flag: str) -> None:
        """UsageError where a flag is given that one process alone can follow."""
        if given and self.count > 1:
            raise UsageError(f"{flag} is for one process, not {self.count}")

    def wait(self) -> None:
        """Until all processes are here."""
        self.accelerator.wait_for_everyone()


def chosen(name: str) -> torch.device:
    """The device of that name, or a GPU when there is one. UsageError where it does not exist."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros((), device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"--device {name} is not on this machine: {reason}") from error
    return device
