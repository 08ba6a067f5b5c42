"""Train the encoder of HeartCodec and its residual codebooks.

Log-mel → query transformer → codes → log-mel, with two alignment losses against the corpus' truth that make
the codes mean something: what is sung and at which pitch must be readable from the first codebook alone and
from all of them (the paper's semantic and phonetic alignment, with truth in the place of teachers).

    heartlib train codebooks --data songs --out runs/rvq --minutes 6
    heartlib train codebooks --data songs --out runs/rvq --follow 10    # while the corpus is being made
    heartlib train codebooks --data more --out runs/more --init runs/rvq

Where the corpus has stems of the voices (`--stems voice second`), half of the crops have another song's band.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from heartlib.errors import UsageError
from heartlib.heartcodec.encoding import load_encoder
from heartlib.heartcodec.models.query_transformer import LogMel, MelEncoderConfig
from heartlib.training.loop import EMA, adamw, autocast
from heartlib.training.run import Run
from heartlib.training.rvq_data import Corpus, Songs
from heartlib.training.rvq_model import MEL_PER_LATENT, Tokenizer, quantise, update_codebooks
from heartlib.training.rvq_recipe import RVQOptions, RVQRecipe
from heartlib.training.workers import Workers

STEPS_A_LOOK = 100  # for new songs


def losses(
    model: Tokenizer,
    crops: tuple[Tensor, Tensor, Tensor],
    recipe: RVQRecipe,
    train: bool,
    workers: Workers | None = None,
) -> dict[str, Tensor]:
    """The losses and accuracies of a batch; in training, the codebooks move too."""
    mel, phonemes, pitches = crops
    levels = torch.full((len(mel),), recipe.num_quantizers, device=mel.device)
    if train:
        fewer = torch.randint(1, recipe.num_quantizers + 1, levels.shape, device=mel.device)
        levels = torch.where(
            torch.rand_like(fewer, dtype=mel.dtype) < recipe.level_dropout, fewer, levels
        )
    heard = mel + recipe.noise * torch.randn_like(mel) if train and recipe.noise else mel
    with autocast(mel.device):
        features = model.encoder(heard)
    vq = model.vq_embed
    first, full, commitment, seen = quantise(vq, vq.project_in(features.float()), levels)
    if train:
        update_codebooks(vq, seen, recipe, workers)
    out: dict = {"commitment": commitment}
    with autocast(mel.device):
        first, full = vq.project_out(first), vq.project_out(full)
        drawn = model.read_mel(full).unflatten(-1, (MEL_PER_LATENT, -1)).flatten(1, 2)
        out["mel"] = F.l1_loss(drawn.float(), mel.transpose(1, 2))
        for name, level, x in (("first", 0, first), ("all", 1, full)):
            for what, readers, target in (
                ("phoneme", model.read_phonemes, phonemes),
                ("pitch", model.read_pitches, pitches),
            ):
                logits = readers[level](x).float()
                out[f"{what}_{name}"] = F.cross_entropy(logits.flatten(0, 1), target.flatten())
                sung = target > 0
                hit = (logits.argmax(-1) == target) & sung
                out[f"{what}_{name}_accuracy"] = hit.sum() / sung.sum().clamp(min=1)
    aligned = sum(v for k, v in out.items() if k.endswith(("_first", "_all")))
    out["loss"] = out["mel"] + recipe.commitment * commitment + recipe.alignment * aligned
    return out


@torch.no_grad()
def evaluate(model: Tokenizer, songs: Songs, recipe: RVQRecipe) -> dict[str, float]:
    """Mean figures over the held-out songs."""
    starts = torch.arange(
        0, songs.frames - recipe.crop_frames, recipe.crop_frames, device=songs.mel.device
    )
    rows = [
        losses(model, songs.crops(part, recipe.crop_frames), recipe, False)
        for part in starts.split(recipe.batch)
    ]
    return {k: float(torch.stack([r[k].float() for r in rows]).mean()) for k in rows[0]}


def begin_with(model: Tokenizer, folder: Path) -> None:
    """Takes encoder and codebooks of an earlier run's folder; UsageError where they have another shape."""
    config = model.encoder.config
    trained = load_encoder(folder / "HeartCodec-oss-encoder")
    if trained.config != config:
        raise UsageError(f"{folder} has an encoder of another shape than the recipe's")
    model.encoder.load_state_dict(trained.transformer.state_dict())
    try:
        model.vq_embed.load_state_dict(load_file(folder / "vq_embed.safetensors"))
    except RuntimeError as error:
        raise UsageError(f"{folder} has codebooks of another shape than the recipe's") from error


def train(recipe: RVQRecipe, options: RVQOptions) -> None:
    """Trains until the schedule, the lot or Ctrl-C ends it; resumes from OUT/state where there is one."""
    run, out = Run("codebooks", recipe, options), options.out
    device, encoder = run.device, recipe.encoder
    log_mel = LogMel(encoder).to(device)
    run.workers.alone(options.follow, "--follow")
    corpus = run.symbols(
        lambda known: Corpus(options.data, options.follow, recipe, known, log_mel, device)
    )
    songs, held = corpus.songs, corpus.held
    torch.manual_seed(recipe.seed)
    model = Tokenizer(encoder, recipe, len(corpus.symbols))
    if options.init and not run.begun:
        begin_with(model, options.init)
    model.to(device)
    ema = EMA(model, recipe.ema_decay).to(device)
    optimizer = adamw(
        model.parameters(), recipe.peak_lr, (0.9, 0.98), recipe.weight_decay, run.graphed
    )
    descend = run.descent("adamw", optimizer, model)
    run.modules |= {"model": model, "ema": ema}
    run.resume()
    run.start_log(
        songs=songs.count,
        held_out=held.count,
        frames=songs.frames,
        phonemes=len(corpus.symbols),
        begins_at=run.step,
    )

    def one_step(part: int) -> dict[str, Tensor]:
        found = losses(model, songs.varied(recipe), recipe, True, run.workers)
        norm = descend(found["loss"], part)
        if part == recipe.accumulate - 1:
            ema.update(model)
        return {"norm": norm} | {name: value.detach() for name, value in found.items()}

    graphed = run.graph(one_step)

    def learn(part: int) -> dict[str, Tensor]:
        if run.step and run.step % STEPS_A_LOOK == 0:
            corpus.grow()
        return graphed(part) | {"songs": torch.tensor(float(songs.count))}

    def look() -> dict[str, float]:
        with ema.in_place(model):
            model.eval()
            figures = evaluate(model, held, recipe)
            write(model, encoder, out)
            model.train()
        return {f"held_{name}": value for name, value in figures.items()}

    run.train(learn, look)
    corpus.close()
    ema.copy_to(model)


def write(model: Tokenizer, encoder: MelEncoderConfig, out: Path) -> None:
    """The encoder as a `HeartCodec-oss-encoder` folder, the codebooks beside it."""
    folder = out / "HeartCodec-oss-encoder"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "encoder_config.json").write_text(json.dumps(encoder.to_dict(), indent=1) + "\n")
    weights = {
        f"transformer.{k}": v.to("cpu", torch.bfloat16)
        for k, v in model.encoder.state_dict().items()
    }
    save_file(weights, folder / "encoder.safetensors")
    save_file(
        {k: v.cpu().contiguous() for k, v in model.vq_embed.state_dict().items()},
        out / "vq_embed.safetensors",
    )
    save_file(
        {k: v.cpu().contiguous() for k, v in model.state_dict().items()},
        out / "tokenizer.safetensors",
    )


if __name__ == "__main__":
    from heartlib.cli import main

    sys.exit(main(["train", "codebooks", *sys.argv[1:]]))
