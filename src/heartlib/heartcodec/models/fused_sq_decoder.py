"""The scalar codec's decoder for decoding alone: every layer a matrix product of shifted samples.

Its weights are those of `models.sq_codec.build_decoder`, weight norm folded, rounded to float16 or bfloat16.
Channels lie side by side: a transposed convolution to s times the samples is then one to s times the channels, and
the convolution of doubled samples is one of half as many, so that nothing is copied between layers.

Shapes: B rows (one a channel of a song), n samples of a layer, T latents (25 Hz), C channels in, N out, K taps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from heartlib.heartcodec.kernels.convolution import convolve, tile_of
from heartlib.heartcodec.models.sq_codec import DecoderBlock, PostProcessor, ResidualUnit


@dataclass(frozen=True)
class Layer:
    """A convolution [K, C, N], what activates it, and to how many samples each of its frames unfolds."""

    weight: Tensor
    bias: Tensor  # float32 [N]
    slope: Tensor | None = None  # float32 [1]
    dilation: int = 1
    ahead: int = 0
    unfold: int = 1

    def __call__(self, x: Tensor, base: Tensor | None = None, *, last: bool = False) -> Tensor:
        """x [B, n, C] (+ base, overwritten) → [B, unfold · n, N / unfold], float32 where it is the last."""
        made = convolve(
            x,
            self.weight,
            self.bias,
            dilation=self.dilation,
            ahead=self.ahead,
            slope=self.slope,
            base=base,
            dtype=torch.float32 if last else x.dtype,
            out=base,
        )
        return made.unflatten(-1, (self.unfold, -1)).flatten(1, 2)

    def first_call(self, *, added: bool, last: bool) -> None:
        """A call with one frame, where a base is `added` or not."""
        _, channels_in, channels_out = self.weight.shape
        x, base = (self.weight.new_zeros(1, 1, size) for size in (channels_in, channels_out))
        self(x, base if added else None, last=last)

    def to(self, dtype: torch.dtype) -> Layer:
        return replace(self, weight=self.weight.to(dtype).contiguous())


def plain(conv: nn.Module, activation: nn.PReLU | None = None) -> Layer:
    """A convolution, causal but for its own padding on both sides."""
    assert isinstance(conv, nn.Conv1d) and conv.bias is not None
    padding = conv.padding[0]
    assert isinstance(padding, int)
    taps = conv.kernel_size[0]
    slope = None if activation is None else activation.weight.float()
    ahead = taps - 1 - padding if padding else 0
    return Layer(
        conv.weight.permute(2, 1, 0), conv.bias.float(), slope, conv.dilation[0], ahead=ahead
    )


def unfolded(conv: nn.Module) -> Layer:
    """A transposed convolution of stride s ≤ kernel without its tail: frames of s samples each."""
    assert isinstance(conv, nn.ConvTranspose1d) and conv.bias is not None
    stride, kernel = conv.stride[0], conv.kernel_size[0]
    taps = -(-kernel // stride)
    weight = conv.weight.new_zeros(taps * stride, *conv.weight.shape[:2])  # [k, C, N]
    weight[:kernel] = conv.weight.permute(2, 0, 1)
    weight = weight.unflatten(0, (taps, stride)).flip(0)  # the newest frame comes last
    weight = weight.permute(0, 2, 1, 3).flatten(2)  # [K, C, s · N]
    return Layer(weight, conv.bias.float().repeat(stride), unfold=stride)


def repeated(post: PostProcessor) -> Layer:
    """The convolution of samples that each come `num_samples` times, from the samples themselves."""
    conv, times = post.conv, post.num_samples
    assert conv.bias is not None
    kernel = conv.kernel_size[0]
    taps = -(-(kernel - 1) // times) + 1
    weight = conv.weight.new_zeros(taps, conv.in_channels, times, conv.out_channels)
    for place in range(times):
        for tap in range(kernel):
            frame = (place - (kernel - 1 - tap)) // times  # 0 is the newest
            weight[taps - 1 + frame, :, place] += conv.weight[:, :, tap].T
    bias, slope = conv.bias.float().repeat(times), post.activation.weight.float()
    return Layer(weight.flatten(2), bias, slope, unfold=times)


class FusedDecoder:
    """Rounded latents to the waveform, from weights that no longer change."""

    def __init__(self, decoder: nn.Sequential, dtype: torch.dtype):
        first, *blocks, post, last = decoder
        assert isinstance(post, PostProcessor)
        self.dtype = dtype
        self.first = plain(first).to(dtype)
        self.blocks: list[tuple[Layer, list[tuple[Layer, Layer]]]] = []
        for block in blocks:
            assert isinstance(block, DecoderBlock)
            units = [
                (
                    plain(unit.conv1, unit.activation1).to(dtype),
                    plain(unit.conv2, unit.activation2).to(dtype),
                )
                for unit in block.convs
                if isinstance(unit, ResidualUnit)
            ]
            self.blocks.append((unfolded(block.up_conv.layer).to(dtype), units))
        self.post, self.last = repeated(post).to(dtype), plain(last).to(dtype)

    def __call__(self, latents: Tensor) -> Tensor:
        """Rounded latents [B, T, 128] → 48 kHz audio float32 [B, 1, n]."""
        x = self.first(latents.to(self.dtype).contiguous())
        for up, units in self.blocks:
            x = up(x)
            for wide, narrow in units:
                x = narrow(wide(x), x)
        return self.last(self.post(x), last=True).transpose(1, 2)

    def first_calls(self) -> list[Callable[[], object]]:
        """Each kernel once, with next to nothing to do: Triton compiles it then."""
        calls = {}
        for layer, added in self._layers():
            last = layer is self.last
            call = partial(layer.first_call, added=added, last=last)
            whole = tuple(size % 16 == 0 for size in layer.weight.shape[1:])  # compiled apart
            calls.setdefault((tile_of(layer.weight), whole, added, last), call)
        return list(calls.values())

    def _layers(self) -> Iterator[tuple[Layer, bool]]:
        """All layers, and whether each adds to what there is."""
        yield self.first, False
        for up, units in self.blocks:
            yield up, False
            for wide, narrow in units:
                yield wide, False
                yield narrow, True
        yield self.post, False
        yield self.last, False
