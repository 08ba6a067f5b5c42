"""The configuration of HeartCodec, with the published field names."""

import math
import operator
from dataclasses import asdict, dataclass, fields
from typing import Any

FRAME_RATE = 12.5  # frames of codes a second
LATENTS_PER_FRAME = 2  # 25 Hz
CHANNELS = 2  # stereo


@dataclass(frozen=True)
class HeartCodecConfig:
    """Defaults are the published full-size codec.

    The estimator reads [x | context | condition], so in_channels = 2·out_channels + dim; the scalar
    codec has out_channels / 2 latent channels for each of the two audio channels.
    """

    dim: int = 512
    codebook_size: int = 8192
    codebook_dim: int = 32
    num_quantizers: int = 8
    decay: float = 0.9
    commitment_weight: float = 1.0
    threshold_ema_dead_code: int = 2
    use_cosine_sim: bool = False
    attention_head_dim: int = 64
    in_channels: int = 1024
    norm_type: str = "ada_norm_single"
    num_attention_heads: int = 24
    num_layers: int = 24
    num_layers_2: int = 6
    out_channels: int = 256
    num_bands: int = 1
    sample_rate: int = 48_000
    causal: bool = True
    num_samples: int = 2
    downsample_factors: tuple[int, ...] = (3, 4, 4, 4, 5)
    downsample_kernel_sizes: tuple[int, ...] = (6, 8, 8, 8, 10)
    upsample_factors: tuple[int, ...] = (5, 4, 4, 4, 3)
    upsample_kernel_sizes: tuple[int, ...] = (10, 8, 8, 8, 6)
    latent_hidden_dim: int = 128
    default_kernel_size: int = 7
    delay_kernel_size: int = 5
    init_channel: int = 64
    res_kernel_size: int = 7
    scalar_encoder: str = "learned"  # or "analysis": fixed, see models/analysis.py
    num_steps: int = 10  # of the flow matching, unless asked for otherwise
    guidance_scale: float = 1.25  # likewise
    guidance_from: float = 0.0  # time of the flow, 0 … 1, before which there is no guidance

    def __post_init__(self) -> None:
        if self.in_channels != 2 * self.out_channels + self.dim:
            raise ValueError(
                f"in_channels {self.in_channels} must be 2·out_channels + dim "
                f"= {2 * self.out_channels + self.dim}"
            )
        if self.out_channels != CHANNELS * self.latent_hidden_dim:
            raise ValueError(
                f"out_channels {self.out_channels} must be {CHANNELS}·latent_hidden_dim "
                f"= {CHANNELS * self.latent_hidden_dim}"
            )
        if self.norm_type != "ada_norm_single" or self.use_cosine_sim or not self.causal:
            raise ValueError(
                "only norm_type 'ada_norm_single', Euclidean codebooks and causal: true"
            )
        if self.attention_head_dim % 2:
            raise ValueError(f"attention_head_dim {self.attention_head_dim} must be even")
        down = (self.downsample_factors, self.downsample_kernel_sizes)
        up = (self.upsample_factors, self.upsample_kernel_sizes)
        for factors, kernels in (down, up):
            if len(factors) != len(kernels) or any(map(operator.gt, factors, kernels)):
                raise ValueError(
                    f"factors {factors} and kernel sizes {kernels} must pair up, kernel ≥ factor"
                )
        if math.prod(self.downsample_factors) != math.prod(self.upsample_factors):
            raise ValueError(
                f"down {self.downsample_factors} and up {self.upsample_factors} must cancel out"
            )
        if self.delay_kernel_size % 2 == 0:
            raise ValueError(f"delay_kernel_size must be odd, not {self.delay_kernel_size}")
        if self.scalar_encoder not in ("learned", "analysis"):
            raise ValueError(
                f"scalar_encoder {self.scalar_encoder!r} is neither learned nor analysis"
            )
        if self.num_steps < 1:
            raise ValueError(f"num_steps must be at least 1, not {self.num_steps}")
        if not 1 <= self.guidance_scale < math.inf:
            raise ValueError(f"guidance_scale must be 1 or more, not {self.guidance_scale}")
        if not 0 <= self.guidance_from < 1:
            raise ValueError(f"guidance_from must be 0…1, not {self.guidance_from}")
        if self.init_channel < 1:
            raise ValueError(f"init_channel must be at least 1, not {self.init_channel}")

    @property
    def samples_per_latent(self) -> int:
        """1,920 at full size: 48 kHz over 25 Hz."""
        return self.num_samples * math.prod(self.upsample_factors)

    @property
    def samples_per_frame(self) -> int:
        """3,840: one frame of codes is 80 ms of 48 kHz audio."""
        return LATENTS_PER_FRAME * self.samples_per_latent

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "HeartCodecConfig":
        """From the object in config.json; fields we do not know are ignored."""
        known = {f.name for f in fields(cls)}
        pick: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k in known
        }
        return cls(**pick)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"model_type": "heartcodec", "architectures": ["HeartCodec"]}
