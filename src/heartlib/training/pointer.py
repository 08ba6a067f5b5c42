"""A guide for the language model's training: at every frame, which token of the lyrics is sung.

Learning to follow lyrics from codes alone takes far more songs than the corpus has; its truth knows
when each word is sung. The pointer is an attention of its own, from a frame to the prompt's text, on
what one of the backbone's layers gives; it is trained with the model and not part of it.

Legend: B rows, S positions, N predicted frames of a batch, D width.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from heartlib.heartmula.transformer import RMSNorm
from heartlib.training.lm_data import Batch

POINTER_WIDTH = 64


class Pointer(nn.Module):
    """Finds the token of its prompt that a row sings next, in what one of the backbone's layers gives.

    `listen` is that layer's forward hook; the model itself knows nothing of it.
    """

    hidden: Tensor  # [B, S, D] of the last forward pass

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = RMSNorm(width)
        self.query = nn.Linear(width, POINTER_WIDTH, bias=False)
        self.key = nn.Linear(width, POINTER_WIDTH, bias=False)

    def listen(self, _layer: nn.Module, _inputs: Any, output: Tensor) -> None:
        self.hidden = output

    def forward(self, batch: Batch) -> Tensor:
        """Over the batch that the model has just read: [summed cross-entropy, frames found, frames sung]."""
        hidden = self.norm(self.hidden)
        scores = self.query(hidden) @ self.key(hidden[:, : batch.prompt]).mT  # [B, S, prompt]
        no_text = ~batch.mask[:, None, : batch.prompt, -1]
        scores = (scores.float() * POINTER_WIDTH**-0.5).masked_fill(no_text, -torch.inf)
        scores = scores.flatten(0, 1)  # [B·S, prompt]
        sung = torch.full_like(scores[:, 0], -1, dtype=torch.long).scatter(0, batch.at, batch.sung)
        loss = F.cross_entropy(scores, sung, ignore_index=-1, reduction="sum")
        return torch.stack((loss, (scores.argmax(-1) == sung).sum(), (sung >= 0).sum()))
