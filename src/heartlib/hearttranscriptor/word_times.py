"""When each word is sung: the decoder's cross-attention, and the best monotone path through it.

A token is looked for by the decoder step that predicts it, and the heads of the upper layers look at
where it is sung. The path is dynamic time warping with a silence between any two tokens.

Legend: T frames of 20 ms, K tokens, M marks before them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

FRAME = 0.02  # seconds
SILENCE = 0.005  # attention that a silence is worth; an even gaze at 30 s would be 0.0007 a frame


@dataclass(frozen=True)
class Word:
    """A sung word; start and end in seconds of the song."""

    text: str
    start: float
    end: float


def alignment_heads(model: Any) -> list[tuple[int, int]]:
    """Layer and head of those that look at what is sung: what the checkpoint names, else the upper half."""
    named = getattr(model.generation_config, "alignment_heads", None)
    if named:
        return [(int(layer), int(head)) for layer, head in named]
    layers, heads = model.config.decoder_layers, model.config.decoder_attention_heads
    return [(layer, head) for layer in range(layers // 2, layers) for head in range(heads)]


def attention(model: Any, heard: Tensor, marks: list[int], tokens: list[int]) -> np.ndarray:
    """Where the alignment heads look for each token: float32 [K, T], rows that sum to 1.

    heard: the encoder's output of one window [1, T, D]; marks: the tokens before the text.
    """
    ids = torch.tensor([[*marks, *tokens[:-1]]], device=heard.device)  # [1, M + K - 1]
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")  # the only one that tells its weights
    try:
        found = model.model.decoder(
            input_ids=ids, encoder_hidden_states=heard, output_attentions=True, use_cache=False
        ).cross_attentions
    finally:
        model.set_attn_implementation(before)
    rows = [found[layer][0, head, len(marks) - 1 :] for layer, head in alignment_heads(model)]
    return torch.stack(rows).float().mean(0).cpu().numpy()


def spans(looks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First frame of each token, and the frame after its last: int [K] each, for attention [K, T], T ≥ K.

    Every token takes at least one frame; they keep their order, with silences between.
    """
    count, frames = looks.shape
    gain = np.full((frames, 2 * count + 1), SILENCE)
    gain[:, 1::2] = looks.T
    best = np.full(2 * count + 1, -np.inf)
    best[:2] = gain[0, :2]
    came = np.zeros(gain.shape, np.int64)  # how many states back: 2 leaves a silence out
    for frame in range(1, frames):
        ways = np.full((3, len(best)), -np.inf)
        ways[0], ways[1, 1:] = best, best[:-1]
        ways[2, 3::2] = best[1:-2:2]
        came[frame] = ways.argmax(0)
        best = ways.max(0) + gain[frame]
    state = len(best) - 1 - int(best[-2] > best[-1])
    path = np.zeros(frames, np.int64)
    for frame in reversed(range(frames)):
        path[frame] = state
        state -= came[frame, state]
    tokens = 2 * np.arange(count) + 1
    return np.searchsorted(path, tokens), np.searchsorted(path, tokens, side="right")


def words(pieces: list[Word], *, spaced: bool) -> list[Word]:
    """Words of a text that comes in pieces with their times.

    A word is what stands between spaces; if not `spaced`, every sign is one, with the punctuation
    behind it. The signs of a piece share its time.
    """
    found: list[Word] = []
    inside = False
    for piece in pieces:
        edges = np.linspace(piece.start, piece.end, len("".join(piece.text.split())) + 1).tolist()
        for sign in piece.text:
            if sign.isspace():
                inside = False
                continue
            start, end = edges.pop(0), edges[0]
            if inside and (spaced or sign.isascii() or not sign.isalnum()):
                found[-1] = Word(found[-1].text + sign, found[-1].start, end)
            else:
                found.append(Word(sign, start, end))
            inside = True
    return found
