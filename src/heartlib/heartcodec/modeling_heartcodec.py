"""HeartCodec: sound to codes, and codes to sound window by window.

Shapes: K codebooks, T frames (12.5 Hz), N samples = 3,840·T at 48 kHz, 2 channels, W windows.
Source: HeartMuLa (arXiv 2601.10547).
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
from heartlib.shapes import shapes_alone

WINDOW_FRAMES = 372  # 29.76 s
HOP_FRAMES = 320
OVERLAP_FRAMES = WINDOW_FRAMES - HOP_FRAMES
WINDOW_LATENTS = LATENTS_PER_FRAME * WINDOW_FRAMES
OVERLAP_LATENTS = LATENTS_PER_FRAME * OVERLAP_FRAMES


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


def _dtypes(dtype: torch.dtype) -> Callable[[str], torch.dtype]:
    """`dtype` for the flow, float32 for the codebooks and the scalar codec: near is what rounds right."""
    exact = ("scalar_model.", "flow_matching.vq_embed.")
    return lambda name: torch.float32 if name.startswith(exact) else dtype


def _strip_prefix(name: str) -> str:
    """Newer exports put `decoder.` before every name; the published weights do not."""
    for part in ("flow_matching.", "scalar_model."):
        if name.startswith("decoder." + part):
            return name.removeprefix("decoder.")
    return name


class HeartCodec(nn.Module):
    """Residual codebooks, flow matching and the scalar codec; where it was loaded, the encoder too."""

    encoder: MelEncoder | AudioEncoder | None

    def __init__(self, config: HeartCodecConfig):
        super().__init__()
        self.config = config
        self.flow_matching = FlowMatching(config)
        self.scalar_model = SQCodec(config)
        self.encoder = None

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> "HeartCodec":
        """Load a `HeartCodec-oss` folder for decoding: without the scalar encoder, its weight norm folded.

        `dtype` is the flow matching's. The codebooks stay float32, and the scalar codec does, since its
        rounding turns small errors into audible ones. Raises CheckpointError naming file and tensor.
        """
        config = checkpoints.read_config(folder, HeartCodecConfig)
        with shapes_alone():
            codec = cls(config)
        codec.scalar_model.encoder = None
        checkpoints.load_weights(
            codec,
            folder,
            device=device,
            dtype=_dtypes(dtype),
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
    ) -> "HeartCodec":
        """Load a `HeartCodec-oss` folder and a `HeartCodec-oss-encoder` folder, to encode and decode.

        `dtype` is the flow matching's; the encoder is float32. Raises CheckpointError for a folder that
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
        return self.detokenize_growing(
            lambda count: codes[:, :count], num_steps, guidance_scale, seed, noise
        )

    @torch.inference_mode()
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
        num_steps = self.config.num_steps if num_steps is None else num_steps
        guidance_scale = self.config.guidance_scale if guidance_scale is None else guidance_scale
        self.check_sampling(num_steps, guidance_scale)
        generator = torch.Generator().manual_seed(seed)
        samples = self.config.samples_per_frame
        hop, overlap = samples * HOP_FRAMES, samples * OVERLAP_FRAMES
        context, tail = None, None
        for index, (window, left) in enumerate(window_codes(first)):
            self.check_codes(window)
            if noise is None:
                shape = (WINDOW_LATENTS, self.config.out_channels)
                start = torch.randn(shape, generator=generator)
            else:
                start = noise[index].float()
            latents = self.flow_matching.sample(
                window[None].to(self.device),
                start[None].to(self.device),
                context,
                num_steps=num_steps,
                guidance_scale=guidance_scale,
                guidance_from=self.config.guidance_from,
            )
            context = latents[:, -OVERLAP_LATENTS:]
            wave = self.scalar_model.decode(split_channels(latents))[:, 0].cpu()  # [2, n]
            if tail is not None:
                wave[:, :overlap] = cross_fade(tail, wave[:, :overlap])
            tail = wave[:, hop:]
            yield wave[:, : samples * left if left else hop].clone()

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
