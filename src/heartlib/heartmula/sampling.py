"""From logits to a code: guidance, top-k, one draw. Pure functions of tensors."""

from __future__ import annotations

from torch import Tensor


def guide(logits: Tensor, cfg_scale: float) -> Tensor:
    """Classifier-free guidance: uncond + cfg_scale · (cond − uncond), in float32.

    logits [rows, V]: one row is returned as it is; of two, the first is conditional, the second
    unconditional. Returns [V].
    """
    logits = logits.float()
    if len(logits) == 1:
        return logits[0]
    conditional, unconditional = logits
    return unconditional + cfg_scale * (conditional - unconditional)


def draw(logits: Tensor, race: Tensor, temperature: float) -> Tensor:
    """One code from the most likely ones, as an exponential race.

    logits [V]; race [k]: a draw of Exp(1) for each of the k most likely codes. argmax(p / race) is
    distributed as p is, and needs no host synchronisation. Returns a code, shape [1].
    """
    values, codes = logits.topk(race.shape[0])
    chance = (values / temperature).softmax(-1)
    winner = (chance / race).argmax(-1, keepdim=True)
    return codes.gather(-1, winner)
