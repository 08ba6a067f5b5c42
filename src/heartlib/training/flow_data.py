"""A corpus as the flow's recipe sees it: codes and latents on the device, there at the start or coming as songs are made.

Legend: K codebooks, T code frames (12.5 Hz), B windows.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from heartlib.errors import HeartlibError
from heartlib.heartcodec import HeartCodec
from heartlib.heartcodec.configuration_heartcodec import LATENTS_PER_FRAME
from heartlib.heartcodec.modeling_heartcodec import WINDOW_FRAMES
from heartlib.heartcodec.models.query_transformer import MelEncoder
from heartlib.heartcodec.models.sq_codec import SQCodec
from heartlib.training.corpus_audio import (
    FIRST_SONGS,
    Arriving,
    hash_of,
    read_each,
    read_lifted,
    song_ids,
    song_seconds,
    split,
)
from heartlib.training.encode import encode_song


@torch.inference_mode()
def encode_latents(scalar: SQCodec, wave: Tensor, frames: int) -> Tensor:
    """Stereo audio [2, n] → unrounded latents float16 [2T, 256], the audio padded to T frames."""
    length = frames * LATENTS_PER_FRAME * scalar.config.samples_per_latent
    wave = nn.functional.pad(wave, (0, length - wave.shape[-1]))
    rows = scalar.encode(wave[:, None])  # [2, 128, 2T]
    return rows.permute(2, 0, 1).flatten(1).to(torch.float16)


class Pairs:
    """Codes [K, T] and latents [2T, 256] of songs end to end, on the device.

    Codes are those of a song, latents those of the same with its voices lifted. There is room for so many
    frames, and more songs may come while a recorded step reads them.
    """

    def __init__(self, room: int, encoder: MelEncoder, codec: HeartCodec) -> None:
        self.encoder, self.codec, self.room, device = encoder, codec, room, codec.device
        books, width = codec.config.num_quantizers, codec.config.out_channels
        self.codes = torch.zeros(books, room, dtype=torch.int16, device=device)
        self.latents = torch.zeros(
            room * LATENTS_PER_FRAME, width, dtype=torch.float16, device=device
        )
        self.frames, self.end, self.count = 0, torch.zeros((), device=device), 0

    @classmethod
    def load(
        cls, folder: Path, ids: list[str], lift: float, encoder: MelEncoder, codec: HeartCodec
    ) -> Pairs:
        """These songs of a corpus folder, their voices lifted by so many dB."""
        rate, size = codec.config.sample_rate, codec.config.samples_per_frame
        room = sum(-(-round(song_seconds(folder, song) * rate) // size) for song in ids)
        pairs = cls(room, encoder, codec)
        read = partial(read_lifted, folder, sample_rate=rate, lift=lift)
        for _, song in read_each(ids, read, "codes and latents"):
            pairs.add(*song)
        return pairs

    def add(self, wave: Tensor, lifted: Tensor) -> None:
        """One more song [2, n], as it is and as it is to sound, if there is room for it."""
        frames = -(-wave.shape[1] // self.codec.config.samples_per_frame)
        if self.frames + frames > self.room:
            return
        wave = wave.to(self.codec.device)
        codes = encode_song(self.encoder, self.codec.flow_matching.vq_embed, wave)
        self.codes[:, self.frames :][:, :frames] = codes
        latents = encode_latents(self.codec.scalar_model, lifted.to(wave.device), frames)
        self.latents[self.frames * LATENTS_PER_FRAME :][: len(latents)] = latents
        self.frames, self.count = self.frames + frames, self.count + 1
        self.end.fill_(self.frames)

    def starts(self, count: int) -> Tensor:
        """Random first frames [B] of windows."""
        last = self.end - WINDOW_FRAMES
        place = torch.rand(count, device=self.end.device, dtype=torch.float64)
        return (place * last).long()

    def crops(self, starts: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """Starts [B] in frames → codes [B, K, T], latents [B, 2T, 256]."""
        at = starts[:, None] + torch.arange(frames, device=starts.device)
        fine = starts[:, None] * LATENTS_PER_FRAME
        fine = fine + torch.arange(frames * LATENTS_PER_FRAME, device=starts.device)
        return self.codes[:, at].transpose(0, 1).long(), self.latents[fine].float()


class Corpus:
    """The songs to learn from and those held out: all there, or up to `follow` hours coming as they are made."""

    def __init__(
        self,
        data: Path,
        follow: float,
        held_out: int,
        lift: float,
        encoder: MelEncoder,
        codec: HeartCodec,
    ) -> None:
        self.held_out, self.arriving = held_out, None
        if follow:
            rate = codec.config.sample_rate
            read = partial(read_lifted, data, sample_rate=rate, lift=lift)
            self.arriving = Arriving(data, read)
            room = round(follow * 3600 * rate / codec.config.samples_per_frame)
            self.songs = Pairs(room, encoder, codec)
            self.held = Pairs(2 * room // held_out, encoder, codec)
            self.place(self.arriving.first(FIRST_SONGS, held_out))
        else:
            self.songs, self.held = (
                Pairs.load(data, ids, lift, encoder, codec)
                for ids in split(song_ids(data), held_out)
            )
        for name, part in (("training", self.songs), ("held-out", self.held)):
            if part.frames <= WINDOW_FRAMES:
                self.close()
                raise HeartlibError(
                    f"the {name} songs of {data} last {part.frames} frames together; "
                    f"give more than {WINDOW_FRAMES}"
                )

    def place(self, found: list[tuple[str, tuple[Tensor, Tensor]]]) -> None:
        """Puts songs that have arrived to those to learn from or to those held out."""
        for name, song in found:
            (self.songs if hash_of(name, self.held_out) else self.held).add(*song)

    def grow(self) -> None:
        """Takes the songs that have come."""
        if self.arriving is not None:
            self.place(self.arriving.take())

    def close(self) -> None:
        """Stops reading."""
        if self.arriving is not None:
            self.arriving.close()
