"""Linear classifiers: logistic regression over classes, and a choice among candidates.

N: examples, F: features, C: classes or candidates.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Classifier:
    """scores = ((x − mean) / scale) @ weights + bias, one column a class."""

    classes: tuple[str, ...]
    mean: np.ndarray  # [F]
    scale: np.ndarray  # [F]
    weights: np.ndarray  # [F, C]
    bias: np.ndarray  # [C]

    def log_probabilities(self, features: np.ndarray) -> np.ndarray:
        """[N, F] -> [N, C]."""
        scores = (features - self.mean) / self.scale @ self.weights + self.bias
        return scores - _log_sum(scores)

    def to_dict(self) -> dict[str, Any]:
        return {
            "classes": list(self.classes),
            **{
                name: _rounded(getattr(self, name)) for name in ("mean", "scale", "weights", "bias")
            },
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Classifier":
        arrays = {name: np.array(data[name]) for name in ("mean", "scale", "weights", "bias")}
        return cls(tuple(data["classes"]), **arrays)


@dataclass(frozen=True)
class Choice:
    """Each candidate's score is features @ weights: the same weights for every candidate."""

    weights: np.ndarray  # [F]

    def log_probabilities(self, features: np.ndarray) -> np.ndarray:
        """[..., C, F] -> [..., C]."""
        scores = features @ self.weights
        return scores - _log_sum(scores)

    def to_dict(self) -> dict[str, Any]:
        return {"weights": _rounded(self.weights)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Choice":
        return cls(np.array(data["weights"]))


def fit_classifier(
    features: np.ndarray,
    labels: np.ndarray,
    classes: tuple[str, ...],
    *,
    weights: np.ndarray | None = None,
    decay: float = 1e-3,
) -> Classifier:
    """Multinomial logistic regression of labels [N] (class numbers) on features [N, F].

    weights: how much each example counts [N]. decay: L2 on the weights of standardised features.
    """
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
    inputs = torch.from_numpy((features - mean) / scale)
    targets = torch.from_numpy(labels).long()
    counts = torch.ones(len(labels), dtype=torch.float64)
    if weights is not None:
        counts = torch.from_numpy(weights).double()
    matrix = torch.zeros(features.shape[1], len(classes), dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(len(classes), dtype=torch.float64, requires_grad=True)

    def loss() -> torch.Tensor:
        log = torch.log_softmax(inputs @ matrix + bias, dim=1)
        picked = log[torch.arange(len(targets)), targets]
        return -(counts * picked).sum() / counts.sum() + decay * matrix.square().sum()

    _minimise([matrix, bias], loss)
    return Classifier(classes, mean, scale, matrix.detach().numpy(), bias.detach().numpy())


def fit_choice(features: np.ndarray, chosen: np.ndarray, *, decay: float = 1e-3) -> Choice:
    """Conditional logit (McFadden 1974): which of the candidates [N, C, F] was `chosen` [N]."""
    inputs = torch.from_numpy(features).double()
    targets = torch.from_numpy(chosen).long()
    weights = torch.zeros(features.shape[2], dtype=torch.float64, requires_grad=True)

    def loss() -> torch.Tensor:
        log = torch.log_softmax(inputs @ weights, dim=1)
        return -log[torch.arange(len(targets)), targets].mean() + decay * weights.square().sum()

    _minimise([weights], loss)
    return Choice(weights.detach().numpy())


def _minimise(parameters: list[torch.Tensor], loss) -> None:
    optimizer = torch.optim.LBFGS(parameters, max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)


def _log_sum(scores: np.ndarray) -> np.ndarray:
    top = scores.max(axis=-1, keepdims=True)
    return top + np.log(np.exp(scores - top).sum(axis=-1, keepdims=True))


def _rounded(values: np.ndarray) -> list:
    return np.round(values, 5).tolist()
