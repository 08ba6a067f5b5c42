"""The frame loop: from a prompt to a song's codes, one frame of 80 ms at a time.

A song may go on from frames that are given (the prefix): they are read after the prompt, all at once.

Legend: K codebooks, T frames of the prefix, V audio vocabulary, R rows (1, or 2 with guidance), D backbone width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event
from typing import NamedTuple

import torch
from torch import Tensor

from heartlib.errors import HeartlibError, UsageError
from heartlib.heartmula.configuration_heartmula import HeartMuLaConfig
from heartlib.heartmula.modeling_heartmula import HeartMuLa
from heartlib.heartmula.prompt import Prompt
from heartlib.heartmula.sampling import draw, guide
from heartlib.heartmula.transformer import KVCache


@dataclass(frozen=True)
class SamplingSettings:
    """How codes are drawn; checked here, once, for every caller."""

    cfg_scale: float = 1.5
    temperature: float = 1.0
    topk: int = 50
    audio_eos_id: int = 8193

    def __post_init__(self) -> None:
        if not (math.isfinite(self.cfg_scale) and self.cfg_scale >= 1):
            raise UsageError(
                f"cfg_scale {self.cfg_scale} is not allowed: a number >= 1 (1 = no guidance)"
            )
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise UsageError(f"temperature {self.temperature} is not allowed: a number > 0")
        if self.topk < 1:
            raise UsageError(f"topk {self.topk} is not allowed: a whole number >= 1")

    @property
    def rows(self) -> int:
        return 1 if self.cfg_scale == 1 else 2


class NothingSung(HeartlibError):
    """The model ended the song before its first new frame."""


class Frame(NamedTuple):
    """What one step gives: codes [K] and the logits before guidance [K, R, V]."""

    codes: Tensor
    logits: Tensor


class FrameState(NamedTuple):
    """What one song carries from frame to frame."""

    backbone: KVCache
    depth: KVCache
    generator: torch.Generator


def new_state(
    model: HeartMuLa, settings: SamplingSettings, *, positions: int, seed: int
) -> FrameState:
    """Empty caches for `positions` backbone positions, and the song's own random stream."""
    rows, codebooks = settings.rows, model.config.audio_num_codebooks
    return FrameState(
        model.backbone.new_cache(rows, positions),
        model.decoder.new_cache(rows, codebooks),
        torch.Generator(model.device).manual_seed(seed),
    )


def embed_prompt(model: HeartMuLa, prompt: Prompt, rows: int) -> Tensor:
    """The backbone's input for a prompt: [R, S, D]; row 1, if any, is the unconditional one."""
    device = model.device
    style = None if prompt.muq_embed is None else prompt.muq_embed.to(device).expand(rows, -1)
    return model.embed(
        prompt.tokens.to(device).expand(rows, -1, -1),
        prompt.mask.to(device).expand(rows, -1, -1),
        style,
        torch.full((rows,), prompt.muq_index, device=device),
        torch.arange(rows, device=device) == 1,
    )


def embed_prefix(model: HeartMuLa, prefix: Tensor, rows: int) -> Tensor:
    """The backbone's input for given frames [K, T]: [R, T, D]; both rows hear them."""
    return model.embed_frame(prefix.to(model.device).t()).expand(rows, -1, -1)


def draw_race(model: HeartMuLa, state: FrameState, settings: SamplingSettings) -> Tensor:
    """One frame's random numbers, [K, topk]."""
    codebooks, vocab = model.config.audio_num_codebooks, model.config.audio_vocab_size
    race = torch.empty(codebooks, min(settings.topk, vocab), device=model.device)
    return race.exponential_(generator=state.generator)


def frame_step(model: HeartMuLa, x: Tensor, state: FrameState, settings: SamplingSettings) -> Frame:
    """One frame after the new backbone inputs x [R, S, D] (a prompt and its prefix, or the frame before).

    One sample feeds both rows. Nothing here waits for the device.
    """
    race = draw_race(model, state, settings)
    unknown = slice(settings.audio_eos_id - 1, settings.audio_eos_id)  # no codec decodes this code

    state.depth.clear()
    hidden, logits = model.backbone_step(x, state.backbone)
    codes, all_logits = [], []
    for codebook in range(model.config.audio_num_codebooks):
        if codebook > 0:
            embedded = model.embed_code(codebook - 1, codes[-1]).expand(settings.rows, 1, -1)
            if codebook == 1:
                embedded = torch.cat((hidden[:, None], embedded), dim=1)
            logits = model.depth_step(embedded, codebook, state.depth)
        all_logits.append(logits)
        guided = guide(logits, settings.cfg_scale).clone()
        guided[unknown] = -torch.inf
        codes.append(draw(guided, race[codebook], settings.temperature))
    return Frame(torch.cat(codes), torch.stack(all_logits))


def check_request(
    model: HeartMuLa, prompt: Prompt, prefix: Tensor, max_frames: int, seed: int
) -> None:
    """UsageError for a song that this model cannot sing; prefix [K, T] as of `as_prefix`."""
    codebooks, limit = model.config.audio_num_codebooks, model.config.backbone.max_seq_len
    if max_frames < 1:
        raise UsageError(f"{max_frames} frames are not allowed: at least 1 (80 ms)")
    if not 0 <= seed < 2**63:
        raise UsageError(f"seed {seed} is not allowed: a whole number from 0 to 2^63 - 1")
    if prompt.tokens.ndim != 2 or prompt.tokens.shape[1] != codebooks + 1:
        raise UsageError(
            f"prompt tokens have shape {list(prompt.tokens.shape)}, not [S, {codebooks + 1}]"
        )
    length = len(prompt.tokens)
    if length + max_frames > limit:
        room = max(limit - length, 0)
        raise UsageError(
            f"the song is too long: prompt {length} + {max_frames} frames, and the model has "
            f"{limit} positions; at most {room} frames ({room * 0.08:.1f} s) with this prompt"
        )
    if prefix.shape[1] >= max_frames:
        raise UsageError(
            f"the prefix has {prefix.shape[1]} frames and the whole song may have {max_frames}: "
            "ask for a longer song or give fewer frames"
        )


def as_prefix(prefix: Tensor | None, config: HeartMuLaConfig, audio_eos_id: int) -> Tensor:
    """Given frames, int64 [K, T] on the CPU; no frames for None.

    UsageError for what is not whole frames of decodable codes, integers [K, T].
    """
    codebooks = config.audio_num_codebooks
    if prefix is None:
        return torch.empty(codebooks, 0, dtype=torch.long)
    if prefix.ndim != 2 or prefix.shape[0] != codebooks:
        raise UsageError(f"prefix codes have shape {list(prefix.shape)}, not [{codebooks}, T]")
    if prefix.is_floating_point() or prefix.is_complex() or prefix.dtype == torch.bool:
        raise UsageError(f"prefix codes are {prefix.dtype}; give integers")
    prefix = prefix.long().cpu()
    if prefix.shape[1] == 0:
        return prefix
    low, high, most = (
        int(prefix.min()),
        int(prefix.max()),
        min(audio_eos_id - 1, config.audio_vocab_size) - 1,
    )
    if low < 0 or high > most:
        raise UsageError(f"prefix codes range over {low}…{high}; this model sings 0…{most}")
    return prefix


def generate_frames(
    model: HeartMuLa,
    prompt: Prompt,
    *,
    max_frames: int,
    prefix: Tensor | None = None,
    cfg_scale: float = 1.5,
    temperature: float = 1.0,
    topk: int = 50,
    seed: int = 0,
    audio_eos_id: int = 8193,
) -> Iterator[Tensor]:
    """Yields a song's frames one by one: LongTensor [K], every code decodable; on the CPU where the model has a frame loop.

    Ends after max_frames (80 ms each), or before a frame with any code >= audio_eos_id.
    cfg_scale 1 runs one row, above 1 two. The same seed on the same machine gives the same song.
    prefix [K, T]: the song's first T frames, which count towards max_frames and are not yielded. The
    random numbers that they would have taken are passed over: after a song's own first frames, its
    seed and settings draw with the same numbers as then, from logits that are equal up to rounding.
    Raises `UsageError`, at the call, for values that are not allowed and for a song beyond the
    model's positions; `NothingSung` if the song ends before its first new frame.
    """
    settings = SamplingSettings(cfg_scale, temperature, topk, audio_eos_id)
    prefix = as_prefix(prefix, model.config, audio_eos_id)
    check_request(model, prompt, prefix, max_frames, seed)
    if model.frame_loop is None:
        frames = _frames(model, prompt, prefix, settings, max_frames, seed)
    else:
        frames = model.frame_loop.frames(prompt, prefix, settings, max_frames, seed)
    return _until_end(frames, prefix.shape[1], audio_eos_id)


def _frames(
    model: HeartMuLa,
    prompt: Prompt,
    prefix: Tensor,
    settings: SamplingSettings,
    max_frames: int,
    seed: int,
) -> Iterator[Tensor]:
    positions, given = len(prompt.tokens) + max_frames, prefix.shape[1]
    with torch.inference_mode():
        state = new_state(model, settings, positions=positions, seed=seed)
        x = embed_prompt(model, prompt, settings.rows)
        if given:
            x = torch.cat((x, embed_prefix(model, prefix, settings.rows)), dim=1)
        for _ in range(given):
            draw_race(model, state, settings)
    for _ in range(given, max_frames):
        with torch.inference_mode():  # entered anew: a generator must not hold it while suspended
            codes = frame_step(model, x, state, settings).codes
            x = model.embed_frame(codes).expand(settings.rows, 1, -1)
        yield codes.clone()  # outside inference mode: an ordinary tensor


def _until_end(frames: Iterator[Tensor], given: int, audio_eos_id: int) -> Iterator[Tensor]:
    """The frames before one with a code >= audio_eos_id; NothingSung if that is the first of them."""
    for index, codes in enumerate(frames):
        if int(codes.max()) < audio_eos_id:
            yield codes
        elif index:
            return
        elif given:
            raise NothingSung(
                f"nothing to add: the model ended the song right after the {given} frames given; "
                "try another seed, an earlier place, or lyrics that go on longer"
            )
        else:
            raise NothingSung(
                "nothing to sing: the model ended the song at its first frame; "
                "try another seed, other tags or longer lyrics"
            )


def generate(
    model: HeartMuLa,
    prompt: Prompt,
    *,
    max_frames: int,
    prefix: Tensor | None = None,
    cfg_scale: float = 1.5,
    temperature: float = 1.0,
    topk: int = 50,
    seed: int = 0,
    audio_eos_id: int = 8193,
    progress: Callable[[int, int], None] | None = None,
    each: Callable[[Tensor], object] | None = None,
    cancel: Event | None = None,
) -> Tensor:
    """A song's codes: LongTensor [K, T] on the CPU, T <= max_frames; see `generate_frames`.

    A prefix stands at its beginning. After every frame each(codes [K]) and progress(frames done, max_frames) are called;
    once `cancel` is set, what has been sung so far is returned (nothing new, perhaps).
    """
    stream = generate_frames(
        model,
        prompt,
        max_frames=max_frames,
        prefix=prefix,
        cfg_scale=cfg_scale,
        temperature=temperature,
        topk=topk,
        seed=seed,
        audio_eos_id=audio_eos_id,
    )
    song = as_prefix(prefix, model.config, audio_eos_id)
    given, frames = song.shape[1], list[Tensor]()
    while cancel is None or not cancel.is_set():
        codes = next(stream, None)
        if codes is None:
            break
        frames.append(codes)
        if each is not None:
            each(codes)
        if progress is not None:
            progress(given + len(frames), max_frames)
    return torch.cat((song, torch.stack(frames, dim=1).cpu()), dim=1) if frames else song
