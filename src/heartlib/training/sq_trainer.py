"""The scalar codec in training: its losses, a discriminator beside it, and one step of both.

Legend: B rows, n samples a row.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from heartlib import checkpoints
from heartlib.errors import UsageError
from heartlib.heartcodec.configuration_heartcodec import HeartCodecConfig
from heartlib.heartcodec.models.sq_codec import LEVELS, SQCodec, fold_weight_norm
from heartlib.training.lapped import set_weight, start_lapped
from heartlib.training.loop import EMA, adamw
from heartlib.training.losses import (
    Discriminator,
    SpectralLoss,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
)
from heartlib.training.run import Run
from heartlib.training.sq_recipe import SQRecipe


def load_scalar(folder: Path, like: HeartCodecConfig) -> SQCodec:
    """The scalar codec of a folder, under weight norm; UsageError where it is of another width or kind."""
    config = checkpoints.read_config(folder, HeartCodecConfig)
    for name in ("scalar_encoder", "init_channel"):
        given, wanted = getattr(config, name), getattr(like, name)
        if given != wanted:
            raise UsageError(f"{folder} has {name} {given}, not {wanted}: train both alike")
    scalar = SQCodec(config)
    scalar.load_state_dict(load_file(folder / "model.safetensors"))
    return scalar


def disturb(latents: Tensor, share: float) -> Tensor:
    """Noise of up to half a level on a share of the rows: a flow model's latents will be that wrong."""
    rows = torch.rand(len(latents), 1, 1, device=latents.device) < share
    return latents + rows * (torch.rand_like(latents) - 0.5) / LEVELS


def reconstruct(codec: SQCodec, wave: Tensor, noise_share: float, half: bool = False) -> Tensor:
    """Rows [B, 1, n] through the codec; `half` in bfloat16, but for rounding and the last layers."""
    with torch.autocast(wave.device.type, torch.bfloat16, enabled=half):
        latents = codec.encode(wave)
        latents = codec.quantise(disturb(latents.float(), noise_share))
        hidden = codec.decoder[:-2](latents)
    return codec.decoder[-2:](hidden.float())


class Training:
    """Generator, discriminator and the running mean in a run; one part of a step each."""

    def __init__(self, run: Run, recipe: SQRecipe, config: HeartCodecConfig | None = None) -> None:
        self.run, self.recipe, device = run, recipe, run.device
        config = config or HeartCodecConfig(
            init_channel=recipe.init_channel, scalar_encoder=recipe.scalar_encoder
        )
        self.codec = fold_weight_norm(SQCodec(config)).to(device)
        self.critic = Discriminator(recipe.discriminator_sizes, recipe.discriminator_channels).to(
            device
        )
        self.ema = EMA(self.codec, recipe.ema_decay)
        self.spectral = SpectralLoss().to(device)
        self.descend, self.teach = (
            run.descent(
                name,
                adamw(
                    module.parameters(),
                    recipe.peak_lr,
                    (0.8, 0.99),
                    recipe.weight_decay,
                    run.graphed,
                ),
                module,
            )
            for name, module in (("codec", self.codec), ("critic", self.critic))
        )
        run.modules |= {"codec": self.codec, "critic": self.critic, "ema": self.ema}

    def start(self, wave: Tensor) -> None:
        """Give the new codec the weights of a lapped transform, fitted to rows [B, 1, n]."""
        start_lapped(self.codec, wave)
        self.ema.take(self.codec)

    def go_on(self, scalar: SQCodec) -> None:
        """Give the new codec the weights of a trained one, which is not changed."""
        self.codec.load_state_dict(fold_weight_norm(copy.deepcopy(scalar)).state_dict())
        self.ema.take(self.codec)

    def mean_codec(self) -> SQCodec:
        """A copy of the codec with the running mean of its weights."""
        mean = copy.deepcopy(self.codec)
        self.ema.copy_to(mean)
        return mean.eval().requires_grad_(False)

    def judge(self, wave: Tensor):
        with torch.autocast(wave.device.type, torch.bfloat16, enabled=wave.is_cuda):
            return self.critic(wave)

    def learn(self, wave: Tensor, adversarial: bool, part: int = 0) -> dict[str, Tensor]:
        """A part of a step on rows [B, 1, n]; the losses, on the device."""
        noise = self.recipe.noise_share if adversarial else 0.0
        output = reconstruct(self.codec, wave, noise, self.recipe.half and wave.is_cuda)
        return self.update(output[:, 0], wave[:, 0], adversarial, part)

    def listened(self, made: Tensor, real: Tensor) -> dict[str, tuple[float, Tensor]]:
        """Losses that a kind of training adds, with their weights."""
        return {}

    def update(self, made: Tensor, real: Tensor, adversarial: bool, part: int) -> dict[str, Tensor]:
        """Move the codec so that rows `made` [B, n] come closer to `real`; the losses.

        The discriminator steps first, so that only the last part is judged by the new one.
        """
        recipe = self.recipe
        losses = self.spectral(made, real)
        losses["wave"] = (made - real).abs().mean() / (real.abs().mean() + 1e-3)
        total = (
            recipe.mel_weight * losses["mel"]
            + recipe.magnitude_weight * losses["magnitude"]
            + recipe.spectrum_weight * losses["spectrum"]
            + recipe.wave_weight * losses["wave"]
        )
        for name, (weight, loss) in self.listened(made, real).items():
            losses[name], total = loss, total + weight * loss
        if adversarial:
            made, real = made[: recipe.adversarial_rows], real[: recipe.adversarial_rows]
            losses["critic"] = discriminator_loss(self.judge(real), self.judge(made.detach()))
            self.teach(losses["critic"], part)
            self.critic.requires_grad_(False)
            with torch.no_grad():
                judged_real = self.judge(real)
            judged_made = self.judge(made)
            self.critic.requires_grad_(True)
            losses["adversarial"] = adversarial_loss(judged_made)
            losses["feature"] = feature_loss(judged_real, judged_made)
            total = total + recipe.adversarial_weight * losses["adversarial"]
            total = total + recipe.feature_weight * losses["feature"]
        losses["norm"] = self.descend(total, part)
        if part == recipe.accumulate - 1:
            self.ema.update(self.codec)
        return {name: value.detach() for name, value in losses.items()} | {"loss": total.detach()}

    def train(
        self,
        one_step: Callable[[bool, int], dict[str, Tensor]],
        look: Callable[[], dict[str, float]],
    ) -> dict[str, float]:
        """The run to its end; `one_step(adversarial, part)` draws a batch and learns from it."""
        fast = partial(torch.backends.cudnn.flags, enabled=True, benchmark=True, allow_tf32=True)
        with fast():
            graphed = self.run.graph(one_step, False, 0)

            def learn(part: int) -> dict[str, Tensor]:
                return graphed(self.run.fraction >= self.recipe.adversarial_from, part)

            return self.run.train(learn, look)


@torch.no_grad()
def with_weight_norm(codec: SQCodec) -> SQCodec:
    """A copy of a folded codec under weight norm, as checkpoints keep it."""
    parts: dict[str, Any] = dict(codec.named_modules())
    fresh = SQCodec(codec.config)
    for name, module in fresh.named_modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            set_weight(module, parts[name].weight.cpu())
            module.load_state_dict({"bias": parts[name].bias.cpu()}, strict=False)
        elif isinstance(module, nn.PReLU):
            module.weight.copy_(parts[name].weight)
    return fresh
