"""Train the scalar codec of HeartCodec-nano on the audio of a corpus.

    python -m heartlib.training.sq_codec --data CORPUS --out runs/sq --minutes 7

Writes OUT/sq_codec (config.json, model.safetensors: the running mean of the weights, names as
published), OUT/samples (held-out songs: original, a pause, reconstruction), OUT/log.jsonl and
OUT/state, from which the same command goes on. Rows are mono: left, right, mid or side of a crop.
"""

import argparse
import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import soundfile
import torch
from torch import Tensor, nn

from heartlib import checkpoints
from heartlib.errors import HeartlibError
from heartlib.heartcodec.configuration_heartcodec import HeartCodecConfig
from heartlib.heartcodec.models.sq_codec import (
    LEVELS,
    SQCodec,
    fold_weight_norm,
)
from heartlib.training.audio_data import (
    SAMPLE_RATE,
    AudioSet,
    Crops,
    load_audio,
    song_files,
    split_songs,
)
from heartlib.training.lapped import set_weight, start_lapped
from heartlib.training.loop import (
    EMA,
    Clock,
    GraphedStep,
    Log,
    adamw,
    learning_rate,
    set_learning_rate,
)
from heartlib.training.losses import (
    Discriminator,
    SpectralLoss,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
    mel_distance,
    si_sdr,
)
from heartlib.training.state import has_state, load_state, save_state

SAMPLE_SECONDS = 6


@dataclass(frozen=True)
class SQRecipe:
    """Nano's settings. Shares are of the whole schedule's minutes."""

    minutes: float = 7.0
    init_channel: int = 12
    batch: int = 48
    crop_latents: int = 24
    half: bool = False
    peak_lr: float = 6e-4
    weight_decay: float = 0.01
    clip: float = 5.0
    ema_decay: float = 0.999
    adversarial_from: float = 0.3
    adversarial_rows: int = 16
    mel_weight: float = 10.0
    magnitude_weight: float = 2.0
    spectrum_weight: float = 6.0
    wave_weight: float = 8.0
    adversarial_weight: float = 1.0
    feature_weight: float = 2.0
    noise_share: float = 0.5
    gain_db: tuple[float, float] = (-6.0, 3.0)
    discriminator_channels: int = 32
    discriminator_sizes: tuple[int, ...] = (2048, 1024, 512)
    log_seconds: float = 15.0
    save_seconds: float = 120.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.minutes <= 0:
            raise ValueError(f"minutes must be above 0, not {self.minutes}")
        if self.batch < 1 or self.crop_latents < 2 or self.adversarial_rows < 1:
            raise ValueError("batch, crop_latents and adversarial_rows must be positive")


def mono_rows(stereo: Tensor, gain_db: tuple[float, float]) -> Tensor:
    """Crops [B, 2, n] -> rows [B, 1, n]: left, right (35 % each), mid (20 %) or side; gain, polarity."""
    device, rows = stereo.device, len(stereo)
    draw, loud, flip = torch.rand(3, rows, device=device)
    left = torch.where(draw < 0.35, 1.0, torch.where(draw < 0.7, 0.0, 0.5))
    right = torch.where(draw < 0.9, 1.0 - left, -0.5)
    low, high = gain_db
    gain = 10 ** ((low + (high - low) * loud) / 20) * torch.where(flip < 0.5, -1.0, 1.0)
    mix = torch.stack((left, right), dim=1) * gain[:, None]  # [B, 2]
    return torch.einsum("bcn,bc->bn", stereo, mix)[:, None]


def disturb(latents: Tensor, share: float) -> Tensor:
    """Noise of up to half a level on a share of the rows: a flow model's latents will be that wrong."""
    rows = torch.rand(len(latents), 1, 1, device=latents.device) < share
    return latents + rows * (torch.rand_like(latents) - 0.5) / LEVELS


def reconstruct(codec: SQCodec, wave: Tensor, noise_share: float, half: bool = False) -> Tensor:
    """Rows [B, 1, n] through the codec; `half` in bfloat16, but for rounding and the last layers."""
    with torch.autocast(wave.device.type, torch.bfloat16, enabled=half):
        latents = codec.encode(wave)
        latents = codec.quantise(disturb(latents.float(), noise_share))
        hidden = codec.decoder[:-2](latents)
    return codec.decoder[-2:](hidden.float())


class Training:
    """Generator, discriminator, their optimisers and the running mean; one step each."""

    def __init__(
        self,
        recipe: SQRecipe,
        device: torch.device,
        *,
        config: HeartCodecConfig | None = None,
        graphed: bool = False,
    ) -> None:
        self.recipe = recipe
        torch.manual_seed(recipe.seed)
        config = config or HeartCodecConfig(init_channel=recipe.init_channel)
        self.codec = fold_weight_norm(SQCodec(config)).to(device)
        self.critic = Discriminator(recipe.discriminator_sizes, recipe.discriminator_channels).to(
            device
        )
        self.ema = EMA(self.codec, recipe.ema_decay)
        self.spectral = SpectralLoss().to(device)
        self.optimizer, self.critic_optimizer = (
            adamw(module.parameters(), recipe.peak_lr, (0.8, 0.99), recipe.weight_decay, graphed)
            for module in (self.codec, self.critic)
        )

    def start(self, wave: Tensor) -> None:
        """Give the new codec the weights of a lapped transform, fitted to rows [B, 1, n]."""
        start_lapped(self.codec, wave)
        self.start_mean()

    def start_mean(self) -> None:
        """Let the running mean begin at the weights as they are."""
        self.ema = EMA(self.codec, self.recipe.ema_decay)

    def state(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
        """What is saved and loaded."""
        modules = {"codec": self.codec, "critic": self.critic, "ema": self.ema}
        return modules, {"codec": self.optimizer, "critic": self.critic_optimizer}

    def mean_codec(self) -> SQCodec:
        """A copy of the codec with the running mean of its weights."""
        mean = copy.deepcopy(self.codec)
        self.ema.copy_to(mean)
        return mean.eval().requires_grad_(False)

    def judge(self, wave: Tensor):
        with torch.autocast(wave.device.type, torch.bfloat16, enabled=wave.is_cuda):
            return self.critic(wave)

    def critic_step(self, made: Tensor, real: Tensor) -> Tensor:
        """Teach the discriminator on rows [B, n]; its loss."""
        loss = discriminator_loss(self.judge(real), self.judge(made.detach()))
        apply(self.critic_optimizer, loss, self.critic, self.recipe.clip)
        return loss.detach()

    def rate(self, lr: float) -> None:
        """Set the learning rate of the next steps."""
        for optimizer in (self.optimizer, self.critic_optimizer):
            set_learning_rate(optimizer, lr)

    def step(self, wave: Tensor, adversarial: bool) -> dict[str, Tensor]:
        """One update on rows [B, 1, n]; the losses, on the device."""
        noise = self.recipe.noise_share if adversarial else 0.0
        output = reconstruct(self.codec, wave, noise, self.recipe.half and wave.is_cuda)
        return self.update(output[:, 0], wave[:, 0], adversarial)

    def update(self, made: Tensor, real: Tensor, adversarial: bool) -> dict[str, Tensor]:
        """Move the codec so that rows `made` [B, n] come closer to `real`; the losses."""
        recipe = self.recipe
        losses = self.spectral(made, real)
        losses["wave"] = (made - real).abs().mean() / (real.abs().mean() + 1e-3)
        total = (
            recipe.mel_weight * losses["mel"]
            + recipe.magnitude_weight * losses["magnitude"]
            + recipe.spectrum_weight * losses["spectrum"]
            + recipe.wave_weight * losses["wave"]
        )
        if adversarial:
            made, real = made[: recipe.adversarial_rows], real[: recipe.adversarial_rows]
            losses["critic"] = self.critic_step(made, real)
            self.critic.requires_grad_(False)
            with torch.no_grad():
                judged_real = self.judge(real)
            judged_made = self.judge(made)
            self.critic.requires_grad_(True)
            losses["adversarial"] = adversarial_loss(judged_made)
            losses["feature"] = feature_loss(judged_real, judged_made)
            total = total + recipe.adversarial_weight * losses["adversarial"]
            total = total + recipe.feature_weight * losses["feature"]
        losses["grad"] = apply(self.optimizer, total, self.codec, recipe.clip)
        self.ema.update(self.codec)
        return {name: value.detach() for name, value in losses.items()} | {"loss": total.detach()}


def apply(optimizer: torch.optim.Optimizer, loss: Tensor, module: nn.Module, clip: float) -> Tensor:
    """Backward, clip, update; the norm of the gradient before clipping."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(module.parameters(), clip)
    optimizer.step()
    return norm.detach()


@torch.no_grad()
def with_weight_norm(codec: SQCodec) -> SQCodec:
    """A copy of a folded codec under weight norm, as checkpoints keep it."""
    parts: dict[str, Any] = dict(codec.named_modules())
    fresh = SQCodec(codec.config)
    for name, module in fresh.named_modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            set_weight(module, parts[name].weight.cpu())
            module.load_state_dict({"bias": parts[name].bias.cpu()}, strict=False)
        elif isinstance(module, nn.PReLU):
            module.weight.copy_(parts[name].weight)
    return fresh


class HeldOut:
    """A few seconds of each held-out song, the same ones every time."""

    def __init__(self, songs: AudioSet, hop: int, count: int = 8) -> None:
        length = SAMPLE_SECONDS * SAMPLE_RATE // hop * hop
        self.ids, clips = songs.ids[:count], []
        for index in range(len(self.ids)):
            song = songs.song(index)
            start = max(min(song.shape[1] // 3, song.shape[1] - length), 0)
            clip = song[:, start : start + length]
            clips.append(nn.functional.pad(clip, (0, length - clip.shape[1])))
        self.clips = torch.stack(clips)  # [songs, 2, n]

    @torch.inference_mode()
    def decode(self, codec: SQCodec) -> Tensor:
        """Reconstructions [songs, 2, n], in true float32: rounding would tell TF32 apart."""
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=False):
            return torch.stack([codec(clip[:, None])[:, 0] for clip in self.clips])

    def figures(self, codec: SQCodec) -> dict[str, float]:
        """Mean log-mel distance and SI-SDR over songs and channels, in dB."""
        made = self.decode(codec)
        return {
            "held_mel_db": mel_distance(made, self.clips).mean().item(),
            "held_si_sdr_db": si_sdr(made, self.clips).mean().item(),
        }

    def write(self, codec: SQCodec, folder: Path, count: int = 3) -> None:
        """FLAC files: the original, half a second of nothing, its reconstruction."""
        folder.mkdir(parents=True, exist_ok=True)
        pause = torch.zeros(2, SAMPLE_RATE // 2)
        made = self.decode(codec)
        for name, real, copy_ in list(zip(self.ids, self.clips, made, strict=True))[:count]:
            both = torch.cat((real.cpu(), pause, copy_.cpu().clamp(-1, 1)), dim=1)
            soundfile.write(folder / f"{name}.flac", both.T.numpy(), SAMPLE_RATE)


class Means:
    """Means of the losses since the last look, kept on the device."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, values: dict[str, Tensor]) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
            self.counts[name] = self.counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        means = {name: (value / self.counts[name]).item() for name, value in self.sums.items()}
        self.sums, self.counts = {}, {}
        return means


def train(
    data: Path,
    out: Path,
    recipe: SQRecipe,
    *,
    lot: float | None = None,
    device: str | None = None,
    graphed: bool = True,
) -> dict[str, float]:
    """Train until the schedule, the lot or Ctrl-C ends it; resumes from OUT/state; last figures.

    `lot` in minutes. HeartlibError when a loss is not finite: the last state then stays as it is.
    """
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    files, held_files = split_songs(song_files(data))
    graphed = graphed and place.type == "cuda"
    training = Training(recipe, place, graphed=graphed)
    hop = training.codec.config.samples_per_latent
    songs, held = load_audio(files, place), HeldOut(load_audio(held_files[:8], place), hop)
    crops = Crops(songs, recipe.crop_latents * hop)
    step, minutes = 0, 0.0
    if has_state(out / "state"):
        step, extra = load_state(out / "state", *training.state())
        minutes = extra["minutes"]
    else:
        training.start(mono_rows(crops.batch(recipe.batch), recipe.gain_db))

    def one_step(adversarial: bool) -> dict[str, Tensor]:
        wave = mono_rows(crops.batch(recipe.batch), recipe.gain_db)
        return training.step(wave, adversarial)

    log = Log(out)
    log(event="start", step=step, hours=songs.hours, held_songs=len(held.ids), **asdict(recipe))
    clock = Clock(recipe.minutes, lot, minutes)
    figures = run(training, one_step, held.figures, log, clock, step, graphed)
    codec = training.mean_codec()
    checkpoints.save_pretrained(with_weight_norm(codec), out / "sq_codec")
    held.write(codec, out / "samples")
    return figures


def run(
    training: Training,
    one_step: Callable[[bool], dict[str, Tensor]],
    measure: Callable[[SQCodec], dict[str, float]],
    log: Log,
    clock: Clock,
    step: int,
    graphed: bool,
) -> dict[str, float]:
    """Step until the clock says so, logging and saving beside the log; the last figures.

    `one_step(adversarial)` draws a batch and learns from it; `measure` hears the mean codec.
    """
    recipe, out = training.recipe, log.path.parent
    modules, optimizers = training.state()
    steps = {
        adversarial: GraphedStep(partial(one_step, adversarial), graphed)
        for adversarial in (False, True)
    }
    means, figures = Means(), {}
    fast = partial(torch.backends.cudnn.flags, enabled=True, benchmark=True, allow_tf32=True)
    if not step:
        with fast():
            steps[False].prepare(*optimizers.values())
    with fast(), clock:
        looked = saved = clock.minutes
        ended = clock.over
        while not ended:
            lr = learning_rate(clock.fraction, recipe.peak_lr)
            training.rate(lr)
            means.add(steps[clock.fraction >= recipe.adversarial_from]())
            step += 1
            ended, now = clock.over, clock.minutes
            if not ended and now - looked < recipe.log_seconds / 60:
                continue
            losses = means.take()
            if not math.isfinite(losses["loss"]):
                raise HeartlibError(
                    f"the loss is not finite near step {step}: resume with a lower peak_lr from "
                    f"{out / 'state'}, which is the last good one"
                )
            figures = measure(training.mean_codec())
            log(step=step, minutes=now, lr=lr, **losses, **figures)
            looked = clock.minutes
            if ended or looked - saved >= recipe.save_seconds / 60:
                extra = {"minutes": now, "recipe": asdict(recipe)}
                save_state(
                    out / "state", step=step, modules=modules, optimizers=optimizers, extra=extra
                )
                saved = clock.minutes
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="corpus folder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, help="length of the whole schedule")
    parser.add_argument("--lot", type=float, help="stop after so many minutes; run again to go on")
    parser.add_argument("--init-channel", type=int, help="width of the codec")
    parser.add_argument("--batch", type=int, help="crops a step")
    parser.add_argument("--peak-lr", type=float)
    parser.add_argument("--adversarial-from", type=float, help="share of the schedule without")
    parser.add_argument("--device", help="cpu, cuda, cuda:1; default: a GPU when there is one")
    parser.add_argument("--half", action="store_true", default=None, help="bfloat16 on a GPU")
    parser.add_argument("--no-graph", action="store_true", help="launch every kernel from Python")
    given = vars(parser.parse_args(arguments))
    data, out, lot = given.pop("data"), given.pop("out"), given.pop("lot")
    device, plain = given.pop("device"), given.pop("no_graph")
    recipe = SQRecipe(**{name: value for name, value in given.items() if value is not None})
    train(data, out, recipe, lot=lot, device=device, graphed=not plain)


if __name__ == "__main__":
    main()
