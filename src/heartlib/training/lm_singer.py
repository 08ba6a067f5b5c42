"""What a language model in training sings: the same prompt again and again, decoded by a codec."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from heartlib.errors import HeartlibError, UsageError
from heartlib.heartcodec import HeartCodec
from heartlib.heartmula import HeartMuLa, Prompt, generate
from heartlib.training.lm_data import Collator, Song
from heartlib.training.lm_recipe import LMRecipe
from heartlib.training.log import Log

FRAMES = 125  # 10 s


class Singer:
    """A codec and the prompt of one song. UsageError where the codec's codebooks are not the recipe's."""

    def __init__(
        self, codec: Path, collate: Collator, song: Song, recipe: LMRecipe, device: torch.device
    ) -> None:
        self.codec = HeartCodec.from_pretrained(codec, device=device)
        config, self.song, self.eos = self.codec.config, song, recipe.gen_config.audio_eos_id
        if (config.num_quantizers, config.codebook_size) != (
            recipe.codebooks,
            recipe.codebook_size,
        ):
            raise UsageError(
                f"--codec {codec} has {config.num_quantizers} codebooks of {config.codebook_size}, "
                f"the recipe {recipe.codebooks} of {recipe.codebook_size}"
            )
        batch = collate([song], np.random.default_rng(0))
        length = batch.prompt
        self.prompt = Prompt(
            batch.tokens[0, :length].long(), batch.mask[0, :length], None, int(batch.style_at[0])
        )
        self.frames = min(FRAMES, recipe.positions - length)

    def sing(self, model: HeartMuLa, log: Log, step: int) -> None:
        """A short song into the log's samples; nothing where the model ends it at once."""
        try:
            codes = generate(
                model, self.prompt, max_frames=self.frames, audio_eos_id=self.eos, seed=0
            )
        except HeartlibError as error:
            print(f"no sample at step {step}: {error}")
            return
        wave = self.codec.detokenize(codes.clamp_max(self.codec.config.codebook_size - 1))
        log.hear("sung", wave, self.codec.config.sample_rate, step)
