"""Train the flow-matching decoder of HeartCodec: codes → latents of the scalar codec.

The encoder and codebooks (`heartlib train codebooks`) and the scalar codec (`heartlib train codec`) are
trained before and frozen here; what comes out is a whole `HeartCodec-oss` folder.

    heartlib train flow --data songs --rvq runs/rvq --sq runs/sq/sq_codec --out runs/flow --minutes 9

With `--init FOLDER` instead of `--sq` it begins with a whole codec trained before, and takes other
codebooks of the same shape in their place; with `--follow HOURS` while the corpus is being made.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from heartlib import checkpoints
from heartlib.errors import UsageError
from heartlib.heartcodec import HeartCodec, HeartCodecConfig
from heartlib.heartcodec.encoding import load_encoder
from heartlib.heartcodec.modeling_heartcodec import (
    OVERLAP_LATENTS,
    WINDOW_FRAMES,
    split_channels,
)
from heartlib.heartcodec.models.flow_matching import SIGMA_MIN, FlowMatching
from heartlib.heartcodec.models.query_transformer import MelEncoderConfig
from heartlib.training.assemble import load_for_saving
from heartlib.training.flow_data import Corpus, Pairs
from heartlib.training.flow_recipe import FlowOptions, FlowRecipe
from heartlib.training.log import Log
from heartlib.training.loop import EMA, adamw, autocast
from heartlib.training.run import Run

STEPS_A_LOOK = 100  # for new songs


def build_codec(rvq: Path, sq: Path, recipe: FlowRecipe, device: torch.device) -> HeartCodec:
    """A codec whose scalar model and codebooks are trained and whose estimator is new."""
    scalar = checkpoints.read_config(sq, HeartCodecConfig)
    encoder = checkpoints.read_config(
        rvq / "HeartCodec-oss-encoder", MelEncoderConfig, "encoder_config.json"
    )
    books = load_file(rvq / "vq_embed.safetensors")
    size, width = books["layers.0._codebook.embed"].shape[1:]
    kept = sum(name.endswith("_codebook.embed") for name in books)
    config = replace(
        scalar,
        dim=encoder.dim,
        codebook_size=size,
        codebook_dim=width,
        num_quantizers=kept,
        attention_head_dim=recipe.head_dim,
        num_attention_heads=recipe.num_heads,
        num_layers=recipe.num_layers,
        num_layers_2=recipe.num_layers_2,
        in_channels=2 * scalar.out_channels + encoder.dim,
        num_steps=recipe.num_steps,
        guidance_scale=recipe.guidance_scale,
        guidance_from=recipe.guidance_from,
    )
    codec = HeartCodec(config)
    codec.scalar_model.load_state_dict(load_file(sq / "model.safetensors"))
    codec.flow_matching.vq_embed.load_state_dict(books)
    start_small(codec.flow_matching)
    codec.scalar_model.requires_grad_(False)
    codec.flow_matching.vq_embed.requires_grad_(False)
    return codec.float().to(device)


def take_codebooks(codec: HeartCodec, rvq: Path) -> None:
    """Puts the codebooks of `rvq` into a trained codec; UsageError where they have another shape."""
    books = load_file(rvq / "vq_embed.safetensors")
    for name, mine in codec.flow_matching.vq_embed.state_dict().items():
        if name not in books or mine.shape != books[name].shape:
            raise UsageError(
                f"the codec to begin with has codebooks of another shape than {rvq}: begin with --sq"
            )
    codec.flow_matching.vq_embed.load_state_dict(books)


def start_small(flow: FlowMatching) -> None:
    """Blocks that add nothing and an output of zero: the calm start of AdaLN-zero."""
    estimator = flow.estimator
    for stage in (estimator.adaln_single, estimator.adaln_single_2):
        nn.init.zeros_(stage.linear.weight)
        nn.init.zeros_(stage.linear.bias)
    nn.init.zeros_(estimator.proj_out.ffn_2.weight)
    nn.init.zeros_(estimator.proj_out.ffn_2.bias)


def flow_loss(flow: FlowMatching, codes: Tensor, latents: Tensor, recipe: FlowRecipe) -> Tensor:
    """The flow-matching loss of a batch, outside the context: E |v(x_t, t) − (x₁ − (1−σ)x₀)|²."""
    rows, device = len(latents), latents.device
    noise = torch.randn_like(latents)
    t = torch.sigmoid(torch.randn(rows, device=device))
    share = torch.rand(rows, device=device)
    frames = torch.randint(1, OVERLAP_LATENTS + 1, (rows,), device=device)
    frames = torch.where(share < recipe.context_share, frames, torch.zeros_like(frames))
    frames = torch.where(share < recipe.context_share / 2, OVERLAP_LATENTS, frames)
    free = (torch.arange(latents.shape[1], device=device) >= frames[:, None])[..., None]
    with torch.no_grad():
        features = flow.vq_embed.decode(codes)
    condition = flow.condition(features)
    keep = torch.rand(rows, 1, 1, device=device) >= recipe.condition_dropout
    at = t[:, None, None]
    x = (1 - (1 - SIGMA_MIN) * at) * noise + at * latents
    inputs = torch.cat((x, latents.masked_fill(free, 0.0), condition * keep), dim=-1)
    velocity = flow.estimator(inputs, t).float()
    error = (velocity - (latents - (1 - SIGMA_MIN) * noise)).square() * free
    return error.sum() / (free.sum() * latents.shape[-1])


def sample(codec: HeartCodec, codes: Tensor, noise: Tensor) -> Tensor:
    """Latents [B, 2T, 256] of codes [B, K, T], in the steps and with the guidance of the codec's config."""
    config = codec.config
    return codec.flow_matching.sample(
        codes,
        noise,
        num_steps=config.num_steps,
        guidance_scale=config.guidance_scale,
        guidance_from=config.guidance_from,
    )


@torch.inference_mode()
def samples(codec: HeartCodec, held: Pairs, log: Log, step: int, count: int) -> dict[str, float]:
    """Decode held-out windows from their codes, hear them beside the scalar codec's own, measure both."""
    starts = torch.arange(count, device=codec.device) * WINDOW_FRAMES
    starts = starts[starts + WINDOW_FRAMES <= held.frames]
    codes, latents = held.crops(starts, WINDOW_FRAMES)
    made = sample(codec, codes, torch.randn_like(latents))
    for i in range(len(starts)):
        for name, source in (("scalar", latents), ("flow", made)):
            wave = codec.scalar_model.decode(split_channels(source[i : i + 1]))[:, 0]
            log.hear(f"{i}-{name}", wave, codec.config.sample_rate, step)
    return {
        "sampled_latent_rms": made.square().mean().sqrt().item(),
        "true_latent_rms": latents.square().mean().sqrt().item(),
        "sampled_latent_error": (made - latents).square().mean().sqrt().item(),
    }


def begin(recipe: FlowRecipe, options: FlowOptions, device: torch.device) -> HeartCodec:
    """The codec that `init` holds, or a new estimator around the scalar codec in `sq`; only the flow learns."""
    if options.init is None:
        assert options.sq
        return build_codec(options.rvq, options.sq, recipe, device)
    codec = load_for_saving(options.init).to(device)
    codec.config = replace(
        codec.config,
        num_steps=recipe.num_steps,
        guidance_scale=recipe.guidance_scale,
        guidance_from=recipe.guidance_from,
    )
    take_codebooks(codec, options.rvq)
    codec.requires_grad_(False)
    codec.flow_matching.estimator.requires_grad_(True)
    codec.flow_matching.cond_feature_emb.requires_grad_(True)
    return codec


def train(recipe: FlowRecipe, options: FlowOptions) -> None:
    """Trains until the schedule, the lot or Ctrl-C ends it; resumes from OUT/state where there is one."""
    run = Run("flow", recipe, options)
    device = run.device
    torch.backends.cuda.matmul.allow_tf32 = True
    codec = begin(recipe, options, device)
    flow = codec.flow_matching
    encoder = load_encoder(options.rvq / "HeartCodec-oss-encoder", device)
    run.workers.alone(options.follow, "--follow")
    corpus = Corpus(
        options.data, options.follow, recipe.held_out, recipe.voice_lift, encoder, codec
    )
    songs, held = corpus.songs, corpus.held
    learned = nn.ModuleDict(
        {"estimator": flow.estimator, "cond_feature_emb": flow.cond_feature_emb}
    )
    ema = EMA(learned, recipe.ema_decay).to(device)
    optimizer = adamw(
        learned.parameters(), recipe.peak_lr, (0.9, 0.99), recipe.weight_decay, run.graphed
    )
    descend = run.descent("adamw", optimizer, learned)
    run.modules |= {"learned": learned, "ema": ema}
    run.resume()
    log = run.start_log(
        songs=songs.count,
        frames=songs.frames,
        parameters=sum(p.numel() for p in learned.parameters()),
        begins_at=run.step,
    )

    def one_step(part: int) -> dict[str, Tensor]:
        codes, latents = songs.crops(songs.starts(recipe.batch), WINDOW_FRAMES)
        with autocast(device):
            loss = flow_loss(flow, codes, latents, recipe)
        norm = descend(loss, part)
        if part == recipe.accumulate - 1:
            ema.update(learned)
        return {"loss": loss.detach(), "norm": norm}

    def look() -> dict[str, float]:
        torch.manual_seed(recipe.seed)
        with ema.in_place(learned):
            found = {"held_loss": held_loss(flow, held, recipe)}
            found |= samples(codec, held, log, run.step, 4)
            codec.save_pretrained(options.out / "HeartCodec-oss", dtype=torch.bfloat16)
        return found

    graphed = run.graph(one_step, 0)

    def learn(part: int) -> dict[str, Tensor]:
        if run.step and run.step % STEPS_A_LOOK == 0:
            corpus.grow()
        return graphed(part) | {"songs": torch.tensor(float(songs.count))}

    run.train(learn, look)
    corpus.close()
    ema.copy_to(learned)


@torch.inference_mode()
def held_loss(flow: FlowMatching, held: Pairs, recipe: FlowRecipe) -> float:
    """The mean loss over the held-out songs' windows."""
    last = held.frames - WINDOW_FRAMES
    starts = torch.arange(0, last, WINDOW_FRAMES, device=held.codes.device)
    losses = [flow_loss(flow, *held.crops(s, WINDOW_FRAMES), recipe) for s in starts.split(8)]
    return torch.stack(losses).mean().item()


if __name__ == "__main__":
    from heartlib.cli import main

    sys.exit(main(["train", "flow", *sys.argv[1:]]))
