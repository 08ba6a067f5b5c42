"""Teach the scalar decoder of HeartCodec to sing what the flow matching gives it.

The scalar codec is trained on the latents of its own encoder; the flow's are smoother in places and
wrong in others. Here its decoder goes on learning, on latents sampled from the codes of real songs,
to make what those songs sound like: by spectra without phase (a sampled latent's phase is its own), by a
discriminator and by what the codebooks' encoder, which knows phonemes, hears in them. Everything else stays as it is.

    heartlib train decoder --data songs --rvq runs/rvq --codec runs/flow/HeartCodec-oss --out runs/refined

With `--sq FOLDER` it begins with that scalar codec's decoder: the two may be trained side by side.

Writes OUT/HeartCodec-oss, OUT/samples, OUT/log.jsonl, OUT/tensorboard and OUT/state.
"""

from __future__ import annotations

import copy
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import trange

from heartlib.errors import HeartlibError
from heartlib.heartcodec import HeartCodec
from heartlib.heartcodec.encoding import load_encoder
from heartlib.heartcodec.modeling_heartcodec import WINDOW_FRAMES, WINDOW_LATENTS, split_channels
from heartlib.heartcodec.models.query_transformer import MelEncoder
from heartlib.heartcodec.models.sq_codec import SQCodec
from heartlib.training.assemble import load_for_saving
from heartlib.training.audio_data import to_float
from heartlib.training.corpus_audio import read_each, read_lifted, song_ids, split
from heartlib.training.encode import encode_song
from heartlib.training.flow import sample
from heartlib.training.losses import halves_l1, mel_distance
from heartlib.training.run import Run
from heartlib.training.sq_recipe import DecoderOptions, DecoderRecipe
from heartlib.training.sq_trainer import Training, load_scalar, with_weight_norm

LEAD = 4  # latents at the start of a crop whose sound lacks its past: not judged
SAMPLED = 16  # windows at once
HELD_WINDOWS = 8


@dataclass
class Windows:
    """Windows of songs end to end: sampled latents [W, 744, 256], and the songs, int16 [W, 2, n]."""

    latents: Tensor
    audio: Tensor

    @classmethod
    def load(
        cls, folder: Path, ids: list[str], lift: float, encoder: MelEncoder, codec: HeartCodec
    ) -> Windows:
        """Encode the songs and sample their latents, every window from noise of its own.

        The sound is that of the songs with their voices lifted by so many dB.
        """
        codes, audio, device = [], [], codec.device
        samples = codec.config.samples_per_frame
        read = partial(read_lifted, folder, sample_rate=codec.config.sample_rate, lift=lift)
        for _, (wave, lifted) in read_each(ids, read, "codes"):
            codes.append(encode_song(encoder, codec.flow_matching.vq_embed, wave.to(device)).long())
            lifted = nn.functional.pad(lifted, (0, codes[-1].shape[1] * samples - wave.shape[1]))
            audio.append((lifted * 32767).round().to(torch.int16))
        joined = torch.cat(codes, 1)
        count = joined.shape[1] // WINDOW_FRAMES
        if not count:
            raise HeartlibError(
                f"{len(ids)} songs of {folder} last {joined.shape[1]} frames together; "
                f"give {WINDOW_FRAMES} or more"
            )
        windows = joined[:, : count * WINDOW_FRAMES].unflatten(1, (count, -1)).transpose(0, 1)
        sound = torch.cat(audio, 1)[:, : count * WINDOW_FRAMES * samples]
        return cls(
            sample_windows(codec, windows),
            sound.unflatten(1, (count, -1)).transpose(0, 1).to(device),
        )

    def rows(self, window: Tensor, first: Tensor, channel: Tensor, count: int, hop: int):
        """[B] each → latents [B, 128, count] from `first` on, and their sound [B, count · hop]."""
        at = first[:, None] + torch.arange(count, device=first.device)
        latents = self.latents[window[:, None], at].unflatten(-1, (2, -1))  # [B, count, 2, 128]
        latents = latents[torch.arange(len(window), device=window.device), :, channel]
        at = (first * hop)[:, None] + torch.arange(count * hop, device=first.device)
        sound = self.audio[window[:, None], channel[:, None], at]
        return latents.transpose(1, 2).float(), to_float(sound)


@torch.inference_mode()
def sample_windows(codec: HeartCodec, windows: Tensor) -> Tensor:
    """Codes [W, K, 372] → latents float16 [W, 744, 256], as `detokenize` samples a first window."""
    parts = []
    for start in trange(0, len(windows), SAMPLED, desc="latents", unit="batch"):
        codes = windows[start : start + SAMPLED]
        noise = torch.randn(len(codes), WINDOW_LATENTS, codec.config.out_channels).to(codes.device)
        with torch.autocast(codes.device.type, torch.bfloat16, enabled=codes.is_cuda):
            parts.append(sample(codec, codes, noise).to(torch.float16))
    return torch.cat(parts).clone()


class Refining(Training):
    """Training of the decoder alone, from latents."""

    def __init__(
        self, run: Run, recipe: DecoderRecipe, scalar: SQCodec, listener: MelEncoder
    ) -> None:
        """Start from a trained codec, whose encoder stays as it is; `listener` hears what is made."""
        super().__init__(run, recipe, config=scalar.config)
        self.listener, self.hearing_weight = listener.requires_grad_(False), recipe.hearing_weight
        self.go_on(scalar)
        if self.codec.encoder is not None:
            self.codec.encoder.requires_grad_(False)

    def listened(self, made: Tensor, real: Tensor) -> dict[str, tuple[float, Tensor]]:
        """How far what the listener hears in rows `made` [B, n] is from what it hears in `real`, of its size."""
        if not self.hearing_weight:
            return {}
        both = torch.cat((made, real))[:, None].expand(-1, 2, -1)  # the same on both sides
        heard = self.listener.transformer.tokens(self.listener.log_mel(both))
        size = heard[len(made) :].abs().mean()
        return {"hearing": (self.hearing_weight, halves_l1(heard) / size)}

    def learn_rows(
        self, latents: Tensor, sound: Tensor, adversarial: bool, part: int
    ) -> dict[str, Tensor]:
        """A part of a step on latents [B, 128, T] and their sound [B, n]; the losses."""
        hop = self.codec.config.samples_per_latent
        heard = slice(LEAD * hop, (latents.shape[-1] - self.codec.lookahead) * hop)
        made = self.codec.decoder(self.codec.quantise(latents))[:, 0]
        return self.update(made[:, heard], sound[:, heard], adversarial, part)


def held_figures(held: Windows, codec: SQCodec) -> dict[str, float]:
    """Mean log-mel distance in dB of what is decoded from the sampled latents."""
    distances = []
    for window in range(min(len(held.latents), HELD_WINDOWS)):
        made = decode_window(held, window, codec)
        distances.append(mel_distance(made, to_float(held.audio[window])).mean())
    return {"held_mel_db": torch.stack(distances).mean().item()}


@torch.inference_mode()
def decode_window(held: Windows, window: int, codec: SQCodec) -> Tensor:
    """A window's sound from its sampled latents [2, n]."""
    latents = held.latents[window : window + 1].float()
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=False):
        return codec.decode(split_channels(latents))[:, 0]


def train(recipe: DecoderRecipe, options: DecoderOptions) -> dict[str, float]:
    """Trains until the schedule, the lot or Ctrl-C ends it; resumes from OUT/state; last figures."""
    run = Run("decoder", recipe, options)
    device, out, data = run.device, options.out, options.data
    codec = load_for_saving(options.codec)
    if options.sq:
        codec.scalar_model = load_scalar(options.sq, codec.config)
    codec.to(device).eval().requires_grad_(False)
    encoder = load_encoder(options.rvq / "HeartCodec-oss-encoder", device)
    train_ids, held_ids = split(song_ids(data), recipe.held_out)
    songs, held = (
        Windows.load(data, ids, recipe.voice_lift, encoder, codec) for ids in (train_ids, held_ids)
    )
    training = Refining(run, recipe, codec.scalar_model, encoder)
    run.resume()
    last, hop = WINDOW_LATENTS - recipe.crop_latents, codec.config.samples_per_latent

    def one_step(adversarial: bool, part: int) -> dict[str, Tensor]:
        window, first, channel = (
            torch.randint(high, (recipe.batch,), device=device)
            for high in (len(songs.latents), last + 1, 2)
        )
        rows = songs.rows(window, first, channel, recipe.crop_latents, hop)
        return training.learn_rows(*rows, adversarial, part)

    def look() -> dict[str, float]:
        mean = training.mean_codec()
        for window in range(min(4, len(held.latents))):
            wave = decode_window(held, window, mean)
            log.hear(str(window), wave, codec.config.sample_rate, run.step)
        learned = copy.deepcopy(codec).cpu()
        learned.scalar_model.decoder = with_weight_norm(mean).decoder
        learned.save_pretrained(out / "HeartCodec-oss", dtype=torch.bfloat16)
        return held_figures(held, mean)

    log = run.start_log(windows=len(songs.latents), begins_at=run.step)
    if run.workers.first:
        log(event="before", **held_figures(held, training.mean_codec()))
    return training.train(one_step, look)


if __name__ == "__main__":
    from heartlib.cli import main

    sys.exit(main(["train", "decoder", *sys.argv[1:]]))
