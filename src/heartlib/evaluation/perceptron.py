"""A classifier with one hidden layer, for what a linear one cannot tell apart.

N: examples, F: features, H: hidden units, C: classes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

HIDDEN = 128
BATCH = 256
PEAK_LR = 3e-3
WEIGHT_DECAY = 1e-2
NOISE = 0.1
"""Deviation of what is added to standardised features while learning."""


@dataclass(frozen=True)
class Perceptron:
    """scores = gelu(((x − mean) / scale) @ inner + inner_bias) @ outer + outer_bias."""

    classes: tuple[str, ...]
    mean: np.ndarray  # [F]
    scale: np.ndarray  # [F]
    inner: np.ndarray  # [F, H]
    inner_bias: np.ndarray  # [H]
    outer: np.ndarray  # [H, C]
    outer_bias: np.ndarray  # [C]

    def log_probabilities(self, features: np.ndarray) -> np.ndarray:
        """[N, F] -> [N, C]."""
        inputs = torch.from_numpy((features - self.mean) / self.scale).double()
        inner, outer = torch.from_numpy(self.inner), torch.from_numpy(self.outer)
        hidden = F.gelu(inputs @ inner + torch.from_numpy(self.inner_bias))
        scores = hidden @ outer + torch.from_numpy(self.outer_bias)
        return scores.log_softmax(dim=1).numpy()

    def to_dict(self) -> dict[str, Any]:
        arrays = ("mean", "scale", "inner", "inner_bias", "outer", "outer_bias")
        return {
            "classes": list(self.classes),
            **{name: np.round(getattr(self, name), 4).tolist() for name in arrays},
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Perceptron":
        names = ("mean", "scale", "inner", "inner_bias", "outer", "outer_bias")
        arrays = {name: np.array(data[name], dtype=np.float64) for name in names}
        return cls(tuple(data["classes"]), **arrays)


def fit_perceptron(
    features: np.ndarray,
    labels: np.ndarray,
    classes: tuple[str, ...],
    *,
    weights: np.ndarray,
    epochs: int = 20,
    seed: int = 0,
) -> Perceptron:
    """Cross-entropy of labels [N] (class numbers) on features [N, F], with noise and dropout.

    weights: how much each example counts [N]. The same seed gives the same classifier.
    """
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
    inputs = torch.from_numpy((features - mean) / scale).float()
    targets = torch.from_numpy(labels).long()
    counts = torch.from_numpy(weights / weights.mean()).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first, last = nn.Linear(features.shape[1], HIDDEN), nn.Linear(HIDDEN, len(classes))
        net = nn.Sequential(nn.Dropout(0.1), first, nn.GELU(), nn.Dropout(0.3), last).train()
        optimizer = torch.optim.AdamW(net.parameters(), PEAK_LR, weight_decay=WEIGHT_DECAY)
        size = min(BATCH, len(inputs))
        steps = epochs * (len(inputs) // size)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LR, total_steps=steps)
        for _ in range(epochs):
            order = torch.randperm(len(inputs))
            for start in range(0, len(inputs) - size + 1, size):
                rows = order[start : start + size]
                noisy = inputs[rows] + NOISE * torch.randn(size, inputs.shape[1])
                loss = F.cross_entropy(
                    net(noisy), targets[rows], reduction="none", label_smoothing=0.05
                )
                optimizer.zero_grad()
                (loss * counts[rows]).mean().backward()
                optimizer.step()
                schedule.step()
    held = [tensor.detach().double().numpy() for tensor in (first.weight, first.bias)]
    out = [tensor.detach().double().numpy() for tensor in (last.weight, last.bias)]
    return Perceptron(classes, mean, scale, held[0].T.copy(), held[1], out[0].T.copy(), out[1])
