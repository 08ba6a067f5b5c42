"""Train the flow-matching decoder of HeartCodec-nano: codes → latents of the scalar codec.

The encoder and codebooks (heartlib.training.rvq) and the scalar codec (heartlib.training.sq_codec) are
trained before and frozen here; what comes out is a whole `HeartCodec-oss` folder.

    python -m heartlib.training.flow --data CORPUS --rvq runs/rvq --sq runs/sq/sq_codec --out runs/flow --minutes 9

With `--init FOLDER` instead of `--sq` it begins with a whole codec trained before, and takes other
codebooks of the same shape in their place.
"""

import argparse
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import soundfile
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from heartlib import checkpoints
from heartlib.errors import HeartlibError, UsageError
from heartlib.heartcodec import HeartCodec, HeartCodecConfig
from heartlib.heartcodec.configuration_heartcodec import LATENTS_PER_FRAME
from heartlib.heartcodec.modeling_heartcodec import (
    OVERLAP_LATENTS,
    WINDOW_FRAMES,
    split_channels,
)
from heartlib.heartcodec.models.flow_matching import SIGMA_MIN, FlowMatching
from heartlib.heartcodec.models.query_transformer import MelEncoder, MelEncoderConfig
from heartlib.heartcodec.models.sq_codec import SQCodec
from heartlib.training.assemble import load_for_saving
from heartlib.training.corpus_audio import read_songs, song_ids, split
from heartlib.training.encode import encode_song, load_encoder
from heartlib.training.loop import (
    EMA,
    REPORT_MINUTES,
    SAVE_MINUTES,
    Clock,
    GraphedStep,
    Log,
    adamw,
    check_finite,
    learning_rate,
    set_learning_rate,
)
from heartlib.training.state import has_state, load_state, save_state


@dataclass(frozen=True)
class FlowRecipe:
    """Nano's settings."""

    minutes: float = 9.0
    batch: int = 32
    peak_lr: float = 1e-3
    weight_decay: float = 0.01
    condition_dropout: float = 0.1
    context_share: float = 0.5
    ema_decay: float = 0.9995
    num_heads: int = 4
    head_dim: int = 48
    num_layers: int = 6
    num_layers_2: int = 1
    held_out: int = 16
    seed: int = 0


@torch.inference_mode()
def encode_latents(scalar: SQCodec, wave: Tensor, frames: int) -> Tensor:
    """Stereo audio [2, n] → unrounded latents float16 [2T, 256], the audio padded to T frames."""
    length = frames * LATENTS_PER_FRAME * scalar.config.samples_per_latent
    wave = nn.functional.pad(wave, (0, length - wave.shape[-1]))
    rows = scalar.encode(wave[:, None])  # [2, 128, 2T]
    return rows.permute(2, 0, 1).flatten(1).to(torch.float16)


@dataclass
class Pairs:
    """Codes [K, T] and latents [2T, 256] of songs end to end, on the device."""

    codes: Tensor
    latents: Tensor

    @classmethod
    def load(cls, folder: Path, ids: list[str], encoder: MelEncoder, codec: HeartCodec) -> "Pairs":
        codes, latents, device = [], [], codec.device
        rate = codec.config.sample_rate
        for _, wave in read_songs(folder, ids, rate, "codes and latents"):
            wave = wave.to(device)
            codes.append(encode_song(encoder, codec.flow_matching.vq_embed, wave))
            latents.append(encode_latents(codec.scalar_model, wave, codes[-1].shape[1]))
        return cls(torch.cat(codes, 1), torch.cat(latents))

    def crops(self, starts: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """Starts [B] in frames → codes [B, K, T], latents [B, 2T, 256]."""
        at = starts[:, None] + torch.arange(frames, device=starts.device)
        fine = starts[:, None] * LATENTS_PER_FRAME
        fine = fine + torch.arange(frames * LATENTS_PER_FRAME, device=starts.device)
        return self.codes[:, at].transpose(0, 1).long(), self.latents[fine].float()


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


@torch.inference_mode()
def samples(codec: HeartCodec, held: Pairs, folder: Path, count: int) -> dict[str, float]:
    """Decode held-out windows from their codes, write them beside the scalar codec's own, measure both."""
    starts = torch.arange(count, device=codec.device) * WINDOW_FRAMES
    starts = starts[starts + WINDOW_FRAMES <= held.codes.shape[1]]
    codes, latents = held.crops(starts, WINDOW_FRAMES)
    made = codec.flow_matching.sample(codes, torch.randn_like(latents))
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(len(starts)):
        for name, source in (("scalar", latents), ("flow", made)):
            wave = codec.scalar_model.decode(split_channels(source[i : i + 1]))[:, 0].cpu()
            soundfile.write(folder / f"{i}-{name}.ogg", wave.T.numpy(), codec.config.sample_rate)
    return {
        "sampled_latent_rms": made.square().mean().sqrt().item(),
        "true_latent_rms": latents.square().mean().sqrt().item(),
        "sampled_latent_error": (made - latents).square().mean().sqrt().item(),
    }


def train(
    data: Path,
    rvq: Path,
    sq: Path | None,
    out: Path,
    recipe: FlowRecipe,
    lot: float | None,
    *,
    init: Path | None = None,
    graphed: bool = True,
) -> None:
    """Train until the schedule or the lot ends; resumes from `out/state` where there is one.

    Begins with the codec in `init`, or with a new estimator around the scalar codec in `sq`.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(recipe.seed)
    torch.backends.cuda.matmul.allow_tf32 = True
    if bool(init) == bool(sq):
        raise UsageError(
            "give --sq, a scalar codec, or --init, a whole codec to begin with; one of both"
        )
    if init:
        codec = load_for_saving(init).to(device)
        take_codebooks(codec, rvq)
        codec.requires_grad_(False)
        codec.flow_matching.estimator.requires_grad_(True)
        codec.flow_matching.cond_feature_emb.requires_grad_(True)
    else:
        assert sq
        codec = build_codec(rvq, sq, recipe, device)
    flow = codec.flow_matching
    encoder = load_encoder(rvq / "HeartCodec-oss-encoder", device)
    train_ids, held_ids = split(song_ids(data), recipe.held_out)
    songs = Pairs.load(data, train_ids, encoder, codec)
    held = Pairs.load(data, held_ids, encoder, codec)
    learned = nn.ModuleDict(
        {"estimator": flow.estimator, "cond_feature_emb": flow.cond_feature_emb}
    )
    ema = EMA(learned, recipe.ema_decay).to(device)
    half = device.type == "cuda"
    graphed = graphed and half
    optimizer = adamw(
        learned.parameters(), recipe.peak_lr, (0.9, 0.99), recipe.weight_decay, graphed
    )
    log, step, done = Log(out), 0, 0.0
    kept = {"learned": learned, "ema": ema}
    if has_state(out / "state"):
        step, extra = load_state(out / "state", kept, {"adamw": optimizer})
        done = extra["minutes"]
    weights = sum(p.numel() for p in learned.parameters())
    log(songs=len(train_ids), frames=songs.codes.shape[1], parameters=weights)
    for name, part in (("training", songs), ("held-out", held)):
        if part.codes.shape[1] <= WINDOW_FRAMES:
            raise HeartlibError(
                f"the {name} songs of {data} last {part.codes.shape[1]} frames together; "
                f"give more than {WINDOW_FRAMES}"
            )
    last = songs.codes.shape[1] - WINDOW_FRAMES

    def save(minutes: float) -> None:
        save_state(
            out / "state",
            step=step,
            modules=kept,
            optimizers={"adamw": optimizer},
            extra={"minutes": minutes, "recipe": asdict(recipe)},
        )

    def one_step() -> dict[str, Tensor]:
        starts = torch.randint(last, (recipe.batch,), device=device)
        codes, latents = songs.crops(starts, WINDOW_FRAMES)
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            loss = flow_loss(flow, codes, latents, recipe)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(learned.parameters(), 1.0)
        optimizer.step()
        ema.update(learned)
        return {"loss": loss.detach()}

    update, report, saved = GraphedStep(one_step, graphed), done + REPORT_MINUTES, done
    loss = torch.zeros(())  # of a schedule that is over already
    if not step:
        update.prepare(optimizer)
    with Clock(recipe.minutes, lot, done) as clock:
        while not clock.over:
            set_learning_rate(optimizer, learning_rate(clock.fraction, recipe.peak_lr))
            loss = update()["loss"]
            step += 1
            if clock.minutes >= report:
                check_finite(loss, step, out)
                log(step=step, minutes=clock.minutes, loss=loss)
                report += REPORT_MINUTES
                if clock.minutes - saved >= SAVE_MINUTES:
                    saved = clock.minutes
                    save(saved)
        check_finite(loss, step, out)
        save(clock.minutes)
    ema.copy_to(learned)
    codec.eval()
    torch.manual_seed(recipe.seed)
    with torch.inference_mode():
        starts = torch.arange(0, held.codes.shape[1] - WINDOW_FRAMES, WINDOW_FRAMES, device=device)
        parts = [flow_loss(flow, *held.crops(s, WINDOW_FRAMES), recipe) for s in starts.split(8)]
    figures = samples(codec, held, out / "samples", 4)
    log(step=step, minutes=clock.minutes, held_loss=torch.stack(parts).mean(), **figures)
    codec.save_pretrained(out / "HeartCodec-oss", dtype=torch.bfloat16)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="corpus folder")
    parser.add_argument("--rvq", type=Path, required=True, help="output of heartlib.training.rvq")
    parser.add_argument("--sq", type=Path, help="scalar codec folder")
    parser.add_argument("--init", type=Path, help="HeartCodec-oss folder to begin with, not --sq")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--minutes", type=float, default=FlowRecipe.minutes, help="length of the whole schedule"
    )
    parser.add_argument("--lot", type=float, help="stop after so many minutes; run again to go on")
    parser.add_argument("--batch", type=int, default=FlowRecipe.batch)
    parser.add_argument("--peak-lr", type=float, default=FlowRecipe.peak_lr)
    parser.add_argument("--no-graph", action="store_true", help="launch every kernel from Python")
    given = parser.parse_args()
    recipe = FlowRecipe(minutes=given.minutes, batch=given.batch, peak_lr=given.peak_lr)
    train(
        given.data,
        given.rvq,
        given.sq,
        given.out,
        recipe,
        given.lot,
        init=given.init,
        graphed=not given.no_graph,
    )


if __name__ == "__main__":
    main()
