"""HeartCodec: sound to codes, and codes to sound window by window.

Shapes: K codebooks, T frames (12.5 Hz), N samples = 3,840·T at 48 kHz, 2 channels, W windows.
Source: HeartMuLa (arXiv 2601.10547).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from heartlib import checkpoints
from heartlib.errors import CheckpointError, UsageError
from heartlib.heartcodec.configuration_heartcodec import (
    CHANNELS,
    LATENTS_PER_FRAME,
    HeartCodecConfig,
)
from heartlib.heartcodec.encoding import as_stereo, load_any_encoder
from heartlib.heartcodec.models.audio_encoder import AudioEncoder
from heartlib.heartcodec.models.flow_matching import FlowMatching
from heartlib.heartcodec.models.query_transformer import MelEncoder
from heartlib.heartcodec.models.sq_codec import SQCodec, fold_weight_norm
from heartlib.heartcodec.precision import Precision, dtype_of_parts
from heartlib.heartcodec.transfer import Arriving, to_device
from heartlib.shapes import shapes_alone

if TYPE_CHECKING:
    from heartlib.heartcodec.window_decoder import WindowDecoder

WINDOW_FRAMES = 372  # 29.76 s
HOP_FRAMES = 320
OVERLAP_FRAMES = WINDOW_FRAMES - HOP_FRAMES
WINDOW_LATENTS = LATENTS_PER_FRAME * WINDOW_FRAMES
OVERLAP_LATENTS = LATENTS_PER_FRAME * OVERLAP_FRAMES
MATCHED_LATENTS = 2  # after an instant that the loudness of its bands depends on
_PREPARING = threading.Lock()  # one thread at a time prepares a codec for decoding


def count_windows(frames: int) -> int:
    """How many windows of 372 frames, 320 apart, cover `frames` ≥ 1."""
    return 1 + max(0, -(-(frames - WINDOW_FRAMES) // HOP_FRAMES))


def window_codes(first: Callable[[int], Tensor]) -> Iterator[tuple[Tensor, int]]:
    """Each window's codes [K, 372] and how many of its frames are the last of the song, 0 where it goes on.

    first(n): the first n frames of the song [K, n], or all that it has; asked for one frame beyond each
    window. The song is repeated end to end to fill the last window.
    """
    start = 0
    while True:
        end = start + WINDOW_FRAMES
        codes = first(end + 1)
        left = codes.shape[1] - start
        if left > WINDOW_FRAMES:
            yield codes[:, start:end], 0
            start += HOP_FRAMES
            continue
        yield codes[:, torch.arange(start, end) % codes.shape[1]], left
        return


def cross_fade(before: Tensor, after: Tensor) -> Tensor:
    """Go from `before` to `after` [..., n] along a straight line."""
    rise = torch.linspace(0, 1, before.shape[-1], device=before.device, dtype=before.dtype)
    return before * (1 - rise) + after * rise


def split_channels(latents: Tensor) -> Tensor:
    """[B, 2T, 2·C] → one row an audio channel [2·B, C, 2T]."""
    return latents.unflatten(-1, (CHANNELS, -1)).permute(0, 2, 3, 1).flatten(0, 1)


def _strip_prefix(name: str) -> str:
    """Newer exports put `decoder.` before every name; the published weights do not."""
    for part in ("flow_matching.", "scalar_model."):
        if name.startswith("decoder." + part):
            return name.removeprefix("decoder.")
    return name


@dataclass
class SongSoFar:
    """Where the decoding of one song stands: what its next window goes on from."""

    generator: torch.Generator
    context: Tensor | None = None  # latents [104, 256]
    tail: Tensor | None = None  # audio [2, n], which fades into the next window's


def _forget(codec: nn.Module, _: object) -> None:
    assert isinstance(codec, HeartCodec)
    codec.forget()


class HeartCodec(nn.Module):
    """Residual codebooks, flow matching and the scalar codec; where it was loaded, the encoder too.

    On a GPU windows are decoded on a stream of the codec's own, whichever thread asks: other work goes on beside it.
    """

    encoder: MelEncoder | AudioEncoder | None
    precision: Precision | None  # None: the usual one beside the dtype of the estimator's blocks

    def __init__(self, config: HeartCodecConfig):
        super().__init__()
        self.config = config
        self.flow_matching = FlowMatching(config)
        self.scalar_model = SQCodec(config)
        self.encoder = None
        self.precision = None
        self.by_modules = False  # decode with the modules themselves, to compare
        self._decoder: WindowDecoder | None = None
        self.register_load_state_dict_post_hook(_forget)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> HeartCodec:
        """Load a `HeartCodec-oss` folder for decoding: without the scalar encoder, its weight norm folded.

        `dtype` is the estimator's blocks': their rounding is far from the sound. The rest stays float32, or as
        near as `Precision` says, since the scalar codec's rounding turns small errors into audible ones. Raises
        CheckpointError naming file and tensor.
        """
        config = checkpoints.read_config(folder, HeartCodecConfig)
        with shapes_alone():
            codec = cls(config)
        codec.scalar_model.encoder = None
        checkpoints.load_weights(
            codec,
            folder,
            device=device,
            dtype=dtype_of_parts(dtype),
            rename=_strip_prefix,
            ignore=(".pos_embeddings.theta", ".pos_embeddings.cache", "scalar_model.encoder."),
        )
        fold_weight_norm(codec.scalar_model)
        return codec.eval().requires_grad_(False)

    @classmethod
    def from_encoder_decoder_pretrained(
        cls,
        decoder: str | Path,
        encoder: str | Path,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> HeartCodec:
        """Load a `HeartCodec-oss` folder and a `HeartCodec-oss-encoder` folder, to encode and decode.

        `dtype` is as in `from_pretrained`; the encoder is float32. Raises CheckpointError for a folder that
        is none, or where the two do not fit.
        """
        codec = cls.from_pretrained(decoder, device, dtype)
        codec.encoder = load_any_encoder(encoder, device)
        if codec.encoder.config.dim != codec.config.dim:
            raise CheckpointError(
                f"{encoder} makes features of width {codec.encoder.config.dim}, the codebooks of {decoder} "
                f"take {codec.config.dim}: they are not of one codec"
            )
        return codec

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write config.json and model.safetensors; only before the weight norm is folded."""
        checkpoints.save_pretrained(self, folder, dtype=dtype)

    @property
    def device(self) -> torch.device:
        return self.flow_matching.zero_cond_embedding1.device

    @torch.inference_mode()
    def tokenize(
        self, wave: Any, sample_rate: int, progress: Callable[[int, int], object] | None = None
    ) -> Tensor:
        """Waveform [n], [1, n] or [2, n] at any rate in Hz → codes [K, T], int64 on the CPU.

        T is one frame for each 80 ms begun; the published encoder adds one where the last is full.
        `progress` is told how many frames of T are done. Raises UsageError for a codec without an encoder
        or a wave that is not one.
        """
        if self.encoder is None:
            raise UsageError(
                "this codec was loaded without its encoder; load both with "
                "HeartCodec.from_encoder_decoder_pretrained(decoder, encoder)"
            )
        stereo = as_stereo(wave, sample_rate, self.encoder.sample_rate).to(self.device)
        frames, codes, done = self.encoder.count_frames(stereo.shape[1]), [], 0
        for features in self.encoder.pieces(stereo):
            codes.append(self.flow_matching.vq_embed.encode(features[None])[0].cpu())
            done += len(features)
            if progress is not None:
                progress(done, frames)
        return torch.cat(codes, dim=1)

    def decoder(self) -> WindowDecoder | None:
        """What decodes windows fast, made at the first call; None where the modules themselves do.

        They do in float32 on a CPU, while the codec learns, and where `by_modules` is set. Weights that are changed in place later are not seen:
        call `forget` then.
        """
        kind = self.flow_matching.estimator.dtype
        if self.by_modules or (self.device.type != "cuda" and kind == torch.float32):
            return None
        if any(parameter.requires_grad for parameter in self.parameters()):
            return None
        with _PREPARING:
            if self._decoder is None:
                from heartlib.heartcodec.window_decoder import WindowDecoder

                self._decoder = WindowDecoder(
                    self.flow_matching,
                    self.scalar_model,
                    self.precision or Precision.beside(kind, self.device),
                    whole=WINDOW_LATENTS,
                )
            return self._decoder

    def forget(self) -> None:
        """Give back what was prepared for decoding; the next window prepares it anew."""
        self._decoder = None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> HeartCodec:
        self.forget()
        return super()._apply(fn, recurse)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_decoder": None}

    def aside(self, *given: Tensor) -> AbstractContextManager[object]:
        """Work on a GPU in here runs on the codec's own stream, beside that of the caller's.

        It waits for the caller's where one of the tensors `given` is on a GPU; what leaves must go to the CPU.
        """
        decoder = self.decoder()
        if decoder is None:
            return nullcontext()
        return decoder.aside(after=any(tensor.is_cuda for tensor in given), before=False)

    @torch.inference_mode()
    def latents(
        self,
        codes: Tensor,
        noise: Tensor,
        contexts: Sequence[Tensor | None],
        num_steps: int,
        guidance_scale: float,
    ) -> Tensor:
        """Codes [B, K, T], noise [B, 2T, 256] and the latents [c, 256] that each window goes on from, or None → latents.

        Windows are of one song or of several: a row's latents are what it gets alone, up to how the estimator's
        dtype rounds where matrix products of other sizes add in another order.
        """
        settings = {
            "num_steps": num_steps,
            "guidance_scale": guidance_scale,
            "guidance_from": self.config.guidance_from,
        }
        codes, noise = to_device(codes, self.device), to_device(noise, self.device)
        decoder = self.decoder()
        if decoder is not None:
            return decoder.latents(codes, noise, contexts, **settings)
        made = [
            self.flow_matching.sample(
                codes[row : row + 1],
                noise[row : row + 1],
                None if context is None else context[None],
                **settings,
            )
            for row, context in enumerate(contexts)
        ]
        return torch.cat(made)  # [B, 2T, 256]

    @torch.inference_mode()
    def sound(self, latents: Tensor) -> Tensor:
        """Latents [B, 2T, 256] → 48 kHz audio float32 [B, 2, 3840·T]."""
        decoder = self.decoder()
        if decoder is not None:
            return decoder.sound(latents)
        made = [self.scalar_model.decode(split_channels(row[None]))[:, 0] for row in latents]
        return torch.stack(made)

    def detokenize(
        self,
        codes: Tensor,
        num_steps: int | None = None,
        guidance_scale: float | None = None,
        seed: int = 0,
        noise: Tensor | None = None,
    ) -> Tensor:
        """Codes [K, T] → waveform [2, 3840·T], float32 on the CPU.

        Steps and guidance are the config's unless given. `noise` [W, 744, 256] overrides the seed.
        Raises UsageError for codes that are not the codec's.
        """
        return torch.cat(
            list(self.detokenize_windows(codes, num_steps, guidance_scale, seed, noise)), dim=1
        )

    @torch.inference_mode()
    def detokenize_songs(
        self,
        songs: Sequence[Tensor],
        num_steps: int | None = None,
        guidance_scale: float | None = None,
        seeds: Sequence[int] | None = None,
    ) -> list[Tensor]:
        """`detokenize` of several songs [K, T], whose windows are decoded side by side; a seed each, 0 unless given.

        A song has the noise that it has alone and sees nothing of the others, see `latents`. Memory on the GPU grows
        with their number.
        """
        num_steps, guidance_scale = self._sampling(num_steps, guidance_scale)
        seeds = [0] * len(songs) if seeds is None else seeds
        if len(seeds) != len(songs):
            raise UsageError(f"{len(songs)} songs and {len(seeds)} seeds; give each song one")
        for codes in songs:
            self.check_codes(codes)
        windows = [list(window_codes(lambda count, c=c: c[:, :count])) for c in songs]
        states = [SongSoFar(torch.Generator().manual_seed(seed)) for seed in seeds]
        pieces: list[list[Arriving]] = [[] for _ in songs]
        for index in range(max(map(len, windows), default=0)):
            at = [song for song, parts in enumerate(windows) if index < len(parts)]
            made = self._next_windows(
                [windows[song][index] for song in at],
                [self._noise(states[song]) for song in at],
                [states[song] for song in at],
                num_steps,
                guidance_scale,
            )
            for song, piece in zip(at, made, strict=True):
                pieces[song].append(piece)
        return [torch.cat([piece.get() for piece in song], dim=1) for song in pieces]

    def detokenize_windows(
        self,
        codes: Tensor,
        num_steps: int | None = None,
        guidance_scale: float | None = None,
        seed: int = 0,
        noise: Tensor | None = None,
    ) -> Iterator[Tensor]:
        """The pieces of `detokenize`, in order: each is final as soon as its window is decoded."""
        self.check_codes(codes)
        shape = (count_windows(codes.shape[1]), WINDOW_LATENTS, self.config.out_channels)
        if noise is not None and tuple(noise.shape) != shape:
            raise UsageError(f"noise has shape {list(noise.shape)}; give {list(shape)}")
        settings = (num_steps, guidance_scale, seed, noise)
        # The codes are there: a GPU begins the next window while this one's piece is taken away.
        ahead = 1 if self.device.type == "cuda" else 0
        return self._pieces(lambda count: codes[:, :count], *settings, ahead=ahead)

    def detokenize_growing(
        self,
        first: Callable[[int], Tensor],
        num_steps: int | None = None,
        guidance_scale: float | None = None,
        seed: int = 0,
        noise: Tensor | None = None,
    ) -> Iterator[Tensor]:
        """The pieces of a song whose end need not be known: `detokenize_windows` of codes that may still come.

        first(n): its first n frames [K, n], or all that it has; it may wait for them.
        """
        return self._pieces(first, num_steps, guidance_scale, seed, noise, ahead=0)

    @torch.inference_mode()
    def _pieces(
        self,
        first: Callable[[int], Tensor],
        num_steps: int | None,
        guidance_scale: float | None,
        seed: int,
        noise: Tensor | None,
        *,
        ahead: int,
    ) -> Iterator[Tensor]:
        """Pieces, of which `ahead` more are begun than are taken."""
        num_steps, guidance_scale = self._sampling(num_steps, guidance_scale)
        song, begun = SongSoFar(torch.Generator().manual_seed(seed)), deque[Arriving]()
        for index, window in enumerate(window_codes(first)):
            self.check_codes(window[0])
            start = self._noise(song) if noise is None else noise[index].float()
            begun += self._next_windows([window], [start], [song], num_steps, guidance_scale)
            if len(begun) > ahead:
                yield begun.popleft().get()
        while begun:
            yield begun.popleft().get()

    def _next_windows(
        self,
        windows: Sequence[tuple[Tensor, int]],
        noises: Sequence[Tensor],
        songs: Sequence[SongSoFar],
        num_steps: int,
        guidance_scale: float,
    ) -> list[Arriving]:
        """The next piece [2, n] of every song, on its way to the CPU; windows are as `window_codes` yields them."""
        samples = self.config.samples_per_frame
        hop, overlap = samples * HOP_FRAMES, samples * OVERLAP_FRAMES
        codes = torch.stack([codes for codes, _ in windows])
        noise, pieces = torch.stack(list(noises)), list[Arriving]()
        with self.aside(codes, noise):
            contexts = [song.context for song in songs]
            latents = self.latents(codes, noise, contexts, num_steps, guidance_scale)
            for song, (_, left), made in zip(songs, windows, latents, strict=True):
                wave = self.sound(self._heard(made, left)[None])[0]
                if song.tail is not None:
                    wave[:, :overlap] = cross_fade(song.tail, wave[:, :overlap])
                song.context, song.tail = made[-OVERLAP_LATENTS:], wave[:, hop:]
                pieces.append(Arriving(wave[:, : samples * left if left else hop]))
        return pieces

    def _heard(self, latents: Tensor, left: int) -> Tensor:
        """A window's latents [744, 256] up to what sounds in its `left` frames, and all where the song goes on.

        A GPU's are whole: its graph is of a whole window.
        """
        if not left or self.device.type != "cpu":
            return latents
        return latents[: LATENTS_PER_FRAME * left + self.scalar_model.lookahead + MATCHED_LATENTS]

    def _noise(self, song: SongSoFar) -> Tensor:
        """The noise [744, 256] of a song's next window."""
        return torch.randn(WINDOW_LATENTS, self.config.out_channels, generator=song.generator)

    def _sampling(self, num_steps: int | None, guidance_scale: float | None) -> tuple[int, float]:
        """Steps and guidance, the config's unless given. UsageError for those that are not allowed."""
        num_steps = self.config.num_steps if num_steps is None else num_steps
        guidance_scale = self.config.guidance_scale if guidance_scale is None else guidance_scale
        self.check_sampling(num_steps, guidance_scale)
        return num_steps, guidance_scale

    def check_codes(self, codes: Tensor) -> None:
        """UsageError for codes that are not [K, T] of this codec's."""
        books, size = self.config.num_quantizers, self.config.codebook_size
        if codes.ndim != 2 or codes.shape[0] != books or codes.shape[1] < 1:
            raise UsageError(f"codes have shape {list(codes.shape)}; give [{books}, T] with T ≥ 1")
        low, high = int(codes.min()), int(codes.max())
        if low < 0 or high >= size:
            raise UsageError(f"codes range over {low}…{high}; this codec knows 0…{size - 1}")

    @staticmethod
    def check_sampling(num_steps: int, guidance_scale: float) -> None:
        """UsageError for steps and guidance that are not allowed."""
        if num_steps < 1:
            raise UsageError(f"num_steps {num_steps} is too small; give 1 or more")
        if not 0 <= guidance_scale < float("inf"):
            raise UsageError(f"guidance_scale {guidance_scale} must be finite and not negative")
