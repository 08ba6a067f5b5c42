"""A matrix of the language model as it is kept in memory: plain, int8, fp8 or int4.

Legend: O outputs, I inputs, G inputs in a group.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from heartlib.errors import UsageError

QUANTIZATIONS = ("int8", "fp8", "int4")
GROUP = 128  # inputs that share a step in int4
FP8_LARGEST = 448.0


class Weight(NamedTuple):
    """kind "plain": data [O, I]. "int8", "fp8": data [O, I] and a step an output, scale float32 [O]. "int4": two
    inputs j and j + G/2 of a group in a byte, each plus 8: data uint8 [O, I/2], scale float32 [O, I/G]."""

    kind: str
    data: Tensor
    scale: Tensor | None
    outputs: int
    inputs: int
    group: int = 0

    @classmethod
    def plain(cls, data: Tensor) -> Weight:
        """A matrix [O, I] as it is, not copied where its rows lie one behind the other."""
        return cls("plain", data.contiguous(), None, *data.shape)

    @classmethod
    def quantize(cls, data: Tensor, kind: str) -> Weight:
        """A matrix [O, I] in fewer bits, rounded to the nearest, symmetric; UsageError where that cannot be."""
        check_quantization(kind)
        outputs, inputs = data.shape
        data = data.float()
        if kind == "int4":
            if inputs % GROUP:
                raise UsageError(
                    f"int4 groups {GROUP} inputs; a matrix of this model has {inputs}: use int8"
                )
            groups = data.unflatten(1, (-1, GROUP))
            scale = (groups.abs().amax(-1) / 7).clamp(min=1e-12)  # [O, I/G]
            whole = (groups / scale[..., None]).round().clamp(-8, 7).to(torch.int8) + 8
            low, high = whole.to(torch.uint8).chunk(2, -1)
            packed = (low | (high << 4)).flatten(1)
            return cls("int4", packed.contiguous(), scale, outputs, inputs, GROUP)
        largest = data.abs().amax(1).clamp(min=1e-12)
        if kind == "int8":
            scale = largest / 127
            return cls(
                "int8", (data / scale[:, None]).round().to(torch.int8), scale, outputs, inputs
            )
        if kind == "fp8":
            scale = largest / FP8_LARGEST
            narrow = (data / scale[:, None]).to(torch.float8_e4m3fn)
            return cls("fp8", narrow, scale, outputs, inputs)
        raise AssertionError(kind)

    def dense(self, dtype: torch.dtype) -> Tensor:
        """The matrix [O, I] multiplied out."""
        if self.scale is None:
            return self.data.to(dtype)
        if self.kind == "int4":
            low, high = self.data & 15, self.data >> 4
            halves = [half.unflatten(1, (-1, self.group // 2)) for half in (low, high)]
            whole = torch.cat(halves, dim=-1).to(torch.float32) - 8  # [O, I/G, G]
            return (whole * self.scale[..., None]).flatten(1).to(dtype)
        return (self.data.to(torch.float32) * self.scale[:, None]).to(dtype)

    @property
    def nbytes(self) -> int:
        return self.data.nbytes + (0 if self.scale is None else self.scale.nbytes)


class QuantizedLinear(nn.Module):
    """A linear layer without bias whose matrix is kept in fewer bits; it cannot be trained.

    Called, it multiplies the matrix out first: right for the many rows of a prompt. The frame step's kernels read it as it is.
    """

    data: Tensor
    scale: Tensor

    def __init__(self, weight: Weight) -> None:
        super().__init__()
        assert weight.scale is not None
        self.kind, self.group = weight.kind, weight.group
        self.in_features, self.out_features = weight.inputs, weight.outputs
        self.register_buffer("data", weight.data)
        self.register_buffer("scale", weight.scale)

    @property
    def kept(self) -> Weight:
        return Weight(
            self.kind, self.data, self.scale, self.out_features, self.in_features, self.group
        )

    def forward(self, x: Tensor) -> Tensor:
        """x [..., I] → [..., O]."""
        return F.linear(x, self.kept.dense(x.dtype))


class QuantizedHeads(nn.Module):
    """The heads of codebooks 1 … K−1, in fewer bits; indexed as the plain tensor [K−1, E, V] is."""

    def __init__(self, heads: list[Weight], dtype: torch.dtype) -> None:
        super().__init__()
        self.kept, self.dtype = heads, dtype

    def __getitem__(self, index: int) -> Tensor:
        return self.kept[index].dense(self.dtype).t()


def check_quantization(kind: str) -> str:
    """The kind, or UsageError where it is none."""
    if kind not in QUANTIZATIONS:
        raise UsageError(
            f"quantization {kind!r} is not known; use one of {', '.join(QUANTIZATIONS)}"
        )
    return kind


class Quantizer:
    """Keeps a HeartMuLa's matrices in fewer bits, one at a time as they come: those of both stacks, the projection, the heads.

    Embeddings and norms are not taken. No more memory is needed than for one matrix in float32.
    """

    def __init__(
        self, model: nn.Module, kind: str, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.model, self.kind = model, check_quantization(kind)
        self.device, self.dtype = device, dtype

    def __call__(self, name: str, tensor: Tensor) -> bool:
        """Takes the parameter `name` with these values, if it is a matrix of the frame step."""
        if name == "audio_head":  # [K−1, E, V]
            heads = [self._quantized(head.t()) for head in tensor]
            del self.model.audio_head
            self.model.audio_head = QuantizedHeads(heads, self.dtype)
            return True
        path, _, last = name.rpartition(".")
        layer = self.model.get_submodule(path)
        if last != "weight" or not isinstance(layer, nn.Linear) or layer.bias is not None:
            return False
        self.model.set_submodule(path, QuantizedLinear(self._quantized(tensor)))
        return True

    def _quantized(self, matrix: Tensor) -> Weight:
        matrix = matrix.detach().to(self.device, torch.float32)
        return Weight.quantize(matrix.contiguous(), self.kind)


def quantize(model: nn.Module, kind: str) -> None:
    """Keeps the matrices of a HeartMuLa in fewer bits, in place."""
    for name, parameter in list(model.named_parameters()):
        take = Quantizer(model, kind, parameter.device, parameter.dtype)
        take(name, parameter)
