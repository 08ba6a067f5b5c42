"""Train the scalar codec of HeartCodec on the audio of a corpus: waveform to latents and back.

    heartlib train codec --data songs --out runs/sq --minutes 7
    heartlib train codec --data songs --out runs/sq --minutes 14 --lot 7    # half of it now
    heartlib train codec --data songs --out runs/more --init runs/sq/sq_codec

Writes OUT/sq_codec (config.json, model.safetensors: the running mean of the weights, names as
published), OUT/samples (held-out songs: original, a pause, reconstruction), OUT/log.jsonl,
OUT/tensorboard and OUT/state. Rows are mono: left, right, mid or side of a crop.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn

from heartlib import checkpoints
from heartlib.heartcodec.models.sq_codec import SQCodec
from heartlib.training.audio_data import (
    SAMPLE_RATE,
    AudioSet,
    Crops,
    load_audio,
    song_files,
    split_songs,
)
from heartlib.training.log import Log
from heartlib.training.losses import mel_distance, si_sdr
from heartlib.training.run import Run
from heartlib.training.sq_recipe import SQOptions, SQRecipe
from heartlib.training.sq_trainer import Training, load_scalar, with_weight_norm

SAMPLE_SECONDS = 6


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
            return torch.stack(
                [codec.decode(codec.encode(clip[:, None]))[:, 0] for clip in self.clips]
            )

    def figures(self, codec: SQCodec) -> dict[str, float]:
        """Mean log-mel distance and SI-SDR over songs and channels, in dB."""
        made = self.decode(codec)
        return {
            "held_mel_db": mel_distance(made, self.clips).mean().item(),
            "held_si_sdr_db": si_sdr(made, self.clips).mean().item(),
        }

    def hear(self, codec: SQCodec, log: Log, step: int, count: int = 3) -> None:
        """Samples of the log: the original, half a second of nothing, its reconstruction."""
        pause = torch.zeros(2, SAMPLE_RATE // 2)
        made = self.decode(codec)
        for name, real, copy_ in list(zip(self.ids, self.clips, made, strict=True))[:count]:
            log.hear(name, torch.cat((real.cpu(), pause, copy_.cpu()), dim=1), SAMPLE_RATE, step)


def train(recipe: SQRecipe, options: SQOptions) -> dict[str, float]:
    """Trains until the schedule, the lot or Ctrl-C ends it; resumes from OUT/state; last figures."""
    run = Run("codec", recipe, options)
    files, held_files = split_songs(song_files(options.data))
    training = Training(run, recipe)
    hop = training.codec.config.samples_per_latent
    songs = load_audio(files, run.device)
    held = HeldOut(load_audio(held_files[:8], run.device), hop)
    crops = Crops(songs, recipe.crop_latents * hop)
    if options.init and not run.begun:
        training.go_on(load_scalar(options.init, training.codec.config))
    elif not run.begun:
        training.start(mono_rows(crops.batch(recipe.batch), recipe.gain_db))
    run.resume()
    log = run.start_log(hours=songs.hours, held_songs=len(held.ids), begins_at=run.step)

    def one_step(adversarial: bool, part: int) -> dict[str, Tensor]:
        wave = mono_rows(crops.batch(recipe.batch), recipe.gain_db)
        return training.learn(wave, adversarial, part)

    def look() -> dict[str, float]:
        codec = training.mean_codec()
        checkpoints.save_pretrained(with_weight_norm(codec), options.out / "sq_codec")
        held.hear(codec, log, run.step)
        return held.figures(codec)

    return training.train(one_step, look)


if __name__ == "__main__":
    from heartlib.cli import main

    sys.exit(main(["train", "codec", *sys.argv[1:]]))
