"""Train HeartMuLa, the language model, from pairs of songs: the better one of each (DPO, Rafailov et al. 2023).

    heartlib train dpo --init runs/lm/HeartMuLa-oss-nano --pairs pairs.jsonl --data candidates --out runs/dpo

--pairs is a file of JSON lines, one a pair; --data are Codes folders with the songs that it names:

    {"tags": "pop,female", "lyrics": "[Verse]\\n…", "chosen": "song-17-2", "rejected": "song-17-0"}

`chosen` and `rejected` are ids in songs.jsonl of these folders: songs that ended by themselves, sung from the same
tags and lyrics. The loss is −log σ(β·((log π(c) − log ρ(c)) − (log π(r) − log ρ(r)))), with ρ the model of
before, and log π of a song the sum over its frames and all codebooks. Writes into --out what `lm` writes.
"""

from __future__ import annotations

import copy
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from heartlib import checkpoints
from heartlib.errors import HeartlibError, UsageError
from heartlib.heartmula import GenConfig, HeartMuLa
from heartlib.heartmula.prompt import bracket
from heartlib.training.dpo_recipe import DPOOptions, DPORecipe
from heartlib.training.lm_data import Batch, Collator, Song, read_songs
from heartlib.training.lm_trainer import logits_of, parameter_groups
from heartlib.training.loop import EMA, adamw, autocast
from heartlib.training.run import Run
from heartlib.training.tokenizer import read_tokenizer


@dataclass(frozen=True)
class Pair:
    """Two songs of one prompt."""

    chosen: Song
    rejected: Song


def read_pairs(
    file: Path, songs: dict[str, Song], tokenizer: Tokenizer, gen: GenConfig
) -> list[Pair]:
    """The pairs of a file. UsageError for a line that is none, or names a song that is not there."""
    if not file.is_file():
        raise UsageError(f"there is no file of pairs {file}")
    pairs = []
    for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
        where = f"{file}, line {number}"
        try:
            entry = json.loads(line)
            tags, lyrics = entry["tags"].lower(), entry["lyrics"].strip().lower()
            names = entry["chosen"], entry["rejected"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"{where} is no pair: give JSON with tags, lyrics, chosen and rejected ({error!r})"
            ) from error
        for name in names:
            if name not in songs:
                raise UsageError(f"{where} names the song {name!r}, which is in none of --data")
        tokens = [tokenizer.encode(tag.strip()).ids for tag in tags.split(",") if tag.strip()]
        prompt = {
            "tags": tuple(map(tuple, tokens)),
            "lyrics": tuple(bracket(tokenizer.encode(lyrics).ids, gen)),
        }
        pairs.append(Pair(*(replace(songs[name], **prompt) for name in names)))
    if not pairs:
        raise UsageError(f"{file} has no pairs")
    return pairs


def log_chances(model: HeartMuLa, batch: Batch) -> Tensor:
    """Log-probability of every row's song given its prompt, summed over frames and codebooks: [B].

    The batch's depth decoder must see all N frames, in order.
    """
    with autocast(model.device):
        first, others = logits_of(model, batch)
    logits = torch.cat((first[None], others)).float()  # [K, N, V]
    each = -F.cross_entropy(logits.flatten(0, 1), batch.frames.T.flatten(), reduction="none")
    rows, length = batch.tokens.shape[:2]
    frames = each.view(len(logits), -1).sum(0)  # [N]
    return frames.new_zeros(rows).index_add(0, batch.at // length, frames)


def margins(model: HeartMuLa, before: HeartMuLa, batch: Batch) -> Tensor:
    """How much more than before the model prefers each chosen song: [pairs]; the chosen rows come first."""
    with torch.no_grad():
        reference = log_chances(before, batch)
    chosen, rejected = (log_chances(model, batch) - reference).chunk(2)
    return chosen - rejected


class Order:
    """Which pairs each step has: another order every epoch, by the seed alone."""

    def __init__(self, pairs: Sequence[Pair], recipe: DPORecipe, workers: int) -> None:
        self.pairs, self.recipe, self.workers = pairs, recipe, workers

    def __call__(self, step: int, part: int, rank: int) -> list[Pair]:
        recipe, count = self.recipe, len(self.pairs)
        batch = (step * recipe.accumulate + part) * self.workers + rank
        chosen = []
        for place in range(batch * recipe.batch, (batch + 1) * recipe.batch):
            epoch, index = divmod(place, count)
            order = np.random.default_rng([recipe.seed, epoch]).permutation(count)
            chosen.append(self.pairs[order[index]])
        return chosen


def train(recipe: DPORecipe, options: DPOOptions) -> dict[str, Any]:
    """Trains until the schedule, the lot or Ctrl-C ends it; resumes from OUT/state; last figures."""
    run, out, beside = Run("dpo", recipe, options), options.out, options.init.parent
    model = HeartMuLa.from_pretrained(options.init, device=run.device, int8=False)
    gen = checkpoints.read_config(beside, GenConfig, "gen_config.json")
    tokenizer = read_tokenizer(beside / "tokenizer.json")
    codebooks = model.config.audio_num_codebooks
    found = [
        song for folder in options.data for song in read_songs(folder, tokenizer, gen, codebooks)
    ]
    songs = {song.id: song for song in found}
    pairs = read_pairs(options.pairs, songs, tokenizer, gen)
    longest, room = (
        max(max(p.chosen.positions, p.rejected.positions) for p in pairs),
        positions(model),
    )
    if longest > room:
        raise HeartlibError(f"a song of the pairs has {longest} positions, the model {room}")
    held = min(recipe.holdout, len(pairs) // 4)
    held_out, learned = pairs[:held], pairs[held:]
    before = copy.deepcopy(model).requires_grad_(False)
    model.requires_grad_(True)
    ema = EMA(model, recipe.ema_decay)
    groups = parameter_groups(model, recipe.weight_decay)
    descend = run.descent(
        "adamw", adamw(groups, recipe.peak_lr, (0.9, 0.95), 0.0, graphed=False), model
    )
    run.modules |= {"model": model, "ema": ema}
    run.resume()
    run.start_log(pairs=len(learned), held_out=held, begins_at=run.step)
    collate = Collator(tokenizer, gen, condition_dropout=0.0, tag_dropout=0.0, depth_share=1.0)
    order = Order(learned, recipe, run.workers.count)

    def batch_of(chosen: Sequence[Pair]) -> Batch:
        both = [pair.chosen for pair in chosen] + [pair.rejected for pair in chosen]
        return collate(both, np.random.default_rng(0)).to(run.device)

    def learn(part: int) -> dict[str, Tensor]:
        batch = batch_of(order(run.step, part, run.workers.rank))
        margin = margins(model, before, batch)
        loss = -F.logsigmoid(recipe.beta * margin).mean()
        norm = descend(loss, part)
        if part == recipe.accumulate - 1:
            ema.update(model)
        told = {"margin": margin.detach().mean(), "right": (margin > 0).float().mean()}
        return {"loss": loss.detach(), "norm": norm, **told}

    @torch.no_grad()
    def look() -> dict[str, Any]:
        with ema.in_place(model):
            dtype = getattr(torch, options.save_dtype)
            model.save_pretrained(out / options.init.name, dtype=dtype)
            for name in ("tokenizer.json", "gen_config.json"):
                if (beside / name).resolve() != (out / name).resolve():
                    shutil.copyfile(beside / name, out / name)
            parts = [held_out[i : i + recipe.batch] for i in range(0, held, recipe.batch)]
            if not parts:
                return {}
            margin = torch.cat([margins(model, before, batch_of(part)) for part in parts])
        loss = -F.logsigmoid(recipe.beta * margin).mean()
        return {
            "held_loss": loss.item(),
            "held_margin": margin.mean().item(),
            "held_right": (margin > 0).float().mean().item(),
        }

    return run.train(learn, look)


def positions(model: HeartMuLa) -> int:
    return model.config.backbone.max_seq_len


if __name__ == "__main__":
    from heartlib.cli import main

    sys.exit(main(["train", "dpo", *sys.argv[1:]]))
