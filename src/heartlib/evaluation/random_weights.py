"""Models of any shape with random weights, made on the device: to measure speed where no checkpoint is at hand.

Legend: D backbone width, E depth width, K codebooks, V audio vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from heartlib.heartcodec import HeartCodec, HeartCodecConfig
from heartlib.heartcodec.models.sq_codec import fold_weight_norm
from heartlib.heartcodec.precision import dtype_of_parts
from heartlib.heartmula import HeartMuLa, HeartMuLaConfig
from heartlib.shapes import shapes_alone

STEP = 0.02  # deviation of the language model's matrices
SPREAD = 0.5  # of the codec's noise and of what its flow adds: latents of 0.7, about as real ones


@torch.no_grad()
def random_mula(
    config: HeartMuLaConfig,
    device: torch.device,
    dtype: torch.dtype,
    quantization: str | None = None,
    *,
    known: int = 8192,
    seed: int = 0,
) -> HeartMuLa:
    """A language model of random weights: matrices normal(0, 0.02), norms one, biases zero.

    The heads' rows of codes >= `known` are zero: far below the likeliest, so that no song ends by itself. Weights are drawn
    in bfloat16 whatever the dtype and quantization, one after the other: the same seed gives the same numbers in all of
    them, and a quantized model never needs the memory of a whole one. UsageError where a matrix cannot be quantized.
    """
    with shapes_alone():
        model = HeartMuLa(config)
    take = None
    if quantization is not None:
        from heartlib.heartmula.weights import Quantizer

        take = Quantizer(model, quantization, device, dtype)
    for index, (name, parameter) in enumerate(list(model.named_parameters())):
        tensor = _drawn(name, parameter, device, seed * 4096 + index)
        if name == "codebook0_head.weight":  # [V, D]
            tensor[known:] = 0
        elif name == "audio_head":  # [K−1, E, V]
            tensor[..., known:] = 0
        if take is not None and take(name, tensor):
            continue
        path, _, last = name.rpartition(".")
        setattr(model.get_submodule(path), last, nn.Parameter(tensor.to(dtype)))
    model.eval().requires_grad_(False)
    model.use_kernels()
    return model


def _drawn(name: str, parameter: Tensor, device: torch.device, seed: int) -> Tensor:
    """One parameter's numbers, in bfloat16."""
    tensor = torch.empty(parameter.shape, device=device, dtype=torch.bfloat16)
    if parameter.ndim == 1:
        return tensor.fill_(0.0 if name.endswith(".bias") else 1.0)
    return tensor.normal_(0, STEP, generator=torch.Generator(device).manual_seed(seed))


@torch.no_grad()
def random_codec(config: HeartCodecConfig, device: torch.device, seed: int = 0) -> HeartCodec:
    """A float32 codec of random weights for decoding, its weight norm folded.

    They are scaled so that latents spread as real ones do: their rounding to 1/9 then costs what it costs there. With
    noise of deviation `SPREAD` its sound can be compared.
    """
    codec = _shapes(config)
    codec.to_empty(device=device)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        _fill(codec)
        codec.eval().requires_grad_(False)
        shape = (1, config.num_quantizers, 64)
        codes = torch.randint(0, config.codebook_size, shape, device=device)
        noise = SPREAD * torch.randn(1, 128, config.out_channels, device=device)
    added = codec.flow_matching.sample(codes, noise, num_steps=4) - noise
    last = codec.flow_matching.estimator.proj_out.ffn_2
    for tensor in (last.weight, last.bias):
        tensor.mul_(SPREAD / added.std())
    return codec


def _fill(codec: HeartCodec) -> None:
    """Draws every weight; each layer's deviation leaves its output about as large as its input."""
    for name, module in codec.named_modules():
        if isinstance(module, (nn.Linear, nn.Conv1d, nn.ConvTranspose1d)):
            fan = module.weight[0].numel()
            if isinstance(module, nn.ConvTranspose1d):
                fan = module.in_channels * module.kernel_size[0] / module.stride[0]
            gain = {"ffn_2": 3**0.5, "conv2": 0.4, "conv1": 1.2}.get(name.rsplit(".", 1)[-1], 1.0)
            if name.endswith(("adaln_single.linear", "adaln_single_2.linear")):
                gain = 0.3
            module.weight.normal_(0, gain * fan**-0.5)
            if module.bias is not None:
                module.bias.normal_(0, 0.02)
        elif isinstance(module, nn.RMSNorm):
            module.weight.normal_(1, 0.1)
        elif isinstance(module, nn.PReLU):
            module.weight.fill_(0.25)
    for name, tensor in [*codec.named_parameters(), *codec.named_buffers()]:
        if "scale_shift_table" in name:
            tensor.normal_(0, 0.1)
        elif name.endswith(".embed"):
            tensor.normal_(0, codec.config.num_quantizers**-0.5)
        elif name.endswith(("embed_avg", "cluster_size", "zero_cond_embedding1", "initted")):
            tensor.zero_()


def _shapes(config: HeartCodecConfig) -> HeartCodec:
    with shapes_alone():
        codec = HeartCodec(config)
        codec.scalar_model.encoder = None
    fold_weight_norm(codec.scalar_model)
    return codec


def codec_weights(codec: HeartCodec, dtype: torch.dtype) -> dict[str, Tensor]:
    """A float32 codec's weights on the CPU, as `HeartCodec.from_pretrained` would load them in `dtype`."""
    kind = dtype_of_parts(dtype)
    return {
        name: (tensor.to(kind(name)) if tensor.is_floating_point() else tensor).cpu()
        for name, tensor in codec.state_dict().items()
    }


@torch.no_grad()
def codec_of(
    config: HeartCodecConfig, weights: dict[str, Tensor], device: torch.device
) -> HeartCodec:
    """A codec of these weights, copied to the device tensor by tensor, as if read from a file."""
    codec = _shapes(config)
    codec.load_state_dict({n: t.to(device) for n, t in weights.items()}, assign=True)
    return codec.eval().requires_grad_(False)
