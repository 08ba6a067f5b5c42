"""Trains HeartMuLa-nano from Codes folders, in lots of minutes that resume exactly.

`python -m heartlib.training.lm --data CODES_DIR --tokenizer tokenizer.json --out DIR --minutes 8`

The prompt and the padding are not predicted; every song ends with a frame of audio_eos_id in all
codebooks. Where the folders say when each word is sung, a pointer is trained along and left behind:
the loss of finding, from one of the backbone's layers, the token of the prompt that the next frame sings.
Writes DIR/HeartMuLa-oss-nano, DIR/gen_config.json, DIR/tokenizer.json, DIR/log.jsonl, DIR/state.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from heartlib.errors import UsageError
from heartlib.heartmula import HeartMuLa
from heartlib.heartmula.configuration_heartmula import FRAME_MS
from heartlib.training.lm_data import Batch, Collator, Song, ahead, plan_epoch, read_songs
from heartlib.training.lm_recipe import LMRecipe
from heartlib.training.lm_trainer import Trainer, losses, run
from heartlib.training.loop import Clock, Log, autocast, learning_rate
from heartlib.training.pointer import Pointer
from heartlib.training.state import has_state

VALIDATION_POSITIONS = 32768


@torch.no_grad()
def validate(
    model: HeartMuLa, pointer: Pointer | None, songs: Sequence[Song], collate: Collator
) -> dict[str, Any]:
    """Loss and teacher-forced accuracy of each codebook on held-out songs, conditions kept.

    With a pointer and words that are sung, also its loss and the share of frames it finds.
    """
    model.eval()
    totals, count = torch.zeros(2, model.config.audio_num_codebooks, device=model.device), 0
    pointed = torch.zeros(3, device=model.device)
    rng = np.random.default_rng(0)
    for chosen in plan_epoch(songs, VALIDATION_POSITIONS, rng):
        batch = collate([songs[i] for i in chosen], rng).to(model.device)
        with autocast(model.device):
            first, others = run(model, batch)
            loss = losses(first, others, batch)
            if pointer is not None:
                pointed += pointer(batch)
        right = others.argmax(-1) == batch.frames[batch.depth].T[1:]
        right0 = (first.argmax(-1) == batch.frames[:, 0]).float().mean()
        accuracy = torch.cat((right0[None], right.float().mean(1)))
        totals += torch.stack((loss.float(), accuracy)) * len(batch.at)
        count += len(batch.at)
    loss, accuracy = (totals / count).tolist()
    model.train()
    report = {"loss": [round(x, 4) for x in loss], "accuracy": [round(x, 4) for x in accuracy]}
    lost, found, sung = pointed.tolist()
    return report | ({"pointer": lost / sung, "pointer_accuracy": found / sung} if sung else {})


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


class Meter:
    """Means over the steps since the last report; only a report waits for the device."""

    def __init__(self, codebooks: int, losses: int, device: torch.device) -> None:
        self.codebooks, self.total = codebooks, torch.zeros(losses, device=device)
        self.restart()

    def restart(self) -> None:
        self.total.zero_()
        self.steps, self.frames, self.start = 0, 0, time.monotonic()

    def add(self, loss: Tensor, frames: int) -> None:
        self.total += loss
        self.steps, self.frames = self.steps + 1, self.frames + frames

    def report(self) -> dict[str, float]:
        """Mean losses and frames a second; then starts anew."""
        mean = (self.total / self.steps).tolist()
        speed = self.frames / (time.monotonic() - self.start)
        self.restart()
        rest, pointer = mean[1 : self.codebooks], mean[self.codebooks :]
        report = {
            "loss0": mean[0],
            "loss_rest": sum(rest) / len(rest),
            "frames_per_s": round(speed),
        }
        return report | ({"pointer": pointer[0]} if pointer else {})


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
        return songs

    def more(self) -> list[Song]:
        """Those of them that fit the positions and were not held out."""
        return [song for song in self.fresh() if song.positions <= self.recipe.positions]


def prepare(
    trainer: Trainer, songs: list[Song], collate: Collator, parts: Parts
) -> Iterator[tuple[int, int, int, Batch]]:
    """Epoch, index in it, dropout's seed and batch of every step from where the trainer stands.

    They depend on the recipe's seed, the songs and the step alone, so that a resumed run has the same.
    Every epoch begins with the songs that have come.
    """
    recipe, step, epoch, index = trainer.recipe, trainer.step, trainer.epoch, trainer.index
    while True:
        rng = np.random.default_rng([recipe.seed, 1, epoch])
        plan = plan_epoch(songs, recipe.batch_positions, rng, full=collate.fixed_size)
        for place in range(index, len(plan)):
            rng = np.random.default_rng([recipe.seed, 2, step])
            seed = int(rng.integers(2**31))
            batch = collate([songs[i] for i in plan[place]], rng)
            yield epoch, place, seed, batch.pinned() if trainer.device.type == "cuda" else batch
            step += 1
        epoch, index = epoch + 1, 0
        songs += parts.more()


def train(
    recipe: LMRecipe,
    data: Sequence[Path],
    tokenizer_file: Path,
    out: Path,
    *,
    device: torch.device,
    save_dtype: torch.dtype = torch.float32,
    graphed: bool = True,
    init: Path | None = None,
) -> HeartMuLa:
    """Runs one lot; returns the averaged model, as it is saved.

    It goes on from out/state if that exists; else it begins with the weights of the model in `init`,
    or with random ones. UsageError where `init` holds a model of another shape.
    """
    graphed = graphed and device.type == "cuda"
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    parts = Parts(data, tokenizer, recipe)
    songs = parts.fresh()
    if not songs:
        raise UsageError(f"no Codes folder in {', '.join(map(str, data))}")
    if recipe.pointer_weight and not any((song.sung >= 0).any() for song in songs):
        print("no song says when its words are sung: the pointer learns nothing")
    learn, held_out = split(songs, recipe)
    collate = Collator(
        tokenizer,
        recipe.gen_config,
        condition_dropout=recipe.condition_dropout,
        tag_dropout=recipe.tag_dropout,
        depth_share=recipe.depth_share,
        frame_noise=recipe.frame_noise,
        fixed_size=graphed,
    )
    exact = Collator(
        tokenizer, recipe.gen_config, condition_dropout=0.0, tag_dropout=0.0, depth_share=1.0
    )
    trainer = Trainer(recipe, tokenizer.get_vocab_size(), device, graphed)
    model, state = trainer.model, out / "state"
    if has_state(state):
        trainer.restore(state)
    elif init:
        trainer.begin_with(init)
    log, meter = Log(out), Meter(recipe.codebooks, len(trainer.weights), device)
    log(
        songs=len(learn),
        held_out=len(held_out),
        frames=sum(len(song.frames) for song in learn),
        parameters=sum(p.numel() for p in model.parameters()),
        step=trainer.step,
    )

    def report_validation(**more: Any) -> None:
        if held_out:
            log(step=trainer.step, **more, **validate(model, trainer.pointer, held_out, exact))

    last = min(recipe.steps, trainer.step + (recipe.lot_steps or recipe.steps))
    with (
        Clock(recipe.minutes, recipe.lot_minutes or None, trainer.minutes) as clock,
        closing(ahead(prepare(trainer, learn, collate, parts))) as prepared,
    ):
        saved_at = clock.minutes
        while not clock.interrupted and (trainer.step < last if recipe.steps else not clock.over):
            trainer.epoch, trainer.index, seed, batch = next(prepared)
            torch.manual_seed(seed)  # dropout: a resumed run draws the same
            fraction = trainer.step / recipe.steps if recipe.steps else clock.fraction
            rate = learning_rate(fraction, recipe.learning_rate, recipe.warm_up)
            own = recipe.own_share > 0 and fraction >= recipe.own_from
            loss, norm = trainer.update(batch.to(device), rate, own)
            meter.add(loss, len(batch.at))
            if trainer.step % recipe.log_every == 0:
                where = {"step": trainer.step, "minutes": clock.minutes, "epoch": trainer.epoch}
                where["songs"] = len(learn)
                log(**where, **meter.report(), norm=norm, rate=rate)
            if trainer.step % recipe.validate_every == 0:
                report_validation()
                meter.restart()
            if clock.minutes - saved_at > recipe.save_minutes:
                trainer.save(state, clock.minutes)
                saved_at = clock.minutes
        trainer.save(state, clock.minutes)
    trainer.ema.copy_to(model)
    report_validation(averaged=True)
    if trainer.hook is not None:
        trainer.hook.remove()
    model.save_pretrained(out / "HeartMuLa-oss-nano", dtype=save_dtype)
    longest = max(len(song.frames) for song in list(learn))
    config = replace(recipe.gen_config, longest_song_ms=FRAME_MS * longest)
    text = json.dumps(config.to_dict(), indent=1) + "\n"
    (out / "gen_config.json").write_text(text, encoding="utf-8")
    if tokenizer_file.resolve() != (out / "tokenizer.json").resolve():
        shutil.copyfile(tokenizer_file, out / "tokenizer.json")
    return model.eval()


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the recipe: a flag for every field of `LMRecipe`."""
    parser = argparse.ArgumentParser(description="Train HeartMuLa-nano from Codes folders.")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="the Codes folders")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.json")
    parser.add_argument("--out", type=Path, required=True, help="where state and model are written")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--save-dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--init", type=Path, help="a HeartMuLa folder whose weights to begin with")
    parser.add_argument("--no-graph", action="store_true", help="launch every kernel from Python")
    for field in fields(LMRecipe):
        flag = f"--{field.name.replace('_', '-')}"
        if isinstance(field.default, tuple):
            parser.add_argument(flag, type=float, nargs="+", default=field.default)
        else:
            parser.add_argument(flag, type=type(field.default), default=field.default)
    args = parser.parse_args(arguments)
    values = {field.name: getattr(args, field.name) for field in fields(LMRecipe)}
    values["lambda_k"] = tuple(values["lambda_k"])
    train(
        LMRecipe(**values),
        args.data,
        args.tokenizer,
        args.out,
        device=torch.device(args.device),
        save_dtype=getattr(torch, args.save_dtype),
        graphed=not args.no_graph,
        init=args.init,
    )


if __name__ == "__main__":
    main()
