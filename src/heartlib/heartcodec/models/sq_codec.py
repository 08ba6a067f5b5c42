"""The scalar codec of HeartCodec: 48 kHz mono audio <-> 25 Hz latents of 128 numbers in [-1, 1].

Legend: B rows (one a channel of a song), n samples at 48 kHz, T latents at 25 Hz, C channels of a layer.
Everything is causal but the decoder's first convolution, which looks `delay_kernel_size // 2` latents ahead.
"""

import math
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

from heartlib.heartcodec.configuration_heartcodec import HeartCodecConfig
from heartlib.heartcodec.models.analysis import analyse, match_levels

Module = TypeVar("Module", bound=nn.Module)
DILATIONS = (1, 3, 5, 7, 9)
LEVELS = 9  # a latent is rounded to a multiple of 1/9
CHUNK_SAMPLES = (
    49152  # audio decoded at once in the wide stages on a CPU: their layers then fit its cache
)
GPU_CHUNK_SAMPLES = 2**18  # likewise on a GPU, where it bounds memory


def stage_lookbehind(config: HeartCodecConfig, block: int) -> int:
    """Samples at the input of decoder block `block` that its output's audio reaches back."""
    needed = math.ceil(2 * (config.default_kernel_size - 1) / config.num_samples)  # the last layers
    for factor, kernel in reversed(
        list(zip(config.upsample_factors, config.upsample_kernel_sizes, strict=True))[block:]
    ):
        needed += sum(DILATIONS) * (config.res_kernel_size - 1)
        needed = math.ceil((needed + kernel - factor) / factor)
    return needed


class CausalConv1d(nn.Conv1d):
    """A convolution that sees no sample after its own: dilation * (kernel - 1) zeros on the left."""

    def forward(self, input: Tensor) -> Tensor:
        left = self.dilation[0] * (self.kernel_size[0] - 1)
        return super().forward(F.pad(input, (left, 0)) if left else input)


class PointwiseConv1d(nn.Conv1d):
    """A convolution of kernel 1. On a CPU as a matrix product: oneDNN's is up to 30 times slower here."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def forward(self, input: Tensor) -> Tensor:
        if input.device.type != "cpu" or self.bias is None:
            return super().forward(input)
        weight = self.weight[:, :, 0].expand(input.shape[0], -1, -1)  # [B, C_out, C_in]
        return torch.baddbmm(self.bias[:, None], weight, input)


class CausalConvTranspose1d(nn.ConvTranspose1d):
    """Transposed convolution to exactly `stride` times the length; the samples of the tail are dropped."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        return super().forward(input)[..., : input.shape[-1] * self.stride[0]]


class ResidualUnit(nn.Module):
    """x + PReLU(conv1(PReLU(conv7(x)))), the wide convolution dilated."""

    def __init__(self, channels: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = weight_norm(CausalConv1d(channels, channels, kernel_size, dilation=dilation))
        self.activation1 = nn.PReLU()
        self.conv2 = weight_norm(PointwiseConv1d(channels, channels))
        self.activation2 = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.activation2(self.conv2(self.activation1(self.conv1(x))))  # [B, C, n]


class Downsample(nn.Module):
    """Strided convolution and PReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, factor: int) -> None:
        super().__init__()
        self.layer = weight_norm(
            CausalConv1d(in_channels, out_channels, kernel_size, stride=factor)
        )
        self.activation = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.layer(x))  # [B, C_out, n / factor]


class Upsample(nn.Module):
    """Transposed convolution, without activation."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, factor: int) -> None:
        super().__init__()
        self.layer = weight_norm(
            CausalConvTranspose1d(in_channels, out_channels, kernel_size, stride=factor)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)  # [B, C_out, n * factor]


def residual_units(channels: int, kernel_size: int) -> nn.ModuleList:
    """The five units of a block, dilations 1, 3, 5, 7, 9."""
    return nn.ModuleList(ResidualUnit(channels, kernel_size, d) for d in DILATIONS)


class EncoderBlock(nn.Module):
    """Residual units, then a strided convolution to twice the channels."""

    def __init__(self, channels: int, kernel_size: int, factor: int, res_kernel_size: int) -> None:
        super().__init__()
        self.convs = residual_units(channels, res_kernel_size)
        self.down_conv = Downsample(channels, 2 * channels, kernel_size, factor)

    def forward(self, x: Tensor) -> Tensor:
        for unit in self.convs:
            x = unit(x)
        return self.down_conv(x)


class DecoderBlock(nn.Module):
    """A transposed convolution to half the channels, then residual units."""

    def __init__(self, channels: int, kernel_size: int, factor: int, res_kernel_size: int) -> None:
        super().__init__()
        self.up_conv = Upsample(channels, channels // 2, kernel_size, factor)
        self.convs = residual_units(channels // 2, res_kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up_conv(x)
        for unit in self.convs:
            x = unit(x)
        return x


class PreProcessor(nn.Module):
    """Convolution, PReLU, and the average of every `num_samples` samples."""

    def __init__(self, channels: int, num_samples: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = CausalConv1d(channels, channels, kernel_size)
        self.activation = nn.PReLU()
        self.num_samples = num_samples

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool1d(self.activation(self.conv(x)), self.num_samples)


class PostProcessor(nn.Module):
    """Every sample `num_samples` times, convolution, PReLU."""

    def __init__(self, channels: int, num_samples: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = CausalConv1d(channels, channels, kernel_size)
        self.activation = nn.PReLU()
        self.num_samples = num_samples

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.conv(x.repeat_interleave(self.num_samples, dim=-1)))


def build_encoder(config: HeartCodecConfig) -> nn.Sequential:
    """Waveform [B, 1, n] -> latents before tanh [B, 128, T]."""
    width, kernel = config.init_channel, config.default_kernel_size
    layers: list[nn.Module] = [
        weight_norm(CausalConv1d(config.num_bands, width, kernel)),
        PreProcessor(width, config.num_samples, kernel),
    ]
    for factor, size in zip(config.downsample_factors, config.downsample_kernel_sizes, strict=True):
        layers.append(EncoderBlock(width, size, factor, config.res_kernel_size))
        width *= 2
    layers.append(weight_norm(CausalConv1d(width, config.latent_hidden_dim, kernel)))
    return nn.Sequential(*layers)


def build_decoder(config: HeartCodecConfig) -> nn.Sequential:
    """Quantised latents [B, 128, T] -> waveform [B, 1, n]."""
    width = config.init_channel * 2 ** len(config.upsample_factors)
    delay, kernel = config.delay_kernel_size, config.default_kernel_size
    layers: list[nn.Module] = [
        weight_norm(nn.Conv1d(config.latent_hidden_dim, width, delay, padding=delay // 2))
    ]
    for factor, size in zip(config.upsample_factors, config.upsample_kernel_sizes, strict=True):
        layers.append(DecoderBlock(width, size, factor, config.res_kernel_size))
        width //= 2
    layers.append(PostProcessor(width, config.num_samples, kernel))
    layers.append(weight_norm(CausalConv1d(width, config.num_bands, kernel)))
    return nn.Sequential(*layers)


def round_latents(latents: Tensor) -> Tensor:
    """Nearest multiple of 1/9; the gradient passes straight through."""
    rounded = torch.round(LEVELS * latents) / LEVELS
    if latents.requires_grad:
        return latents + (rounded - latents).detach()
    return rounded


def fold_weight_norm(module: Module) -> Module:
    """Replace every g * v / |v| under `module` by its value, in place: for inference, once, after loading."""
    for part in module.modules():
        if parametrize.is_parametrized(part, "weight"):
            parametrize.remove_parametrizations(part, "weight", leave_parametrized=True)
    return module


class SQCodec(nn.Module):
    """The scalar codec of HeartCodec (arXiv 2601.10547): encoder, rounding, decoder.

    Rows are independent mono signals; n must be a multiple of `config.samples_per_latent` for encode.
    A codec that was loaded to decode has no learned encoder. One whose latents are a fixed analysis (`analysis`)
    never has, and its bands are made as loud as its latents say.
    """

    encoder: Any  # nn.Sequential, or None

    def __init__(self, config: HeartCodecConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = build_encoder(config) if config.scalar_encoder == "learned" else None
        self.decoder = build_decoder(config)

    @property
    def analysed(self) -> bool:
        """Whether its latents are a fixed analysis of the audio."""
        return self.config.scalar_encoder == "analysis"

    @property
    def lookahead(self) -> int:
        """Latents after an instant that its samples depend on."""
        return self.config.delay_kernel_size // 2

    @property
    def lookbehind(self) -> int:
        """Latents before an instant that its samples depend on, rounded up."""
        return stage_lookbehind(self.config, 0) + self.config.delay_kernel_size // 2

    def encode(self, wave: Tensor) -> Tensor:
        """48 kHz audio [B, 1, n] -> latents in [-1, 1], not yet rounded [B, 128, n / hop]."""
        if wave.shape[-1] % self.config.samples_per_latent:
            raise ValueError(
                f"{wave.shape[-1]} samples are not a multiple of {self.config.samples_per_latent}: pad the audio"
            )
        if self.analysed:
            return analyse(wave)
        if self.encoder is None:
            raise ValueError("this scalar codec was loaded without its encoder")
        return torch.tanh(self.encoder(wave))

    def quantise(self, latents: Tensor) -> Tensor:
        """Latents -> the nearest multiples of 1/9, same shape; straight-through gradient."""
        return round_latents(latents)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [B, 128, T], rounded here if they are not -> 48 kHz audio [B, 1, T * hop]."""
        rounded = self.quantise(latents)
        if torch.is_grad_enabled():
            made = self.decoder(rounded)
        else:
            made = self._decode_in_chunks(rounded)
        return match_levels(made, latents) if self.analysed else made

    def _decode_in_chunks(self, latents: Tensor) -> Tensor:
        """The same audio in a fraction of time and memory: the last two blocks run piece by piece.

        They are causal, so that a piece needs only `stage_lookbehind` samples before it.
        """
        block = max(len(self.config.upsample_factors) - 2, 0)
        narrow, wide = self.decoder[: 1 + block], self.decoder[1 + block :]
        hidden = narrow(latents)  # [B, C, m]
        up = self.config.num_samples * math.prod(self.config.upsample_factors[block:])
        samples = CHUNK_SAMPLES if latents.device.type == "cpu" else GPU_CHUNK_SAMPLES
        before, chunk = stage_lookbehind(self.config, block), max(samples // up, 1)
        audio = hidden.new_empty(hidden.shape[0], self.config.num_bands, hidden.shape[-1] * up)
        for start in range(0, hidden.shape[-1], chunk):
            first = max(start - before, 0)
            piece = wide(hidden[..., first : start + chunk])
            audio[..., start * up : (start + chunk) * up] = piece[..., (start - first) * up :]
        return audio

    def forward(self, wave: Tensor) -> Tensor:
        """Audio [B, 1, n] -> its reconstruction, same shape."""
        return self.decode(self.encode(wave))
