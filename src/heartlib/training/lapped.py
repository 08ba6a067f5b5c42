"""Start the scalar codec as a lapped transform.

A codec of random weights must discover by gradient how to carry phase through five strided convolutions,
which takes longer than a short training has. These weights carry it from the first step: the encoder's
first four strides only rearrange samples into channels, the fifth is a modified discrete cosine transform
of 80 ms windows 40 ms apart (Princen and Bradley 1987), the latents are its lowest coefficients, and the
decoder is its inverse. Residual units add almost nothing and PReLUs outside them are straight, so that the
network is linear; channels the transform does not need are random. Training makes the rest of it.

Legend: H samples (24 kHz) a latent, R samples a frame of the last stage, s stride of a stage, k coefficient.
"""

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from heartlib.heartcodec.models.analysis import COEFFICIENTS, SCALE, mdct
from heartlib.heartcodec.models.sq_codec import SQCodec

SPARE = 0.02  # weights from random channels into the transform's
RESIDUAL = 0.02  # output of the residual units, relative to their input
DEVIATION = 0.35  # of a latent before tanh


def set_weight(conv: nn.Module, weight: Tensor) -> None:
    """Set a convolution's weight, under weight norm or not; its bias to zero."""
    if parametrize.is_parametrized(conv, "weight"):
        conv.weight = weight.detach()  # type: ignore[assignment]
    else:
        conv.weight.copy_(weight)  # type: ignore[operator]
    if conv.bias is not None:
        conv.bias.zero_()  # type: ignore[operator]


def noise(conv: nn.Module, gain: float = 1.0) -> Tensor:
    """A random weight that keeps a signal's size, times `gain`."""
    taps = conv.in_channels * conv.kernel_size[0]  # type: ignore[operator]
    if isinstance(conv, nn.ConvTranspose1d):
        taps = taps / conv.stride[0]
    return torch.randn_like(conv.weight) * gain * taps**-0.5  # type: ignore[arg-type]


@torch.no_grad()
def start_lapped(codec: SQCodec, wave: Tensor, coefficients: int = 64) -> None:
    """Set every weight; rows [B, 1, n] tell how strong each coefficient is in music.

    64 coefficients carry what lies below 800 Hz and leave half of the latents for the rest. A codec of
    `heartlib.heartcodec.models.analysis` has that one's coefficients, and only its decoder is set.

    ValueError where the codec is too narrow to hold a sample a channel (init_channel below 12 at
    the published strides).
    """
    factors = codec.config.downsample_factors
    frame = math.prod(factors[:-1])  # R
    hop = frame * factors[-1]  # H
    analysed = codec.config.scalar_encoder == "analysis"
    coefficients = COEFFICIENTS if analysed else coefficients
    width = codec.config.init_channel
    if width * 2 ** (len(factors) - 1) < frame or coefficients > codec.config.latent_hidden_dim:
        raise ValueError(
            f"init_channel {width} is too narrow for a lapped transform of {coefficients} coefficients"
        )
    for name, module in codec.named_modules():
        if ".convs." in name and isinstance(module, nn.Conv1d):
            set_weight(module, noise(module, 1.4 if name.endswith("conv1") else RESIDUAL))
        elif ".convs." not in name and isinstance(module, nn.PReLU):
            module.weight.fill_(1.0)
    _decoder(codec, frame, hop, coefficients)
    first = cast(Any, codec.decoder[0])
    if analysed:
        weight = first.weight.clone()
        weight[:coefficients, :coefficients] /= SCALE
        set_weight(first, weight)
        return
    _encoder(codec, frame, hop, min(2 * coefficients, width * 2 ** len(factors)))
    strength = codec.encoder(wave).std((0, 2)).clamp_min(1e-5)  # [128]
    strength[coefficients:] /= strength[coefficients:].mean() / strength[coefficients:]
    scale = DEVIATION / strength
    last = cast(Any, codec.encoder[-1])
    set_weight(last, last.weight * scale[:, None, None])
    weight = first.weight.clone()
    weight[:coefficients, :coefficients] /= scale[:coefficients, None]
    set_weight(first, weight)


def _encoder(codec: SQCodec, frame: int, hop: int, count: int) -> None:
    """Samples to channels, then the transform; its first coefficients become the latents."""
    first, pre, *blocks, last = cast(list[Any], list(codec.encoder))
    for conv in (first, pre.conv):
        weight = noise(conv)
        weight[0] = 0.0
        weight[0, 0, -1] = 1.0
        set_weight(conv, weight)
    held = 1
    for block in blocks[:-1]:
        conv = block.down_conv.layer
        stride, weight = conv.stride[0], noise(conv)
        weight[: stride * held] = 0.0
        for offset in range(stride):
            for channel in range(held):
                weight[offset * held + channel, channel, stride + offset] = 1.0
        set_weight(conv, weight)
        held *= stride
    conv = blocks[-1].down_conv.layer
    weight = noise(conv)
    weight[:count] = 0.0
    basis = mdct(hop, count).to(weight.device)
    weight[:count, :frame] = basis.unflatten(1, (-1, frame)).transpose(1, 2)  # [k, R, taps]
    set_weight(conv, weight)
    weight = noise(last)
    kept = min(count // 2, weight.shape[0])
    weight[:kept] = 0.0
    weight[range(kept), range(kept), -1] = 1.0
    set_weight(last, weight)


def _decoder(codec: SQCodec, frame: int, hop: int, count: int) -> None:
    """The transform's inverse from the latents two ahead, then channels to samples."""
    first, *blocks, post, last = cast(list[Any], list(codec.decoder))
    weight = noise(first)
    weight[:count] = 0.0
    weight[range(count), range(count), -1] = 1.0
    set_weight(first, weight)
    conv = blocks[0].up_conv.layer
    weight = noise(conv, SPARE)
    weight[:count] = 0.0
    basis = mdct(hop, count).to(weight.device)
    weight[:count, :frame] = basis.unflatten(1, (-1, frame)).transpose(1, 2)
    set_weight(conv, weight)
    held = frame
    for block in blocks[1:]:
        conv = block.up_conv.layer
        stride, weight = conv.stride[0], noise(conv)
        held //= stride
        weight[:, :held] *= SPARE
        weight[: stride * held] = 0.0
        for offset in range(stride):
            for channel in range(held):
                weight[offset * held + channel, channel, offset] = 1.0
        set_weight(conv, weight)
    weight = noise(post.conv)
    weight[0] *= SPARE
    weight[0, 0] = 0.0
    delay = codec.config.num_samples  # the encoder's blocks end one 24 kHz sample late
    weight[0, 0, -1 - delay] = 0.5
    weight[0, 0, -2 - delay] = weight[0, 0, -delay] = 0.25  # smooths the repeated samples
    set_weight(post.conv, weight)
    weight = noise(last, SPARE)
    weight[0, 0] = 0.0
    weight[0, 0, -1] = 1.0
    set_weight(last, weight)
