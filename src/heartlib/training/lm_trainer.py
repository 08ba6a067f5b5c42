"""The language model in training: its first weights, its losses, and one step of it.

Loss (arXiv 2601.10547): λ₀·L₀ + mean over the other codebooks of λₖ·Lₖ, and that of the pointer.
Legend: K codebooks, V audio vocabulary, N predicted frames of a batch, M of them seen by the depth decoder.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from heartlib.errors import UsageError
from heartlib.heartmula import HeartMuLa
from heartlib.training.lm_data import Batch
from heartlib.training.lm_recipe import LMRecipe
from heartlib.training.loop import EMA, adamw, autocast
from heartlib.training.own_frames import with_own_frames
from heartlib.training.pointer import Pointer
from heartlib.training.run import Run


def initialise(model: HeartMuLa, dropout: float) -> None:
    """Normal weights of deviation 0.02, smaller where a block adds to its input; sets dropout."""
    for name, parameter in model.named_parameters():
        if name.endswith("scale"):
            nn.init.ones_(parameter)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
        else:
            stack = model.backbone if name.startswith("backbone") else model.decoder
            residual = name.endswith(("output_proj.weight", "w2.weight"))
            shrink = (2 * stack.config.num_layers) ** -0.5 if residual else 1.0
            nn.init.normal_(parameter, std=0.02 * shrink)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; norms, biases and embeddings do not."""
    plain = [p for n, p in model.named_parameters() if p.ndim < 2 or "embedding" in n]
    matrices = [p for n, p in model.named_parameters() if p.ndim >= 2 and "embedding" not in n]
    groups = [
        {"params": [p for p in matrices if p.requires_grad], "weight_decay": weight_decay},
        {"params": [p for p in plain if p.requires_grad], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def logits_of(model: Callable[..., tuple[Tensor, Tensor]], batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits [N, V] of codebook 0 and [K−1, M, V] of the others for a batch."""
    return model(
        batch.tokens,
        batch.mask,
        style=batch.style,
        style_at=batch.style_at,
        unconditional=batch.unconditional,
        at=batch.at,
        depth_at=batch.at[batch.depth],
        depth_codes=batch.frames[batch.depth],
    )


def losses(first: Tensor, others: Tensor, batch: Batch) -> Tensor:
    """Mean cross-entropy of each codebook: [K]."""
    targets = batch.frames[batch.depth].T[1:]  # [K−1, M]
    rest = F.cross_entropy(others.flatten(0, 1), targets.flatten(), reduction="none")
    return torch.cat(
        (F.cross_entropy(first, batch.frames[:, 0])[None], rest.view_as(targets).mean(1))
    )


class Trainer:
    """A model in training, with its pointer: weights, running mean, optimiser, and where it stands."""

    def __init__(self, run: Run, recipe: LMRecipe, text_vocab_size: int) -> None:
        self.run, self.recipe, self.device = run, recipe, run.device
        self.model = HeartMuLa(recipe.model_config(text_vocab_size))
        initialise(self.model, recipe.dropout)
        self.model.to(self.device).train()
        if recipe.learn == "reference":
            self.model.requires_grad_(False)
            self.model.muq_linear.weight.requires_grad_(True)
        self.trained = nn.ModuleDict({"model": self.model})
        self.pointer, self.hook = None, None
        if recipe.pointer_weight:
            self.pointer = self.trained["pointer"] = Pointer(recipe.width).to(self.device)
            layer = self.model.backbone.layers[recipe.pointer_layer - 1]
            self.hook = layer.register_forward_hook(self.pointer.listen)
        self.ema = EMA(self.model, recipe.ema_decay)
        groups = parameter_groups(self.trained, recipe.weight_decay)
        optimizer = adamw(groups, recipe.peak_lr, (0.9, recipe.beta2), 0.0, run.graphed)
        self.descend = run.descent("adamw", optimizer, self.trained)
        rest = torch.tensor(recipe.lambda_k).expand(recipe.codebooks - 1)
        weights = [torch.tensor([recipe.lambda0]), rest / (recipe.codebooks - 1)]
        if self.pointer is not None:
            weights.append(torch.tensor([recipe.pointer_weight]))
        self.weights = torch.cat(weights).to(self.device)  # [K], or [K + 1] with a pointer
        run.modules |= {**dict(self.trained.items()), "ema": self.ema}
        self.graphed = run.graph(self.learn)

    def learn(self, own: bool, part: int, prompt: int, **tensors: Tensor) -> dict[str, Tensor]:
        """A part of a step on a batch, `own`: with some of the model's own frames; scalars for the log."""
        batch = Batch(**tensors, prompt=prompt)
        if own:
            with torch.no_grad(), autocast(self.device):
                logits = logits_of(self.model, batch)
            batch = with_own_frames(
                batch, *logits, self.recipe.own_share, self.recipe.codebook_size
            )
        with autocast(self.device):
            loss = losses(*logits_of(self.model, batch), batch)
            if self.pointer is not None:
                lost, _, sung = self.pointer(batch)
                loss = torch.cat((loss, (lost / sung.clamp_min(1))[None]))
        total = (loss * self.weights).sum()
        norm = self.descend(total, part)
        if part == self.recipe.accumulate - 1:
            self.ema.update(self.model)
        told, codebooks = loss.detach(), self.recipe.codebooks
        figures = {"loss": total.detach(), "norm": norm, "loss0": told[0]}
        figures["loss_rest"] = told[1:codebooks].mean()
        return figures | ({"pointer": told[codebooks]} if self.pointer is not None else {})

    def update(self, batch: Batch, own: bool = False, part: int = 0) -> dict[str, Tensor]:
        """What `learn` gives for a batch on the device; the next step overwrites it."""
        return self.graphed(own, part, batch.prompt, **batch.tensors)

    def begin_with(self, folder: Path) -> None:
        """Takes the weights of a trained model of the same shape.

        Where nothing but the reference is learned, its style may have had another size: it is learned from zero, so
        that the model first sings as if there were none.
        """
        model = HeartMuLa.from_pretrained(folder, device=self.device, int8=False)
        config, mine = model.config, self.model.config
        anew = self.recipe.learn == "reference"
        names = ("backbone", "decoder", "text_vocab_size", "audio_vocab_size")
        for name in names if anew else (*names, "muq_dim"):
            if getattr(config, name) != getattr(mine, name):
                raise UsageError(
                    f"{folder} has another {name} than the recipe: {getattr(config, name)}, "
                    f"not {getattr(mine, name)}; give the recipe its sizes"
                )
        weights = model.state_dict()
        if anew:
            weights["muq_linear.weight"] = torch.zeros_like(self.model.muq_linear.weight)
        self.model.load_state_dict(weights)
        self.ema.take(self.model)
