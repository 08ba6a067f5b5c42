"""Train HeartCLAP: songs and what is said of them, in one space.

    heartlib train clap --data songs --tokenizer tokenizer.json --out runs/clap --minutes 4
    heartlib train clap --data songs --tokenizer tokenizer.json --out runs/more --init runs/clap/HeartCLAP-oss

Symmetric InfoNCE over a batch of ten-second clips and one text each, with a learned temperature; facts are left
out at random. With several processes each compares the songs of its own batch. Writes into --out HeartCLAP-oss,
log.jsonl, tensorboard and state.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from heartlib.audio.resampling import resample
from heartlib.errors import HeartlibError, UsageError
from heartlib.heartclap import HeartCLAP
from heartlib.heartclap.descriptions import describe, facts
from heartlib.training.alignment import read_truth
from heartlib.training.clap_recipe import CLAPOptions, CLAPRecipe
from heartlib.training.corpus_audio import read_each, read_song, song_ids, split
from heartlib.training.loop import EMA, adamw, autocast
from heartlib.training.run import Run
from heartlib.training.tokenizer import read_tokenizer

LARGEST_SCALE = 100.0  # of the similarities, as in CLIP


@dataclass(frozen=True)
class Described:
    """Songs end to end: mel float16 [n_mels, F] on the device, where each is, and its facts."""

    mel: Tensor
    first: list[int]
    frames: list[int]
    known: list[dict[str, str]]

    @classmethod
    def load(cls, sources: list[tuple[Path, list[str]]], model: HeartCLAP) -> Described:
        """The songs of several corpora, at least a clip long each."""
        config = model.config
        mels, first, frames, known, at = [], [], [], [], 0
        for folder, ids in sources:
            read = partial(mixed_down, folder, config.sample_rate)
            for name, mono in read_each(ids, read):
                mel = model.mel(torch.from_numpy(mono).to(model.device)).half()
                if mel.shape[1] < config.clip_frames:
                    continue
                mels.append(mel)
                first.append(at)
                frames.append(mel.shape[1])
                known.append(facts(read_truth(folder, name)))
                at += mel.shape[1]
        if len(mels) < 2:
            raise HeartlibError(
                f"{len(mels)} of {sum(len(ids) for _, ids in sources)} songs to learn from or held out "
                f"last {config.clip_seconds:g} s; 2 are needed: make a larger corpus"
            )
        return cls(torch.cat(mels, 1), first, frames, known)


def mixed_down(folder: Path, sample_rate: int, song: str) -> np.ndarray:
    """A song of a corpus as one channel at another rate, float32 [n]."""
    wave = read_song(folder, song, 48000)
    return resample(wave.mean(0, keepdim=True).numpy(), 48000, sample_rate)[0]


def clips(songs: Described, chosen: Sequence[int], starts: Sequence[int], length: int) -> Tensor:
    """Mel [B, n_mels, length] from frame `starts` of the songs `chosen`."""
    at = torch.tensor([songs.first[i] + s for i, s in zip(chosen, starts, strict=True)])
    at = at[:, None] + torch.arange(length)
    return songs.mel[:, at.to(songs.mel.device)].transpose(0, 1).float()


def masked(mel: Tensor, count: int) -> Tensor:
    """Normalised mel [B, n_mels, F] with bands and stretches of time set to the mean (SpecAugment)."""
    for axis, share in ((1, 0.15), (2, 0.1)):
        size = mel.shape[axis]
        clock = torch.arange(size, device=mel.device)
        for _ in range(count):
            width = share * size * torch.rand(len(mel), 1, device=mel.device)
            start = (size - width) * torch.rand(len(mel), 1, device=mel.device)
            hidden = (clock >= start) & (clock < start + width)
            mel = mel.masked_fill(hidden[:, :, None] if axis == 1 else hidden[:, None], 0.0)
    return mel


def info_nce(audio: Tensor, text: Tensor, scale: Tensor, same: Tensor) -> Tensor:
    """Symmetric InfoNCE of embeddings [B, D]; other rows of the `same` text [B, B] are no mistakes."""
    logits = scale * F.normalize(audio.float(), dim=-1) @ F.normalize(text.float(), dim=-1).T
    others = same & ~torch.eye(len(same), dtype=torch.bool, device=same.device)
    logits = logits.masked_fill(others, -torch.inf)
    right = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2


@torch.inference_mode()
def retrieval(model: HeartCLAP, songs: Described, most: int) -> dict[str, float]:
    """Text → audio among the songs: all facts told, every song the mean of its clips; R@1 and R@10."""
    count, length = min(most, len(songs.first)), model.config.clip_frames
    audio = []
    for i in range(count):
        starts = list(range(0, songs.frames[i] - length + 1, length))
        parts = model.audio(clips(songs, [i] * len(starts), starts, length))
        audio.append(F.normalize(F.normalize(parts, dim=-1).mean(0), dim=-1))
    rng = random.Random(0)
    text = model.embed_text([describe(songs.known[i], rng, 0.0) for i in range(count)])
    found = (text @ torch.stack(audio).T).argsort(1, descending=True)
    rank = (found == torch.arange(count, device=found.device)[:, None]).float().argmax(1)
    return {
        "held_songs": float(count),
        "recall_1": (rank < 1).float().mean().item(),
        "recall_10": (rank < 10).float().mean().item(),
    }


def begin_with(model: HeartCLAP, folder: Path) -> None:
    """Takes the weights of a trained model; UsageError where it has another shape."""
    trained = HeartCLAP.from_pretrained(folder)
    before, now = trained.config.to_dict(), model.config.to_dict()
    other = [name for name in now if name != "dropout" and before[name] != now[name]]
    if other:
        told = ", ".join(f"{name} {before[name]}, not {now[name]}" for name in other)
        raise UsageError(f"{folder} has another shape than the recipe: {told}")
    model.load_state_dict(trained.state_dict())


def train(recipe: CLAPRecipe, options: CLAPOptions) -> dict[str, float]:
    """Trains until the schedule, the lot or Ctrl-C ends it; resumes from OUT/state; last figures."""
    run, out = Run("clap", recipe, options), options.out
    device = run.device
    tokenizer = read_tokenizer(options.tokenizer)
    model = HeartCLAP(recipe.model_config(tokenizer.get_vocab_size()))
    if options.init and not run.begun:
        begin_with(model, options.init)
    model.to(device).train()
    model.tokenizer = tokenizer
    parts = [(folder, split(song_ids(folder), recipe.held_out)) for folder in options.data]
    songs, held = (
        Described.load([(folder, ids[part]) for folder, ids in parts], model) for part in (0, 1)
    )
    ema = EMA(model, recipe.ema_decay).to(device)
    optimizer = adamw(
        model.parameters(), recipe.peak_lr, (0.9, 0.98), recipe.weight_decay, graphed=False
    )
    descend = run.descent("adamw", optimizer, model)
    run.modules |= {"model": model, "ema": ema}
    run.resume()
    weights, frames = sum(p.numel() for p in model.parameters()), model.config.clip_frames
    run.start_log(
        songs=len(songs.first), held_out=len(held.first), parameters=weights, begins_at=run.step
    )

    def learn(part: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([recipe.seed, run.step, part, run.workers.rank])
        poet = random.Random(int(rng.integers(2**31)))
        chosen = rng.integers(len(songs.first), size=recipe.batch).tolist()
        starts = [int(rng.integers(songs.frames[i] - frames + 1)) for i in chosen]
        texts = [describe(songs.known[i], poet, recipe.left_out) for i in chosen]
        alike = np.array([[a == b for b in texts] for a in texts])
        alike |= np.equal.outer(chosen, chosen)
        mel = masked(clips(songs, chosen, starts, frames), recipe.masks)
        with autocast(device):
            audio, text = model.audio(mel), model.text(model.tokens(texts))
        scale = model.log_scale.exp().clamp_max(LARGEST_SCALE)
        loss = info_nce(audio, text, scale, torch.from_numpy(alike).to(device))
        norm = descend(loss, part)
        if part == recipe.accumulate - 1:
            ema.update(model)
        return {"loss": loss.detach(), "norm": norm}

    def look() -> dict[str, float]:
        with ema.in_place(model):
            model.eval()
            figures = retrieval(model, held, recipe.retrieved)
            model.save_pretrained(out / "HeartCLAP-oss", dtype=torch.bfloat16)
            model.train()
        return figures

    return run.train(learn, look)


if __name__ == "__main__":
    from heartlib.cli import main

    sys.exit(main(["train", "clap", *sys.argv[1:]]))
