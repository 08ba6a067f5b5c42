"""Let the language model hear itself in training.

When it sings freely it hears its own frames, which are never quite those of a song; a model that has only
heard true ones loses its place. So some of the frames that it hears are drawn from what it would have sung
there, while what it must sing next stays true (scheduled sampling in two passes, Mihaylova and Martins 2019).

Legend: B rows, S positions, K codebooks, N predicted frames, M of them seen by the depth decoder.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from heartlib.training.lm_data import Batch


def draw(logits: Tensor, size: int) -> Tensor:
    """A code below `size` from each of logits [..., V], at temperature 1."""
    music = logits[..., :size].float()
    chance = torch.rand_like(music).clamp(1e-9, 1 - 1e-7)
    return (music - torch.log(-torch.log(chance))).argmax(-1)


def with_own_frames(batch: Batch, first: Tensor, others: Tensor, share: float, size: int) -> Batch:
    """The batch with some frames as the model sings them, given its logits of the batch as it is.

    first [N, V], others [K−1, M, V] as from the model; codes below `size` are music. Up to `share` of
    a row's frames are replaced, how many differs from row to row; only the M frames can be.
    """
    codebooks = batch.frames.shape[1]
    own = torch.cat((draw(first[batch.depth], size)[None], draw(others, size)))  # [K, M]
    rows, length = batch.tokens.shape[:2]
    before = batch.at[batch.depth]  # where a frame is predicted; it is heard one position later
    rate = share * torch.rand(rows, device=before.device)[before // length]
    heard = batch.mask[..., 0].flatten()  # frames, not text or padding; an end frame is never heard
    heard = F.pad(heard, (0, 1))[before + 1]
    chosen = heard & (torch.rand(len(before), device=before.device) < rate)
    chosen = chosen & F.pad(
        before[1:] != before[:-1], (1, 0), value=True
    )  # a frame drawn twice: once
    place = torch.where(chosen, before + 1, rows * length)  # those not chosen go behind the end
    tokens = F.pad(batch.tokens.flatten(0, 1), (0, 0, 0, 1))
    tokens[place, :codebooks] = own.T.to(tokens.dtype)
    return replace(batch, tokens=tokens[:-1].unflatten(0, (rows, length)))
