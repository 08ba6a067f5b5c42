"""How near the frame step's logits are to others', on the same codes; and whether its draws follow the probabilities.

Codes are forced on every codebook (teacher forcing): the depth decoder and the next frame hear the same in all of them.

Legend: T frames, K codebooks, R rows (conditional, unconditional), V audio vocabulary.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from heartlib.evaluation.speed import SEED, Figures
from heartlib.evaluation.speed_batches import one_song
from heartlib.heartmula import HeartMuLa, Prompt
from heartlib.heartmula.frame_step import Operations
from heartlib.heartmula.generation import SamplingSettings, embed_prompt, new_state

CFG_SCALE = SamplingSettings().cfg_scale
DRAWS_AT_ONCE = 10_000


class Sung(NamedTuple):
    """A song as a model sang it: codes int32 [T, K] and logits before guidance float32 [T, K, R, V], on its device."""

    codes: Tensor
    logits: Tensor


def sung_freely(
    model: HeartMuLa,
    prompt: Prompt,
    frames: int,
    eos: int,
    operations: Operations,
    *,
    graphs: bool = True,
) -> Sung:
    """What the frame step draws itself."""
    batch = one_song(model, prompt, frames + 1, eos, operations, graphs=graphs)
    codes, logits = [], []
    for _ in range(frames):
        batch.step()
        codes.append(batch.state.codes[0].clone())
        logits.append(batch.logits[:, :2].clone())
    return Sung(torch.stack(codes), torch.stack(logits))


def forced_logits(
    model: HeartMuLa,
    prompt: Prompt,
    codes: Tensor,
    eos: int,
    operations: Operations,
    *,
    graphs: bool = True,
) -> Tensor:
    """Logits [T, K, R, V] of the frame step where it is made to sing codes [T, K]."""
    now = torch.zeros(1, codes.shape[1], dtype=torch.int32, device=model.device)
    forced = dataclasses.replace(operations, sample=_forcing(now))
    batch = one_song(model, prompt, len(codes) + 1, eos, forced, graphs=graphs)
    logits = []
    for frame in codes:
        now.copy_(frame[None])
        batch.step()
        logits.append(batch.logits[:, :2].clone())
    return torch.stack(logits)


def _forcing(given: Tensor) -> Callable[..., None]:
    """In place of `sample`: the codes of `given` [1, K], which stays where it is."""

    def force(
        logits: Tensor,
        noise: Tensor,
        codebook: int,
        cfg_scale: Tensor,
        temperature: Tensor,
        topk: Tensor,
        codes: Tensor,
        unknown: int,
    ) -> None:
        # A kernel and not a copy: only behind a kernel may the next one be launched early.
        torch.add(given[:, codebook], 0, out=codes[:1, codebook])

    return force


@torch.inference_mode()
def plain_logits(model: HeartMuLa, prompt: Prompt, codes: Tensor, eos: int) -> Tensor:
    """`forced_logits` by the modules themselves, in the model's dtype, returned as float32."""
    settings = SamplingSettings(audio_eos_id=eos)
    positions = len(prompt.tokens) + len(codes)
    state = new_state(model, settings, positions=positions, seed=SEED)
    x, found = embed_prompt(model, prompt, settings.rows), []
    for frame in codes.long():
        state.depth.clear()
        hidden, logits = model.backbone_step(x, state.backbone)
        made = [logits.float()]
        for codebook in range(1, len(frame)):
            code = frame[codebook - 1 : codebook]
            embedded = model.embed_code(codebook - 1, code).expand(settings.rows, 1, -1)
            if codebook == 1:
                embedded = torch.cat((hidden[:, None], embedded), dim=1)
            made.append(model.depth_step(embedded, codebook, state.depth).float())
        found.append(torch.stack(made))
        x = model.embed_frame(frame).expand(settings.rows, 1, -1)
    return torch.stack(found)


def guided(logits: Tensor) -> Tensor:
    """Logits [..., R, V] after guidance, [..., V]."""
    conditional, unconditional = logits.unbind(-2)
    return unconditional + CFG_SCALE * (conditional - unconditional)


def distance(found: Tensor, expected: Tensor) -> Figures:
    """Of what is drawn from: mean Kullback-Leibler divergence in nats from `expected`, and how often the likeliest code is the same.

    Both logits [T, K, R, V] on the same codes; codebook 0 by itself, too.
    """
    ours, theirs = guided(found).log_softmax(-1), guided(expected).log_softmax(-1)
    kl = (theirs.exp() * (theirs - ours)).sum(-1)  # [T, K]
    same = (ours.argmax(-1) == theirs.argmax(-1)).float()
    return {
        "forced_frames": len(found),
        "kl_nats": kl.mean().item(),
        "kl_first_codebook_nats": kl[:, 0].mean().item(),
        "same_likeliest_share": same.mean().item(),
        "same_likeliest_first_codebook_share": same[:, 0].mean().item(),
    }


def relative_error(found: Tensor, expected: Tensor) -> tuple[float, float]:
    """||a − b|| / ||b|| of logits [T, K, R, V]: of codebook 0, and of the others."""

    def error(part: slice) -> float:
        a, b = found[:, part].double(), expected[:, part].double()
        return ((a - b).norm() / b.norm()).item()

    return error(slice(0, 1)), error(slice(1, None))


def graphed_and_eager(
    model: HeartMuLa, prompt: Prompt, sung: Sung, eos: int, operations: Operations
) -> tuple[Figures, Tensor]:
    """The graphed frame against the same kernels launched one by one; the graphed logits, too."""
    graphed = forced_logits(model, prompt, sung.codes, eos, operations)
    eager = forced_logits(model, prompt, sung.codes, eos, operations, graphs=False)
    first, others = relative_error(graphed, eager)
    found: Figures = {
        "graphed_is_eager": "yes" if torch.equal(graphed, eager) else "no",
        "graphed_eager_error": max(first, others),
        "forced_is_free": "yes" if torch.equal(graphed, sung.logits) else "no",
    }
    return found, graphed


def against_float32(name: str, found: Tensor, exact: Tensor) -> Figures:
    """Relative errors of logits against a float32 model's."""
    first, others = relative_error(found, exact)
    return {f"{name}_error": first, f"{name}_error_other_codebooks": others}


@torch.inference_mode()
def draws(
    device: torch.device, operations: Operations, *, count: int, vocab: int, topk: int = 50
) -> Figures:
    """χ² of `count` sampled codes of one song against the exact distribution, and the chance of one so large.

    Logits normal, guidance 1.5, temperature 1.
    """
    topk = min(topk, vocab)
    generator = torch.Generator(device).manual_seed(SEED)
    logits = torch.randn(2, vocab, device=device, generator=generator)
    counts = torch.zeros(vocab, device=device, dtype=torch.long)
    for start in range(0, count, DRAWS_AT_ONCE):
        frames = min(DRAWS_AT_ONCE, count - start)
        noise = torch.zeros(frames, 1, vocab, device=device)
        seed = torch.full((frames,), 3, device=device)
        frame = torch.arange(start, start + frames, dtype=torch.int32, device=device)
        operations.draw_noise(seed, frame, noise)
        one = torch.ones(frames, device=device)
        codes = torch.zeros(frames, 1, dtype=torch.int32, device=device)
        rows = logits.repeat(frames, 1)
        operations.sample(rows, noise, 0, CFG_SCALE * one, one, (topk * one).int(), codes, -1)
        counts += codes[:, 0].long().bincount(minlength=vocab)
    likely = guided(logits).topk(topk)
    drawn = counts[likely.indices].double()
    expected = likely.values.double().softmax(-1) * count
    chi2 = ((drawn - expected) ** 2 / expected).sum().cpu()
    freedom = torch.tensor((topk - 1) / 2, dtype=torch.float64)
    chance = torch.special.gammaincc(freedom, chi2 / 2)
    return {
        "draws": count,
        "draws_outside_topk": count - int(drawn.sum()),
        "chi2": chi2.item(),
        "degrees_of_freedom": topk - 1,
        "p_value": chance.item(),
    }
