"""Crops of songs as the transcriptor hears them in training: other bands, other voices, gaps.

Legend: B crops, W = 3000 mel frames of 10 ms, L tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from heartlib.training.transcriptor_data import (
    FLOOR,
    MELS,
    RATE,
    WINDOW,
    Crops,
    Recordings,
    log_mel,
    scaled,
)
from heartlib.training.transcriptor_recipe import TranscriptorRecipe

BROAD = 5  # bands of the mel that noise is as loud as together
LOWEST, HIGHEST = 8, 56  # bands, 300 Hz and 3 kHz, above which crops are made of noise


@dataclass(frozen=True)
class Heard:
    """A batch on the device: mel [B, 80, W], phonemes [B, W/2] (−100 behind the end), tokens [B, L]."""

    mel: Tensor
    phonemes: Tensor
    tokens: Tensor


def hear(
    songs: Recordings,
    crops: Crops,
    recipe: TranscriptorRecipe | None = None,
    noise: Tensor | None = None,
) -> Heard:
    """Cuts the crops out of the songs; with a recipe, warped, worn and masked at random.

    A recipe's `noisy` share of the crops needs `noise` [F, 80] of `noise_mel`; ValueError without.
    """
    if recipe and noise is None:
        raise ValueError("a recipe needs noise for its noisy crops")
    device, rows = songs.mel.device, len(crops.at)
    source = torch.from_numpy(crops.at).to(device)  # [B, W]
    frames = torch.from_numpy(crops.frames).to(device)
    spliced = torch.from_numpy(crops.spliced).to(device)
    speed = torch.ones(rows, device=device)
    if recipe:
        speed += recipe.stretch * (2 * torch.rand(rows, device=device) - 1)
        speed = torch.maximum(speed, frames / WINDOW)  # a longer crop must still fit
    clock = torch.arange(WINDOW, device=device)
    at = clock * speed[:, None]  # [B, W], frames from the crop's start
    inside = at < frames[:, None]
    low = at.long().minimum(frames[:, None] - 1)
    here, after = source.gather(1, low), source.gather(1, (low + 1).minimum(frames[:, None] - 1))
    part = (at - at.floor())[..., None]
    mel = songs.mel[here].float() * (1 - part) + songs.mel[after].float() * part  # [B, W, 80]
    if recipe:
        mel = disguise(mel, recipe)
    mel = accompanied(mel, songs, here, low, spliced, recipe)
    if recipe and noise is not None:
        mel = made_of_noise(mel, noise, recipe.noisy)
    mel = torch.where(inside[..., None], mel, FLOOR)
    phonemes = torch.where(inside, songs.phonemes[here].long(), -100)[:, ::2]
    mel = scaled(mel)
    if recipe:
        mel = masked(worn(mel, recipe.wear), recipe)
    return Heard(mel, phonemes, torch.from_numpy(crops.tokens).to(device))


def accompanied(
    voices: Tensor,
    songs: Recordings,
    here: Tensor,
    clock: Tensor,
    spliced: Tensor,
    recipe: TranscriptorRecipe | None,
) -> Tensor:
    """Log mel [B, W, 80] of frames `here` [B, W] with their band; with a recipe, behind voices any or none.

    Another song's band, which spliced rows [B] always have, goes on with the clock [B, W]. Frames of songs
    without stems stay as they are.
    """
    rows, device, band = len(voices), voices.device, songs.band
    if not len(band):
        return voices
    level = torch.zeros(rows, 1, 1, device=device)
    behind = songs.behind[here]
    mixed = behind < 0
    if recipe:
        other = spliced | (torch.rand(rows, device=device) < recipe.other_band)
        away = torch.randint(len(band), (rows, 1), device=device)
        behind = torch.where(other[:, None], (away + clock) % len(band), behind)
        level = recipe.loudest_band * (3 * torch.rand_like(level) - 2)
        level = torch.where(torch.rand_like(level) < recipe.alone, FLOOR, level)
    loudness = torch.where(mixed[..., None], 2 * FLOOR, band[behind].float() + level)
    return (10**voices + 10**loudness).clamp_min(10**FLOOR).log10()


def disguise(mel: Tensor, recipe: TranscriptorRecipe) -> Tensor:
    """Log mel [B, W, 80] with the spectrum moved and tilted, as other voices and rooms would."""
    rows, bands = len(mel), torch.arange(MELS, device=mel.device)
    moved = bands * (1 + recipe.shift * (2 * torch.rand(rows, 1, device=mel.device) - 1))
    moved = moved.clamp(0, MELS - 1.001)
    low, part = moved.long(), (moved - moved.floor())[:, None]
    at = low[:, None].expand(-1, mel.shape[1], -1)
    mel = mel.gather(2, at) * (1 - part) + mel.gather(2, at + 1) * part
    tilt = recipe.tilt * (2 * torch.rand(rows, 1, 1, device=mel.device) - 1)
    return mel + tilt * (bands / MELS - 0.5)


def noise_mel(filters: Tensor) -> Tensor:
    """Log10 mel power [F, 80] of a minute of white noise, 0 on average in each band."""
    mel = log_mel(torch.randn(60 * RATE, device=filters.device), filters)
    return mel - (10**mel).mean(0).log10()


def made_of_noise(mel: Tensor, noise: Tensor, share: float) -> Tensor:
    """Log mel [B, W, 80] whose bands above some pitch are noise as loud, in a share of the rows.

    What is left of a voice is the loudness of broad bands (Shannon et al. 1995); codecs that make up
    the fine structure leave as much.
    """
    rows, frames, bands = mel.shape
    broad = F.avg_pool1d(
        (10**mel).flatten(0, 1)[:, None], BROAD, 1, BROAD // 2, count_include_pad=False
    )
    start = torch.randint(len(noise) - frames, (rows, 1), device=mel.device)
    grain = noise[start + torch.arange(frames, device=mel.device)]
    noisy = broad.view_as(mel).clamp_min(10**FLOOR).log10() + grain
    lowest = LOWEST + (HIGHEST - LOWEST) * torch.rand(rows, 1, 1, device=mel.device)
    chosen = torch.rand(rows, 1, 1, device=mel.device) < share
    above = torch.arange(bands, device=mel.device) >= lowest
    return torch.where(chosen & above, noisy, mel)


def worn(mel: Tensor, wear: float) -> Tensor:
    """Scaled mel [B, 80, W] as codecs leave it: each row blurred and noisy by any amount up to `wear`."""
    if not wear:
        return mel
    blurred = F.avg_pool2d(mel[:, None], 3, stride=1, padding=1, count_include_pad=False)[:, 0]
    much = torch.rand(2, len(mel), 1, 1, device=mel.device)
    return torch.lerp(mel, blurred, much[0]) + wear * much[1] * torch.randn_like(mel)


def masked(mel: Tensor, recipe: TranscriptorRecipe) -> Tensor:
    """Scaled mel [B, 80, W] with stretches of time and bands silenced (SpecAugment)."""
    for axis, size, longest in ((1, MELS, 12), (2, WINDOW, 40)):
        clock = torch.arange(size, device=mel.device)
        for _ in range(recipe.masks * (1 if axis == 1 else 4)):
            width = longest * torch.rand(len(mel), 1, device=mel.device)
            start = (size - width) * torch.rand(len(mel), 1, device=mel.device)
            hidden = (clock >= start) & (clock < start + width)  # [B, size]
            mel = mel.masked_fill(hidden[:, :, None] if axis == 1 else hidden[:, None], 0.0)
    return mel
