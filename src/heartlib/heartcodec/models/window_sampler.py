"""Codes to latents as `FlowMatching.sample` makes them, all steps of a window in one launch.

Shapes: B windows, K codebooks, T latent frames (25 Hz), C latent channels, D condition channels, S steps.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor

from heartlib.graphs import CUDAGraphed
from heartlib.heartcodec.models.flow_matching import FlowMatching, noised_context
from heartlib.heartcodec.models.fused_estimator import FusedEstimator

KEPT = 4  # schedules and numbers of windows that stay prepared


class Sampling:
    """The sampling of B windows in S steps, prepared: inputs and latents lie in tensors that stay where they are.

    guided [S]: whether a step has guidance.
    """

    def __init__(
        self,
        estimator: FusedEstimator,
        windows: int,
        length: int,
        channels: int,
        width: int,
        guided: Sequence[bool],
        device: torch.device,
        *,
        graphed: bool,
        pool: object | None,
    ):
        self.estimator, self.guided = estimator, tuple(guided)

        def zeros(size: int) -> Tensor:
            return torch.zeros(windows, length, size, device=device)

        self.noise, self.context, self.latents = zeros(channels), zeros(channels), zeros(channels)
        self.condition = zeros(width)
        self.fixed = torch.zeros(windows, length, 1, dtype=torch.bool, device=device)
        self.scale = torch.ones((), device=device)
        steps = len(self.guided)
        self.times = estimator.times(
            torch.tensor([i * (1 / steps) for i in range(steps)]).to(device)
        )
        self.tables = estimator.tables(length, device)
        self._run = CUDAGraphed(self._steps, device, enabled=graphed, pool=pool)

    def __call__(
        self,
        condition: Tensor,
        noise: Tensor,
        contexts: Sequence[Tensor | None],
        guidance_scale: float,
    ) -> Tensor:
        """condition [B, T, D], noise [B, T, C], the context [c, C] of each window or None → latents [B, T, C]."""
        self.condition.copy_(condition)
        self.noise.copy_(noise)
        self.context.zero_()
        self.fixed.zero_()
        for row, context in enumerate(contexts):
            if context is not None:
                self.context[row, : len(context)] = context
                self.fixed[row, : len(context)] = True
        self.scale.fill_(guidance_scale)
        self._run()
        return self.latents.clone()

    def _steps(self) -> None:
        windows, x, dt = len(self.noise), self.noise, 1.0 / len(self.guided)
        context, condition, unconditional = self.context, self.condition, 0
        if any(self.guided):
            context = context.repeat(2, 1, 1)
            condition = torch.cat((torch.zeros_like(condition), condition))
            unconditional = windows
        given = self.estimator.given(context, condition)
        for step, guided in enumerate(self.guided):
            x = torch.where(self.fixed, noised_context(self.context, self.noise, step * dt), x)
            rows = given if guided else given.rows(unconditional)
            velocity = self.estimator(x, rows, self.times, step, self.tables)
            if guided:
                without, velocity = velocity.chunk(2)
                velocity = without + self.scale * (velocity - without)
            x = x + dt * velocity
        self.latents.copy_(torch.where(self.fixed, self.context, x))


class WindowSampler:
    """Samples windows with an estimator whose weights no longer change."""

    def __init__(
        self,
        flow: FlowMatching,
        estimator: FusedEstimator,
        *,
        graphed: bool = True,
        pool: object | None = None,
    ):
        self.flow, self.estimator, self.graphed, self.pool = flow, estimator, graphed, pool
        self._prepared: OrderedDict[tuple, Sampling] = OrderedDict()

    def __call__(
        self,
        codes: Tensor,
        noise: Tensor,
        contexts: Sequence[Tensor | None],
        *,
        num_steps: int,
        guidance_scale: float,
        guidance_from: float,
    ) -> Tensor:
        """`FlowMatching.sample` of codes [B, K, T / 2] and noise [B, T, C], with a context [c, C] of each or None."""
        windows, length, channels = noise.shape
        flow = self.flow
        features = flow.vq_embed.decode(codes).to(flow.cond_feature_emb.weight.dtype)
        condition = flow.cond_feature_emb(features)  # [B, T / 2, D]
        condition = condition[:, :, None].expand(-1, -1, 2, -1).flatten(1, 2)
        dt = 1.0 / num_steps
        guided = tuple(
            guidance_scale > 1 and step * dt >= guidance_from for step in range(num_steps)
        )
        key = (windows, length, guided)
        if key not in self._prepared:
            while len(self._prepared) >= KEPT:
                self._prepared.popitem(last=False)
            self._prepared[key] = Sampling(
                self.estimator,
                windows,
                length,
                channels,
                condition.shape[-1],
                guided,
                noise.device,
                graphed=self.graphed,
                pool=self.pool,
            )
        self._prepared.move_to_end(key)
        return self._prepared[key](condition, noise, contexts, guidance_scale)
