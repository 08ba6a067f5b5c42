"""Products with weights that are kept as int8: a few rows on a CPU pass them several times as fast.

torch has no public product of this kind, so its private one is tried out before it is used. It is
compiled with vector instructions for x86 outside Windows, and reads whole vectors: inputs are
counted in sixteens, and the weights' memory must be torch's own, not a page of a file.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Container

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from heartlib.errors import UsageError

FEW_ROWS = 8  # up to here int8 wins (docs/log.md)
VECTOR = 16


class Int8Linear(nn.Module):
    """A linear layer without bias whose weight stays int8, with a step for each output.

    Up to FEW_ROWS rows on a CPU are multiplied in bfloat16 with the integers, and the sums with
    the float32 steps; anything else passes the weight multiplied out. It cannot be trained.
    """

    weight: Tensor  # int8 [O, I]
    int8_scale: Tensor  # float32 [O]

    def __init__(self, weight: Tensor, int8_scale: Tensor, persistent: bool = True) -> None:
        super().__init__()
        self.register_buffer("weight", weight, persistent)
        self.register_buffer("int8_scale", int8_scale, persistent)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., inputs] → [..., outputs]."""
        rows = x.reshape(-1, x.shape[-1])
        if rows.shape[0] > FEW_ROWS or not x.is_cpu:
            return F.linear(x, self.weight * self.int8_scale[:, None])
        sums = _product(rows.bfloat16().contiguous(), self.weight)
        return (sums * self.int8_scale).view(*x.shape[:-1], -1)

    def train(self, mode: bool = True) -> Int8Linear:
        if mode:
            raise UsageError("weights kept as int8 cannot be trained: load them with int8=False")
        return super().train(mode)


def keep_int8(module: nn.Module, names: Container[str]) -> None:
    """Puts an empty `Int8Linear` in the place of linear layers whose weights are among `names`."""
    for name, layer in list(module.named_modules()):
        if not isinstance(layer, nn.Linear) or layer.bias is not None:
            continue
        if f"{name}.weight" in names and layer.in_features % VECTOR == 0:
            weight = layer.weight.detach()
            module.set_submodule(name, Int8Linear(weight.to(torch.int8), weight[:, 0].float()))


def join(*layers: nn.Module) -> Int8Linear | None:
    """Layers of one input as one, where all are int8: they become views of it, None where not.

    A state dict holds the layers only.
    """
    parts = [layer for layer in layers if isinstance(layer, Int8Linear)]
    if len(parts) < len(layers):
        return None
    weight = torch.cat([part.weight for part in parts])
    scale = torch.cat([part.int8_scale for part in parts])
    end = 0
    for part in parts:
        start, end = end, end + len(part.weight)
        part.weight, part.int8_scale = weight[start:end], scale[start:end]
    return Int8Linear(weight, scale, persistent=False)


@functools.cache
def int8_works() -> bool:
    """Whether torch has the product for this CPU, vectorised, and it is right."""
    if sys.platform == "win32" or torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        return False
    x = torch.arange(-96.0, 96.0).bfloat16().view(2, 96)  # whole numbers: exact in any order
    weight = (torch.arange(7 * 96) % 5 - 2).to(torch.int8).view(7, 96)
    try:
        found = _product(x, weight)
    except (AttributeError, RuntimeError):
        return False
    return torch.equal(found, (x.float() @ weight.float().t()).bfloat16())


def _product(rows: Tensor, weight: Tensor) -> Tensor:
    """rows bfloat16 [R, I] times weight int8 [O, I] → bfloat16 [R, O], summed in float32."""
    ones = _ones(weight.shape[0])  # its own steps are bfloat16
    return torch._weight_int8pack_mm(rows, weight, ones)  # pyright: ignore[reportPrivateImportUsage]


@functools.cache
def _ones(count: int) -> Tensor:
    return torch.ones(count, dtype=torch.bfloat16, device="cpu")
