"""Tensors on their way between CPU and GPU, without either waiting for the other."""

from __future__ import annotations

import torch
from torch import Tensor


def to_device(x: Tensor, device: torch.device) -> Tensor:
    """x on `device`. A GPU copies it when its stream comes to it, and the CPU goes on."""
    if device.type != "cuda" or x.device.type != "cpu":
        return x.to(device)
    return x.pin_memory().to(device, non_blocking=True)


class Arriving:
    """A tensor that a GPU may still have to make, on its way to the CPU."""

    def __init__(self, x: Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        if x.device.type != "cuda":
            self._host = x
            return
        self._host = torch.empty(x.shape, dtype=x.dtype, pin_memory=True)
        with torch.cuda.device(x.device):
            self._host.copy_(x, non_blocking=True)
            self._event = torch.cuda.Event(blocking=True)
            self._event.record()

    def get(self) -> Tensor:
        """The tensor on the CPU, waited for; in memory that is its own."""
        if self._event is not None:
            self._event.synchronize()
        return self._host.clone()
