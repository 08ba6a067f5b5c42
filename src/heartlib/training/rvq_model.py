"""The encoder and its codebooks in training, with the readers that supervise them.

Legend: B rows, T code frames (12.5 Hz), C codebook width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from heartlib.heartcodec.configuration_heartcodec import LATENTS_PER_FRAME
from heartlib.heartcodec.models.query_transformer import (
    MEL_PER_FRAME,
    MelEncoderConfig,
    QueryTransformer,
)
from heartlib.heartcodec.models.residual_vq import ResidualVQ
from heartlib.training.alignment import PITCHES
from heartlib.training.rvq_recipe import RVQRecipe
from heartlib.training.workers import Workers

MEL_PER_LATENT = MEL_PER_FRAME // LATENTS_PER_FRAME


class Reader(nn.Module):
    """Reads a target off features [B, T, dim] at 25 Hz: [B, 2T, out]."""

    def __init__(self, dim: int, out: int, width: int = 256, layers: int = 0):
        super().__init__()
        self.first = nn.Conv1d(dim, LATENTS_PER_FRAME * width, 3, padding=1)
        self.rest = nn.ModuleList(nn.Conv1d(width, width, 5, padding=2) for _ in range(layers))
        self.out = nn.Linear(width, out)

    def forward(self, features: Tensor) -> Tensor:
        x = self.first(features.transpose(1, 2))  # [B, 2·W, T]
        x = F.gelu(x.unflatten(1, (LATENTS_PER_FRAME, -1)).permute(0, 2, 3, 1).flatten(2))
        for conv in self.rest:
            x = x + F.gelu(conv(x))
        return self.out(x.transpose(1, 2))


class Tokenizer(nn.Module):
    """Encoder, codebooks and the readers that supervise them."""

    def __init__(self, encoder: MelEncoderConfig, recipe: RVQRecipe, phonemes: int):
        super().__init__()
        self.encoder = QueryTransformer(encoder)
        self.vq_embed = ResidualVQ(
            encoder.dim, recipe.codebook_size, recipe.codebook_dim, recipe.num_quantizers
        )
        mel = 2 * encoder.n_mels * MEL_PER_LATENT
        self.read_mel = Reader(encoder.dim, mel, 384, layers=3)
        self.read_phonemes = nn.ModuleList(Reader(encoder.dim, phonemes) for _ in range(2))
        self.read_pitches = nn.ModuleList(Reader(encoder.dim, PITCHES) for _ in range(2))


def quantise(vq: ResidualVQ, rest: Tensor, levels: Tensor) -> tuple[Tensor, Tensor, Tensor, list]:
    """Residual quantisation for training.

    rest [B, T, C], levels [B] how many codebooks each row uses → the first level's and the whole sum
    (straight-through), the commitment loss and (residual, codes) of every level for the running means.
    """
    target, total, first, seen, loss = rest, torch.zeros_like(rest), rest, [], rest.new_zeros(())
    for k, book in enumerate(vq.codebooks):
        with torch.no_grad():
            codes = book.encode(rest)
            vectors = book.decode(codes) * (levels > k)[:, None, None]
        seen.append((rest.detach(), codes))
        total = total + vectors
        loss = loss + F.mse_loss(target, total.detach())
        rest = target - total
        if k == 0:
            first = target + (total - target).detach()
    return first, target + (total - target).detach(), loss / len(vq.codebooks), seen


@torch.no_grad()
def update_codebooks(
    vq: ResidualVQ, seen: list, recipe: RVQRecipe, workers: Workers | None = None
) -> None:
    """Move every codebook to the running mean of what it coded; unused codes start anew from the batch.

    With several processes it is the mean of what they coded, and the first one's batch.
    """
    for book, (rest, codes) in zip(vq.codebooks, seen, strict=True):
        x, c = rest.flatten(0, 1).float(), codes.flatten()
        size, table = book.cluster_size[0], book.embed_avg[0]
        counts = torch.zeros_like(size).scatter_add_(0, c, torch.ones_like(c, dtype=size.dtype))
        sums = torch.zeros_like(table).index_add_(0, c, x)
        if workers is not None:
            workers.average([counts, sums])
        size.lerp_(counts, 1 - recipe.decay)
        table.lerp_(sums, 1 - recipe.decay)
        fresh = x[torch.randint(len(x), (len(size),), device=x.device)]
        if workers is not None:
            fresh = workers.share(fresh)
        dead = (size < recipe.dead_below)[:, None]
        size.copy_(torch.where(dead[:, 0], torch.ones_like(size), size))
        table.copy_(torch.where(dead, fresh, table))
        book.embed[0].copy_(table / size[:, None])
