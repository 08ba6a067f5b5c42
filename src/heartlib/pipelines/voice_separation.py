"""The voice of a song by itself, by Demucs (Défossez et al. 2022), which comes with the extra `heartlib[separate]`.

Shapes: [2, n] stereo at Demucs' rate, 44.1 kHz for the published one; the voice leaves as float32 [n] at 16 kHz.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from heartlib import audio
from heartlib.errors import HeartlibError
from heartlib.hearttranscriptor.windows import RATE
from heartlib.pipelines.placement import Device, parse_device

NAME = "htdemucs"
PIECE, EDGE = 60, 2  # seconds that are separated at once, and of their neighbours on each side
VOICE = "vocals"  # as Demucs calls it


class VoiceSeparator:
    """A Demucs model on a device. Its shifts by chance are left out, so that a song is the same each time."""

    def __init__(self, model: Any, device: torch.device) -> None:
        self.model, self.device = model.eval(), device
        self.rate = int(model.samplerate)

    @classmethod
    def from_pretrained(cls, device: Device = None) -> VoiceSeparator:
        """The published HTDemucs from the Hugging Face hub or its cache, as safetensors.

        Raises HeartlibError where Demucs is not installed, or its weights are neither here nor to be fetched.
        """
        where = parse_device(device)
        if find_spec("demucs") is None:
            raise HeartlibError("separation needs Demucs: pip install 'heartlib[separate]'")
        from demucs.hf import get_hf_model

        try:
            model = get_hf_model(NAME)
        except Exception as error:  # the hub raises many kinds
            reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            raise HeartlibError(
                f"the weights of Demucs ({NAME}) are not in the cache and cannot be fetched from the Hugging Face hub: "
                f"{reason}; leave --separate out, or fetch them once with a network"
            ) from error
        return cls(model, where)

    @torch.inference_mode()
    def __call__(
        self, song: str | Path, progress: Callable[[float, float], None] | None = None
    ) -> np.ndarray:
        """The voice of a sound file, float32 [n] at 16 kHz, a minute at a time.

        progress(seconds done, seconds in all). Raises UsageError for a missing file, HeartlibError for what is not sound.
        """
        whole = audio.duration(song)
        if progress is not None:
            progress(0.0, whole)
        parts = audio.resample_pieces(self._voice(song, whole, progress), self.rate, RATE)
        return np.concatenate([np.zeros(0, np.float32), *parts])

    def _voice(
        self, song: str | Path, whole: float, progress: Callable[[float, float], None] | None
    ) -> Iterator[np.ndarray]:
        """The voice [n] at Demucs' rate, piece after piece."""
        done = 0
        for wave, before, after in in_pieces(
            self._stereo(song), PIECE * self.rate, EDGE * self.rate
        ):
            yield self._separate(wave)[before : wave.shape[1] - after]
            done += wave.shape[1] - before - after
            if progress is not None:
                progress(min(whole, done / self.rate), whole)

    def _separate(self, wave: np.ndarray) -> np.ndarray:
        """The voice [n] of [2, n]."""
        from demucs.apply import apply_model

        mix = torch.from_numpy(wave)
        middle, spread = mix.mean(), mix.mean(0).std() + 1e-8
        stems = apply_model(
            self.model, ((mix - middle) / spread)[None], shifts=0, device=self.device
        )
        voice = stems[0, self.model.sources.index(VOICE)] * spread + middle
        return voice.mean(0).float().cpu().numpy()

    def _stereo(self, song: str | Path) -> Iterator[np.ndarray]:
        """Pieces [2, n] of a file at Demucs' rate; of more than two channels their mean."""
        import soxr

        pieces, rate = audio.read_pieces(song)
        stream = soxr.ResampleStream(rate, self.rate, 2, dtype="float32")
        for piece in pieces:
            if not np.isfinite(piece).all():
                raise HeartlibError(f"{song} holds values that are not finite")
            if len(piece) != 2:
                piece = np.repeat(piece.mean(0, keepdims=True), 2, axis=0)
            yield stream.resample_chunk(np.ascontiguousarray(piece.T)).T
        yield stream.resample_chunk(np.zeros((0, 2), np.float32), last=True).T


def in_pieces(
    blocks: Iterator[np.ndarray], length: int, edge: int
) -> Iterator[tuple[np.ndarray, int, int]]:
    """Blocks [2, n] as pieces of `length` with up to `edge` of their neighbours: piece, and how much of it is before and after."""
    held, before = np.zeros((2, 0), np.float32), 0
    for block in blocks:
        held = np.concatenate((held, block), axis=1)
        while held.shape[1] >= before + length + edge:
            yield np.ascontiguousarray(held[:, : before + length + edge]), before, edge
            kept = min(edge, before + length)
            held, before = held[:, before + length - kept :], kept
    if held.shape[1] > before:
        yield np.ascontiguousarray(held), before, 0
