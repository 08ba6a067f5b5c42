"""A corpus as the codebooks' recipe hears it: log-mel and truth on the device, and random crops of them.

Legend: B crops, T code frames (12.5 Hz), n samples.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from heartlib.heartcodec.configuration_heartcodec import LATENTS_PER_FRAME
from heartlib.heartcodec.models.query_transformer import LOG_FLOOR, MEL_PER_FRAME, LogMel
from heartlib.training.alignment import inventory, phoneme_frames, pitch_frames, read_truth
from heartlib.training.corpus_audio import (
    Arriving,
    hash_of,
    read_song,
    read_songs,
    song_ids,
    song_seconds,
    split,
)
from heartlib.training.rvq_recipe import RVQRecipe

FIRST_SONGS = 64  # that must be there before a run begins that follows a corpus in the making
COLOURS = 5  # points across the spectrum


class Songs:
    """A corpus on the device, song after song: log-mel and the truth of each 25 Hz frame.

    There is room for so many code frames, and more songs may come while a recorded step reads them.
    """

    def __init__(self, room: int, symbols: list[str], log_mel: LogMel, device: torch.device):
        self.symbols, self.log_mel, self.device, self.room = symbols, log_mel, device, room
        width, latents = 2 * log_mel.config.n_mels, room * LATENTS_PER_FRAME
        self.mel = torch.empty(room * MEL_PER_FRAME, width, dtype=torch.float16, device=device)
        self.phonemes = torch.zeros(latents, dtype=torch.int16, device=device)
        self.pitches = torch.zeros(latents, dtype=torch.int16, device=device)
        self.frames, self.end, self.count = 0, torch.zeros((), device=device), 0

    @classmethod
    def load(
        cls, folder: Path, ids: list[str], symbols: list[str], log_mel: LogMel, device: torch.device
    ) -> Songs:
        """These songs of a corpus folder."""
        seconds = sum(song_seconds(folder, song) for song in ids)
        rate = log_mel.config.sample_rate / (log_mel.config.hop_length * MEL_PER_FRAME)
        songs = cls(round(seconds * rate) + 2 * len(ids), symbols, log_mel, device)
        for song, wave in read_songs(folder, ids, log_mel.config.sample_rate, "mel"):
            songs.add(wave, read_truth(folder, song))
        return songs

    def add(self, wave: Tensor, truth: dict[str, Any]) -> bool:
        """One more song [2, n]; False where it has no room."""
        mel = self.log_mel(wave[None].to(self.device))[0].T  # [m, 2·n_mels]
        frames = len(mel) // MEL_PER_FRAME
        if self.frames + frames > self.room:
            return False
        self.mel[self.frames * MEL_PER_FRAME :][: len(mel)] = mel
        latents = frames * LATENTS_PER_FRAME
        for row, labels in (
            (self.phonemes, phoneme_frames(truth, self.symbols, latents)),
            (self.pitches, pitch_frames(truth, latents)),
        ):
            row[self.frames * LATENTS_PER_FRAME :][:latents] = torch.from_numpy(labels)
        self.frames, self.count = self.frames + frames, self.count + 1
        self.end.fill_(self.frames)
        return True

    def starts(self, count: int, frames: int) -> Tensor:
        """Random first frames [B] of crops of so many frames."""
        last = (self.end - frames).clamp_min(0)
        return (torch.rand(count, device=self.device, dtype=torch.float64) * last).long()

    def crops(
        self, starts: Tensor, frames: int, speed: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Starts [B] in code frames → mel [B, 2·n_mels, 8·T], phonemes [B, 2T], pitches [B, 2T].

        speed [B]: how fast each row passes.
        """
        device = starts.device
        fine = torch.arange(frames * MEL_PER_FRAME, device=device)
        coarse = torch.arange(frames * LATENTS_PER_FRAME, device=device)
        fine, coarse = fine.expand(len(starts), -1), coarse.expand(len(starts), -1)
        first = starts[:, None] * MEL_PER_FRAME
        if speed is None:
            mel = self.mel[first + fine].float()
        else:
            passed = fine * speed[:, None]
            low, part = passed.long(), (passed - passed.floor())[..., None]
            mel = torch.lerp(self.mel[first + low].float(), self.mel[first + low + 1].float(), part)
            coarse = ((coarse + 0.5) * speed[:, None]).long()
        at = starts[:, None] * LATENTS_PER_FRAME + coarse
        return mel.transpose(1, 2), self.phonemes[at].long(), self.pitches[at].long()

    def varied(self, recipe: RVQRecipe) -> tuple[Tensor, Tensor, Tensor]:
        """A random batch of crops, each at a speed, a loudness and with a colour of its own."""
        rows, device, c = recipe.batch, self.device, self.log_mel.config
        longest = round(recipe.crop_frames * (1 + recipe.stretch)) + 2
        speed = 1 + recipe.stretch * (2 * torch.rand(rows, device=device) - 1)
        starts = self.starts(rows, longest)
        mel, phonemes, pitches = self.crops(starts, recipe.crop_frames, speed)
        points = recipe.colour * (2 * torch.rand(rows, 1, COLOURS, device=device) - 1)
        change = F.interpolate(points, c.n_mels, mode="linear", align_corners=True)
        change = change + recipe.loudness * (2 * torch.rand(rows, 1, 1, device=device) - 1)
        power = torch.exp(mel.unflatten(1, (-1, c.n_mels)) * c.mel_std + c.mel_mean) - LOG_FLOOR
        power = power.clamp_min(0) * 10 ** (change / 10)[..., None]
        mel = (torch.log(power + LOG_FLOOR) - c.mel_mean) / c.mel_std
        return mel.flatten(1, 2), phonemes, pitches


def place(found: list, songs: Songs, held: Songs, recipe: RVQRecipe) -> None:
    """Puts songs that have arrived to those to learn from or to those held out."""
    for song, (wave, truth) in found:
        (songs if hash_of(song, recipe.held_out) else held).add(wave, truth)


def first_songs(
    arriving: Arriving[Any],
    hours: float,
    recipe: RVQRecipe,
    symbols: list[str] | None,
    log_mel: LogMel,
    device: torch.device,
) -> tuple[Songs, Songs]:
    """Room for so many hours with the first songs in it, and held-out ones; waits until they are there."""
    found = arriving.first(FIRST_SONGS, recipe.held_out)
    symbols = symbols or inventory([truth for _, (_, truth) in found])
    frames = round(hours * 3600 * log_mel.config.sample_rate / log_mel.config.hop_length)
    frames //= MEL_PER_FRAME
    songs = Songs(frames, symbols, log_mel, device)
    held = Songs(2 * frames // recipe.held_out, symbols, log_mel, device)
    place(found, songs, held, recipe)
    return songs, held


class Corpus:
    """The songs to learn from and those held out: all there, or up to `follow` hours coming as they are made."""

    def __init__(
        self,
        data: Path,
        follow: float,
        recipe: RVQRecipe,
        symbols: list[str] | None,
        log_mel: LogMel,
        device: torch.device,
    ) -> None:
        self.recipe, self.arriving = recipe, None
        if follow:
            rate = log_mel.config.sample_rate
            self.arriving = Arriving(
                data, lambda song: (read_song(data, song, rate), read_truth(data, song))
            )
            self.songs, self.held = first_songs(
                self.arriving, follow, recipe, symbols, log_mel, device
            )
        else:
            ids, held_ids = split(song_ids(data), recipe.held_out)
            symbols = symbols or inventory([read_truth(data, song) for song in ids])
            self.songs = Songs.load(data, ids, symbols, log_mel, device)
            self.held = Songs.load(data, held_ids, symbols, log_mel, device)
        self.symbols = self.songs.symbols

    def grow(self) -> None:
        """Takes the songs that have come."""
        if self.arriving is not None:
            place(self.arriving.take(), self.songs, self.held, self.recipe)

    def close(self) -> None:
        """Stops reading."""
        if self.arriving is not None:
            self.arriving.close()
