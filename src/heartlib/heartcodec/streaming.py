"""A song's sound while its codes are still coming: short pieces first, so that the first is heard early.

The windows of `HeartCodec.detokenize_windows` wait for 30 s of song. Here the first one has 5 s, repeated to fill the window
as the codec does with short songs, and the next ones have more. Each goes on from what was played before: its latents are the
window's context, its last sound fades into the new one.

Shapes: K codebooks, T frames of 80 ms, n samples at 48 kHz.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from heartlib.heartcodec.configuration_heartcodec import LATENTS_PER_FRAME
from heartlib.heartcodec.modeling_heartcodec import (
    OVERLAP_FRAMES,
    WINDOW_FRAMES,
    WINDOW_LATENTS,
    HeartCodec,
    cross_fade,
)

NEW_FRAMES = (
    64,
    128,
    256,
    WINDOW_FRAMES - OVERLAP_FRAMES,
)  # of each window; the last for all others
HELD_FRAMES = 3  # at a window's end, not played: what follows them was not known
FADE_FRAMES = 2  # of these, which fade into the next window
AHEAD_FRAMES = 1  # that the scalar decoder looks ahead


@torch.inference_mode()
def stream(
    codec: HeartCodec,
    first: Callable[[int], Tensor],
    num_steps: int | None = None,
    guidance_scale: float | None = None,
    seed: int = 0,
) -> Iterator[Tensor]:
    """The sound of a song in pieces [2, n], float32 on the CPU, as its codes come.

    first(n): the first n frames of the song [K, n], or all that it has; it may wait for them. Where the pieces
    begin hangs on the number of frames alone, not on when they come: the same song and seed sound the same.
    Raises as `HeartCodec.detokenize`.
    """
    config, samples = codec.config, codec.config.samples_per_frame
    steps = config.num_steps if num_steps is None else num_steps
    guidance = config.guidance_scale if guidance_scale is None else guidance_scale
    codec.check_sampling(steps, guidance)
    generator = torch.Generator().manual_seed(seed)
    fade, played, window = FADE_FRAMES * samples, 0, 0
    context, tail = None, None
    while True:
        start = max(0, played - OVERLAP_FRAMES)
        end = played + NEW_FRAMES[min(window, len(NEW_FRAMES) - 1)]
        codes = first(end + 1)
        ended = codes.shape[1] <= end
        here = codes[:, start:end]
        codec.check_codes(here)
        frames = here.shape[1]
        filled = here[:, torch.arange(WINDOW_FRAMES) % frames]
        noise = torch.randn(1, WINDOW_LATENTS, config.out_channels, generator=generator)
        with codec.aside(filled):
            latents = codec.latents(filled[None], noise, [context], steps, guidance)
            heard = latents[:, : LATENTS_PER_FRAME * (frames + AHEAD_FRAMES)]
            wave = codec.sound(heard)[0].cpu()  # [2, n]
        begin, stop = played - start, frames - (0 if ended else HELD_FRAMES)
        piece = wave[:, samples * begin : samples * stop].clone()
        if tail is not None:
            piece[:, :fade] = cross_fade(tail, piece[:, :fade])
        yield piece
        if ended:
            return
        tail = wave[:, samples * stop :][:, :fade]
        known = latents[0, : LATENTS_PER_FRAME * stop]
        context = known[-LATENTS_PER_FRAME * OVERLAP_FRAMES :]
        played, window = start + stop, window + 1
