"""Train HeartMuLa, the language model, from Codes folders.

    heartlib train lm --data runs/codes --tokenizer tokenizer.json --out runs/lm --minutes 8
    heartlib train lm --config full --data codes --tokenizer tokenizer.json --out runs/3B
    heartlib train lm --config reference --init nano/HeartMuLa-oss-nano --data styled --tokenizer tokenizer.json --out runs/reference
    heartlib train lm --config sft --init runs/3B/HeartMuLa-oss-3B --data best --tokenizer tokenizer.json --out runs/sft

The prompt and the padding are not predicted; every song ends with a frame of audio_eos_id in all
codebooks. Where the folders say when each word is sung, a pointer is trained along and left behind:
the loss of finding, from one of the backbone's layers, the token of the prompt that the next frame sings.
Writes into --out HeartMuLa-oss-VERSION, gen_config.json, tokenizer.json, log.jsonl, tensorboard and state.
"""

from __future__ import annotations

import json
import shutil
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from heartlib import checkpoints
from heartlib.errors import UsageError
from heartlib.heartmula import GenConfig, HeartMuLa
from heartlib.heartmula.configuration_heartmula import FRAME_MS
from heartlib.training.lm_data import Batch, Collator, Song, ahead, plan_epoch, read_songs
from heartlib.training.lm_recipe import LMOptions, LMRecipe
from heartlib.training.lm_singer import Singer
from heartlib.training.lm_trainer import Trainer, logits_of, losses
from heartlib.training.loop import autocast
from heartlib.training.pointer import Pointer
from heartlib.training.run import Run
from heartlib.training.tokenizer import read_tokenizer

VALIDATION_POSITIONS = 32768


@torch.no_grad()
def validate(
    model: HeartMuLa, pointer: Pointer | None, songs: Sequence[Song], collate: Collator
) -> dict[str, Any]:
    """Loss and teacher-forced accuracy of each codebook on held-out songs, conditions kept.

    With a pointer and words that are sung, also its loss and the share of frames it finds.
    """
    totals, count = torch.zeros(2, model.config.audio_num_codebooks, device=model.device), 0
    pointed = torch.zeros(3, device=model.device)
    rng = np.random.default_rng(0)
    for chosen in plan_epoch(songs, VALIDATION_POSITIONS, rng):
        batch = collate([songs[i] for i in chosen], rng).to(model.device)
        with autocast(model.device):
            first, others = logits_of(model, batch)
            loss = losses(first, others, batch)
            if pointer is not None:
                pointed += pointer(batch)
        right = others.argmax(-1) == batch.frames[batch.depth].T[1:]
        right0 = (first.argmax(-1) == batch.frames[:, 0]).float().mean()
        accuracy = torch.cat((right0[None], right.float().mean(1)))
        totals += torch.stack((loss.float(), accuracy)) * len(batch.at)
        count += len(batch.at)
    loss, accuracy = (totals / count).tolist()
    report: dict[str, Any] = {"held_loss": [round(x, 4) for x in loss]}
    report["held_accuracy"] = [round(x, 4) for x in accuracy]
    lost, found, sung = pointed.tolist()
    if sung:
        report |= {"held_pointer": lost / sung, "held_pointer_accuracy": found / sung}
    return report


def split(songs: list[Song], recipe: LMRecipe) -> tuple[list[Song], list[Song]]:
    """Songs to learn from and songs held out, at most a quarter of those that fit the positions.

    A hash of the id decides: of more songs, none that was learned from before is held out.
    """
    fit = [song for song in songs if song.positions <= recipe.positions]
    if len(fit) < len(songs):
        print(f"{len(songs) - len(fit)} songs are longer than {recipe.positions} positions")
    if not fit:
        raise UsageError(
            f"no song fits into {recipe.positions} positions; allow more or give others"
        )
    fit.sort(key=lambda song: zlib.crc32(song.id.encode()))
    held = min(recipe.holdout, len(fit) // 4)
    return fit[held:], fit[:held]


class Parts:
    """The Codes folders in some folders, or below them, where an encoder may still be adding more."""

    def __init__(self, folders: Sequence[Path], tokenizer: Tokenizer, recipe: LMRecipe) -> None:
        self.folders, self.tokenizer, self.recipe = folders, tokenizer, recipe
        self.read: set[tuple[int, Path]] = set()

    def fresh(self) -> list[Song]:
        """The songs of the folders that were not there before; HeartlibError where one is broken."""
        songs = list[Song]()
        for number, folder in enumerate(self.folders):
            below = sorted(path.parent for path in folder.glob("part-*/songs.jsonl"))
            for part in below or [folder]:
                if (number, part) not in self.read:
                    self.read.add((number, part))
                    recipe = self.recipe
                    songs += read_songs(part, self.tokenizer, recipe.gen_config, recipe.codebooks)
        if most := self.recipe.first_frames:
            songs = [replace(s, frames=s.frames[:most], sung=s.sung[:most]) for s in songs]
        for song in songs if self.recipe.reference_share else ():
            if song.styles is not None and song.styles.shape[1] != self.recipe.muq_dim:
                raise UsageError(
                    f"the styles of the data have {song.styles.shape[1]} numbers, the recipe's muq_dim is "
                    f"{self.recipe.muq_dim}: give it that, or reference_share 0"
                )
        return songs

    def more(self) -> list[Song]:
        """Those of them that fit the positions and were not held out."""
        return [song for song in self.fresh() if song.positions <= self.recipe.positions]


def prepare(
    trainer: Trainer, songs: list[Song], collate: Collator, parts: Parts, step: int, at: list[int]
) -> Iterator[tuple[list[int], Batch]]:
    """[epoch, index behind this step] and batch of every part of every step from `step` on.

    `at`: the epoch and the index in it. Batches depend on the recipe's seed, the songs, the step and the
    process alone, so that a resumed run has the same. Every epoch begins with the songs that have come.
    """
    recipe, workers, (epoch, index) = trainer.recipe, trainer.run.workers, at
    wide = recipe.accumulate * workers.count  # batches a step
    while True:
        rng = np.random.default_rng([recipe.seed, 1, epoch])
        plan = plan_epoch(songs, recipe.batch_positions, rng, full=collate.fixed_size)
        for first in range(index, len(plan), wide):
            for part in range(recipe.accumulate):
                rng = np.random.default_rng([recipe.seed, 2, step, part, workers.rank])
                place = first + part * workers.count + workers.rank
                batch = collate([songs[i] for i in plan[place % len(plan)]], rng)
                yield (
                    [epoch, first + wide],
                    batch.pinned() if trainer.device.type == "cuda" else batch,
                )
            step += 1
        epoch, index = epoch + 1, 0
        songs += parts.more()


def train(recipe: LMRecipe, options: LMOptions) -> HeartMuLa:
    """Runs one lot; returns the averaged model, as it is saved.

    It goes on from OUT/state if that exists; else it begins with the weights of the model in `init`,
    or with random ones. UsageError where `init` holds a model of another shape.
    """
    run, out = Run("lm", recipe, options), options.out
    tokenizer = read_tokenizer(options.tokenizer)
    parts = Parts(options.data, tokenizer, recipe)
    songs = parts.fresh()
    if not songs:
        raise UsageError(f"no Codes folder in {', '.join(map(str, options.data))}")
    if recipe.pointer_weight and not any((song.sung >= 0).any() for song in songs):
        print("no song says when its words are sung: the pointer learns nothing")
    if recipe.learn == "reference" and any(song.styles is None for song in songs):
        raise UsageError(
            "songs of the data have no styles to learn from: encode them with --clap or another "
            "HeartCLAP folder"
        )
    learned, held_out = split(songs, recipe)
    collate = Collator(
        tokenizer,
        recipe.gen_config,
        condition_dropout=recipe.condition_dropout,
        tag_dropout=recipe.tag_dropout,
        depth_share=recipe.depth_share,
        frame_noise=recipe.frame_noise,
        fixed_size=run.graphed,
        reference_share=recipe.reference_share,
        tagless_share=recipe.tagless_share,
    )
    alone = (
        recipe.learn == "reference"
    )  # then it is asked what a style is worth where no tags are told
    exact = Collator(
        tokenizer,
        recipe.gen_config,
        condition_dropout=0.0,
        tag_dropout=0.0,
        depth_share=1.0,
        reference_share=float(alone),
        tagless_share=1.0,
    )
    trainer = Trainer(run, recipe, tokenizer.get_vocab_size())
    model = trainer.model
    if options.init and not run.begun:
        trainer.begin_with(options.init)
    run.resume()
    singer = None
    if options.codec:
        singer = Singer(options.codec, exact, (held_out or learned)[0], recipe, run.device)
    log = run.start_log(
        songs=len(learned),
        held_out=len(held_out),
        frames=sum(len(song.frames) for song in learned),
        parameters=sum(p.numel() for p in model.parameters()),
        begins_at=run.step,
    )

    def learn(part: int) -> dict[str, Tensor]:
        run.more["at"], batch = next(prepared)
        own = recipe.own_share > 0 and run.fraction >= recipe.own_from
        found = trainer.update(batch.to(run.device), own, part)
        counted = {"frames": len(batch.at), "epoch": run.more["at"][0], "songs": len(learned)}
        return found | {name: torch.tensor(float(count)) for name, count in counted.items()}

    def look() -> dict[str, Any]:
        found = dict[str, Any]()
        with trainer.ema.in_place(model):
            model.eval()
            if held_out:
                found = validate(model, trainer.pointer, held_out, exact)
            if singer is not None:
                singer.sing(model, log, run.step)
            write(model, recipe, options, max(len(song.frames) for song in [*learned]))
            model.train()
        return found

    coming = prepare(trainer, learned, collate, parts, run.step, run.more.get("at", [0, 0]))
    out.mkdir(parents=True, exist_ok=True)
    with closing(ahead(coming)) as prepared:
        run.train(learn, look)
    trainer.ema.copy_to(model)
    if trainer.hook is not None:
        trainer.hook.remove()
    return model.eval()


def write(model: HeartMuLa, recipe: LMRecipe, options: LMOptions, longest: int) -> None:
    """The model's folder, tokenizer.json and gen_config.json; `longest`: frames of the longest song."""
    out, dtype = options.out, getattr(torch, options.save_dtype)
    model.save_pretrained(out / f"HeartMuLa-oss-{recipe.version}", dtype=dtype)
    config = replace(recipe.gen_config, longest_song_ms=FRAME_MS * longest)
    if recipe.learn == "reference" and options.init:  # its songs are as long as before
        config = checkpoints.read_config(options.init.parent, GenConfig, "gen_config.json")
    text = json.dumps(config.to_dict(), indent=1) + "\n"
    (out / "gen_config.json").write_text(text, encoding="utf-8")
    if options.tokenizer.resolve() != (out / "tokenizer.json").resolve():
        shutil.copyfile(options.tokenizer, out / "tokenizer.json")


if __name__ == "__main__":
    from heartlib.cli import main

    sys.exit(main(["train", "lm", *sys.argv[1:]]))
