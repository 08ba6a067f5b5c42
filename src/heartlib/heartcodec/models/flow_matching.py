"""Codes to latents: the flow-matching decoder of HeartCodec.

Shapes: B windows, K codebooks, T frames (12.5 Hz), 2T latent frames (25 Hz), 256 latent channels.
Source: HeartMuLa (arXiv 2601.10547); guidance and context as in the published decoder.
"""

import torch
from torch import Tensor, nn

from heartlib.heartcodec.configuration_heartcodec import HeartCodecConfig
from heartlib.heartcodec.models.residual_vq import ResidualVQ
from heartlib.heartcodec.models.transformer import Estimator

SIGMA_MIN = 1e-6


def noised_context(context: Tensor, noise: Tensor, t: float) -> Tensor:
    """Where context latents stand at time t of the flow: (1 − (1 − σ)t)·noise + t·context."""
    return (1 - (1 - SIGMA_MIN) * t) * noise + t * context


class FlowMatching(nn.Module):
    """Residual codebooks, the condition they make and the estimator that follows it."""

    def __init__(self, config: HeartCodecConfig):
        super().__init__()
        self.vq_embed = ResidualVQ(
            config.dim, config.codebook_size, config.codebook_dim, config.num_quantizers
        )
        self.cond_feature_emb = nn.Linear(config.dim, config.dim)
        self.zero_cond_embedding1 = nn.Parameter(torch.zeros(config.dim))
        self.estimator = Estimator(
            config.in_channels,
            config.out_channels,
            config.num_attention_heads,
            config.attention_head_dim,
            config.num_layers,
            config.num_layers_2,
        )

    def condition(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """Quantised features [B, T, D] → condition [B, 2T, D]; latent frames off the mask get none."""
        features = features.to(self.cond_feature_emb.weight.dtype)
        condition = self.cond_feature_emb(features).repeat_interleave(2, dim=1)
        if mask is None:
            return condition
        return torch.where(mask[..., None], condition, self.zero_cond_embedding1)

    def velocity(
        self, x: Tensor, context: Tensor, condition: Tensor, t: float, guidance_scale: float
    ) -> Tensor:
        """The guided velocity at x [B, 2T, 256], in the dtype of x whatever the estimator's.

        Guidance above 1 runs a second, unconditional row whose condition is zeros.
        """
        dtype = self.zero_cond_embedding1.dtype
        inputs = torch.cat((x, context, condition), dim=-1)
        if guidance_scale <= 1.0:
            time = torch.full((len(x),), t, device=x.device)
            return self.estimator(inputs.to(dtype), time).to(x.dtype)
        without = torch.cat((x, context, torch.zeros_like(condition)), dim=-1)
        time = torch.full((2 * len(x),), t, device=x.device)
        rows = self.estimator(torch.cat((without, inputs)).to(dtype), time).to(x.dtype)
        unconditional, conditional = rows.chunk(2)
        return unconditional + guidance_scale * (conditional - unconditional)

    def sample(
        self,
        codes: Tensor,
        noise: Tensor,
        context: Tensor | None = None,
        *,
        num_steps: int = 10,
        guidance_scale: float = 1.25,
        guidance_from: float = 0.0,
    ) -> Tensor:
        """Codes [B, K, T] and noise [B, 2T, 256] → latents [B, 2T, 256], in `num_steps` Euler steps.

        Steps before the time `guidance_from` have no guidance: what is far from any sound yet gains little
        from it (Kynkäänniemi et al. 2024). `context` [B, C, 256] fixes the first C latent frames to those of the window before.
        """
        condition = self.condition(self.vq_embed.decode(codes)).to(noise.dtype)
        frames = 0 if context is None else context.shape[1]
        known = torch.zeros_like(noise)
        if context is not None:
            known[:, :frames] = context
        x, dt = noise.clone(), 1.0 / num_steps
        for step in range(num_steps):
            t = step * dt
            x[:, :frames] = noised_context(known[:, :frames], noise[:, :frames], t)
            scale = guidance_scale if t >= guidance_from else 1.0
            x = x + dt * self.velocity(x, known, condition, t, scale)
        x[:, :frames] = known[:, :frames]
        return x
