"""Four streams of features into one vector a code frame, by learned queries.

Shapes: T latent frames (25 Hz), T / 2 code frames (12.5 Hz), N = 3·T / 2 tokens, W width, H heads.
After every two latent frames stands a query; its output is the frame's feature. Attention is full.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from heartlib.heartcodec.configuration_heartcodec import LATENTS_PER_FRAME

HEAD_WIDTH = 128
ROTARY_WIDTH = 64  # the first channels of a head
LAYERS = 6


def rotate_halves(x: Tensor, angles: Tensor) -> Tensor:
    """Turn the first channels of x [..., N, C] by angles [N, R / 2]: pairs (i, i + R / 2), in float32."""
    half = angles.shape[-1]
    first, second = x[..., :half].float(), x[..., half : 2 * half].float()
    cos, sin = angles.cos(), angles.sin()
    turned = torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
    return torch.cat((turned.to(x.dtype), x[..., 2 * half :]), dim=-1)


class Rotary(nn.Module):
    """The frequencies, stored with each block."""

    inv_freq: Tensor

    def __init__(self) -> None:
        super().__init__()
        with torch.device("cpu"):
            power = torch.arange(0, ROTARY_WIDTH, 2, dtype=torch.float32) / ROTARY_WIDTH
        self.register_buffer("inv_freq", 10_000.0**-power)

    def forward(self, length: int) -> Tensor:  # → [N, R / 2]
        frequency = self.inv_freq.float()
        return torch.arange(length, device=frequency.device)[:, None] * frequency


class QueryAttention(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.to_qkv = weight_norm(nn.Linear(width, 3 * width, bias=False))
        self.to_out = weight_norm(nn.Linear(width, width, bias=False))
        self.q_norm = nn.LayerNorm(HEAD_WIDTH)
        self.k_norm = nn.LayerNorm(HEAD_WIDTH)

    def forward(self, x: Tensor, angles: Tensor) -> Tensor:  # [N, W] → [N, W]
        q, k, v = self.to_qkv(x).unflatten(-1, (3, -1, HEAD_WIDTH)).permute(1, 2, 0, 3)  # [H, N, C]
        q, k = (rotate_halves(y, angles) for y in (self.q_norm(q), self.k_norm(k)))
        y = F.scaled_dot_product_attention(q[None], k[None], v[None])[0]
        return self.to_out(y.transpose(0, 1).flatten(1))


class SigmoidGate(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.proj = weight_norm(nn.Linear(width, 2 * hidden))

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * gate.sigmoid()


class GatedFeedForward(nn.Module):
    """Holds `ff`, the published name."""

    def __init__(self, width: int):
        super().__init__()
        out = weight_norm(nn.Linear(4 * width, width))
        self.ff = nn.Sequential(SigmoidGate(width, 4 * width), nn.Identity(), out)

    def forward(self, x: Tensor) -> Tensor:
        return self.ff(x)


class LayerScale(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.scale = nn.Parameter(torch.full((width,), 1e-2))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class FusionBlock(nn.Module):
    """Attention and feed-forward without norms before them: their weights are normed instead."""

    def __init__(self, width: int):
        super().__init__()
        self.self_attn = QueryAttention(width)
        self.self_attn_scale = LayerScale(width)
        self.ff = GatedFeedForward(width)
        self.ff_scale = LayerScale(width)
        self.rope = Rotary()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn_scale(self.self_attn(x, self.rope(len(x))))
        return x + self.ff_scale(self.ff(x))


class FeatureFusion(nn.Module):
    """Acoustic, semantic, Whisper's and WavLM's features [T, …], T even → features [T / 2, W]."""

    def __init__(self, width: int, mu_width: int, speech_width: int):
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, width) * 0.02)
        self.cond_fusion_layer_semantic = nn.Linear(2 * mu_width, width)
        self.cond_fusion_layer_acoustic = nn.Linear(2 * mu_width, width)
        self.cond_fusion_layer_phone = nn.Linear(2 * speech_width, width)
        self.feature_proj = nn.Linear(3 * width + 2 * speech_width, width)
        self.encoder_transformers = nn.ModuleList(FusionBlock(width) for _ in range(LAYERS))

    def forward(self, acoustic: Tensor, semantic: Tensor, whisper: Tensor, wavlm: Tensor) -> Tensor:
        parts = (
            self.cond_fusion_layer_acoustic(acoustic),
            self.cond_fusion_layer_semantic(semantic),
            whisper,
            self.cond_fusion_layer_phone(wavlm),
        )
        pairs = self.feature_proj(torch.cat(parts, dim=-1)).unflatten(0, (-1, LATENTS_PER_FRAME))
        query = self.cls_token.expand(len(pairs), 1, -1)
        x = torch.cat((pairs, query), dim=1).flatten(0, 1)  # [N, W]
        for block in self.encoder_transformers:
            x = block(x)
        return x[LATENTS_PER_FRAME :: LATENTS_PER_FRAME + 1]
