"""A corpus as the codebooks' recipe hears it: log-mel and truth on the device, and random crops of them.

Legend: B crops, T code frames (12.5 Hz), n samples.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from heartlib.errors import HeartlibError
from heartlib.heartcodec.configuration_heartcodec import LATENTS_PER_FRAME
from heartlib.heartcodec.models.query_transformer import LOG_FLOOR, MEL_PER_FRAME, LogMel
from heartlib.training.alignment import inventory, phoneme_frames, pitch_frames, read_truth
from heartlib.training.corpus_audio import (
    FIRST_SONGS,
    Arriving,
    hash_of,
    read_each,
    read_song,
    read_voices,
    song_ids,
    song_seconds,
    split,
)
from heartlib.training.rvq_recipe import RVQRecipe

COLOURS = 5  # points across the spectrum

Heard = tuple[Tensor, Tensor | None, dict[str, Any]]  # song and voices [2, n], truth


class Songs:
    """A corpus on the device, song after song: log-mel and the truth of each 25 Hz frame.

    There is room for so many code frames, and more songs may come while a recorded step reads them. With
    stems, what sings and what plays along are there apart too, so that any band can play to any voice.
    """

    def __init__(
        self,
        room: int,
        symbols: list[str],
        log_mel: LogMel,
        device: torch.device,
        stems: bool = False,
    ):
        self.symbols, self.log_mel, self.device, self.room = symbols, log_mel, device, room
        width, latents = 2 * log_mel.config.n_mels, room * LATENTS_PER_FRAME
        self.mel, *parts = (
            torch.empty(room * MEL_PER_FRAME, width, dtype=torch.float16, device=device)
            for _ in range(3 if stems else 1)
        )
        self.parts = tuple(parts)  # voices, band
        self.phonemes = torch.zeros(latents, dtype=torch.int16, device=device)
        self.pitches = torch.zeros(latents, dtype=torch.int16, device=device)
        self.frames, self.end, self.count = 0, torch.zeros((), device=device), 0

    @classmethod
    def load(
        cls,
        folder: Path,
        ids: list[str],
        symbols: list[str],
        log_mel: LogMel,
        device: torch.device,
        stems: bool = False,
    ) -> Songs:
        """These songs of a corpus folder, `stems` as well."""
        seconds = sum(song_seconds(folder, song) for song in ids)
        rate = log_mel.config.sample_rate / (log_mel.config.hop_length * MEL_PER_FRAME)
        songs = cls(round(seconds * rate) + 2 * len(ids), symbols, log_mel, device, stems)
        read = partial(hearing, folder, log_mel.config.sample_rate, stems)
        for _, heard in read_each(ids, read, "mel"):
            songs.add(heard)
        return songs

    def add(self, heard: Heard) -> bool:
        """One more song; False where it has no room. HeartlibError where it lacks its stems."""
        wave, voices, truth = heard
        frames = -(-wave.shape[1] // (self.log_mel.config.hop_length * MEL_PER_FRAME))
        if self.frames + frames > self.room:
            return False
        waves = [wave]
        if self.parts:
            if voices is None:
                raise HeartlibError(
                    "some songs of the corpus have stems and some do not: make them all"
                )
            waves += [voices, wave - voices]
        for row, part in zip((self.mel, *self.parts), waves, strict=True):
            mel = self.log_mel(part[None].to(self.device))[0].T  # [m, 2·n_mels]
            row[self.frames * MEL_PER_FRAME :][: len(mel)] = mel
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
        coarse = torch.arange(frames * LATENTS_PER_FRAME, device=starts.device)
        coarse = coarse.expand(len(starts), -1)
        if speed is not None:
            coarse = ((coarse + 0.5) * speed[:, None]).long()
        at = starts[:, None] * LATENTS_PER_FRAME + coarse
        mel = rows_of(self.mel, starts, frames, speed)
        return mel.transpose(1, 2), self.phonemes[at].long(), self.pitches[at].long()

    def varied(self, recipe: RVQRecipe) -> tuple[Tensor, Tensor, Tensor]:
        """A random batch of crops, each at a speed, a loudness and with a colour of its own, some with another band."""
        rows, device, c = recipe.batch, self.device, self.log_mel.config
        longest = round(recipe.crop_frames * (1 + recipe.stretch)) + 2
        speed = 1 + recipe.stretch * (2 * torch.rand(rows, device=device) - 1)
        starts = self.starts(rows, longest)
        mel, phonemes, pitches = self.crops(starts, recipe.crop_frames, speed)
        power = self.power(mel)
        if self.parts:
            voices, band = self.parts
            sung = rows_of(voices, starts, recipe.crop_frames, speed)
            away = rows_of(band, self.starts(rows, longest), recipe.crop_frames, speed)
            other = self.power(sung.transpose(1, 2)) + self.power(away.transpose(1, 2))
            swapped = torch.rand(rows, 1, 1, 1, device=device) < recipe.other_band
            power = torch.where(swapped, other, power)
        points = recipe.colour * (2 * torch.rand(rows, 1, COLOURS, device=device) - 1)
        change = F.interpolate(points, c.n_mels, mode="linear", align_corners=True)
        change = change + recipe.loudness * (2 * torch.rand(rows, 1, 1, device=device) - 1)
        power = power * 10 ** (change / 10)[..., None]
        mel = (torch.log(power + LOG_FLOOR) - c.mel_mean) / c.mel_std
        return mel.flatten(1, 2), phonemes, pitches

    def power(self, mel: Tensor) -> Tensor:
        """Log-mel [B, 2·n_mels, M] → power [B, 2, n_mels, M]."""
        c = self.log_mel.config
        log = mel.unflatten(1, (-1, c.n_mels)) * c.mel_std + c.mel_mean
        return (torch.exp(log) - LOG_FLOOR).clamp_min(0)


def rows_of(mel: Tensor, starts: Tensor, frames: int, speed: Tensor | None = None) -> Tensor:
    """`frames` code frames of mel [m, 2·n_mels] from each of `starts` [B], passing at `speed` [B]: [B, 8·T, 2·n_mels]."""
    fine = torch.arange(frames * MEL_PER_FRAME, device=starts.device).expand(len(starts), -1)
    first = starts[:, None] * MEL_PER_FRAME
    if speed is None:
        return mel[first + fine].float()
    passed = fine * speed[:, None]
    low, part = passed.long(), (passed - passed.floor())[..., None]
    return torch.lerp(mel[first + low].float(), mel[first + low + 1].float(), part)


def hearing(folder: Path, rate: int, stems: bool, song: str) -> Heard:
    """A song of a corpus: its audio [2, n], what its voices sing alone, where wanted, and its truth."""
    wave, truth = read_song(folder, song, rate), read_truth(folder, song)
    voices = read_voices(folder, song, wave.shape[1], truth) if stems else None
    return wave, voices, truth


def has_stems(folder: Path) -> bool:
    """Whether a corpus has its voices apart."""
    return (folder / "stems").is_dir()


def place(found: list, songs: Songs, held: Songs, recipe: RVQRecipe) -> None:
    """Puts songs that have arrived to those to learn from or to those held out."""
    for song, heard in found:
        (songs if hash_of(song, recipe.held_out) else held).add(heard)


def first_songs(
    arriving: Arriving[Heard],
    stems: bool,
    hours: float,
    recipe: RVQRecipe,
    symbols: list[str] | None,
    log_mel: LogMel,
    device: torch.device,
) -> tuple[Songs, Songs]:
    """Room for so many hours with the first songs in it, and held-out ones; waits until they are there."""
    found = arriving.first(FIRST_SONGS, recipe.held_out)
    symbols = symbols or inventory([truth for _, (_, _, truth) in found])
    frames = round(hours * 3600 * log_mel.config.sample_rate / log_mel.config.hop_length)
    frames //= MEL_PER_FRAME
    songs = Songs(frames, symbols, log_mel, device, stems)
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
        self.recipe, self.arriving, stems = recipe, None, has_stems(data) and recipe.other_band > 0
        if follow:
            read = partial(hearing, data, log_mel.config.sample_rate, stems)
            self.arriving = Arriving(data, read)
            self.songs, self.held = first_songs(
                self.arriving, stems, follow, recipe, symbols, log_mel, device
            )
        else:
            ids, held_ids = split(song_ids(data), recipe.held_out)
            symbols = symbols or inventory([read_truth(data, song) for song in ids])
            self.songs = Songs.load(data, ids, symbols, log_mel, device, stems)
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
