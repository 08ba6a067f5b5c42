"""The encoder of HeartCodec-nano: audio → log-mel → query transformer → features for the residual codebooks.

Shapes: B rows, n samples at 48 kHz, M mel frames (100 Hz), T code frames (12.5 Hz), W width.
After every two 25 Hz tokens stands a learned query; its output is the frame's feature. Attention is
local, so that a frame is coded alike wherever it stands in a song.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from heartlib.audio.mel import mel_filterbank
from heartlib.heartcodec.configuration_heartcodec import CHANNELS, LATENTS_PER_FRAME
from heartlib.heartcodec.models.transformer import FeedForward, rope_table, rotate

TOKENS_PER_FRAME = LATENTS_PER_FRAME + 1  # two of the audio, one query
LOG_FLOOR = 1e-3  # power of a mel band that counts as silence
MEL_PER_FRAME = 8
PIECE_FRAMES = 372  # coded at once


@dataclass(frozen=True)
class MelEncoderConfig:
    """encoder_config.json with version "mel"; `dim` is the decoder's feature width."""

    version: str = "mel"
    sample_rate: int = 48_000
    n_fft: int = 4096
    hop_length: int = 480
    n_mels: int = 128
    f_min: float = 30.0
    f_max: float = 16_000.0
    mel_mean: float = 1.5
    mel_std: float = 3.2
    width: int = 192
    num_heads: int = 4
    num_layers: int = 3
    reach_frames: int = 10
    dim: int = 128

    def __post_init__(self) -> None:
        if self.version != "mel":
            raise ValueError(f"version {self.version!r} is not a mel encoder")
        if self.width % (2 * self.num_heads):
            raise ValueError(f"width {self.width} must be a multiple of 2·num_heads")

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "MelEncoderConfig":
        known = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in data.items() if k in known})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class LogMel(nn.Module):
    """Stereo audio → normalised log-mel of mid and side."""

    filters: Tensor
    window: Tensor

    def __init__(self, config: MelEncoderConfig):
        super().__init__()
        self.config = config
        filters = mel_filterbank(
            config.n_fft, config.sample_rate, config.n_mels, config.f_min, config.f_max
        )
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """[B, 2, n] → [B, 2·n_mels, ⌈n / 3840⌉·8], padded with silence to whole code frames."""
        c = self.config
        frame = MEL_PER_FRAME * c.hop_length
        wave = F.pad(wave, (0, -wave.shape[-1] % frame))
        left, right = wave.unbind(1)
        both = torch.stack((left + right, left - right), dim=1).flatten(0, 1) / 2
        edge = (c.n_fft - c.hop_length) // 2  # frame i is centred on its own 10 ms
        spectrum = torch.stft(
            F.pad(both, (edge, edge)),
            c.n_fft,
            c.hop_length,
            window=self.window,
            center=False,
            return_complex=True,
        )
        mel = self.filters @ spectrum.abs().square()
        log = torch.log(mel + LOG_FLOOR)
        return ((log - c.mel_mean) / c.mel_std).unflatten(0, (-1, CHANNELS)).flatten(1, 2)


class LocalBlock(nn.Module):
    """A pre-norm transformer block whose attention is given by a mask."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.attn_norm = nn.RMSNorm(width, eps=1e-6)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.mlp_norm = nn.RMSNorm(width, eps=1e-6)
        self.mlp = FeedForward(width)

    def forward(self, x: Tensor, table: Tensor, mask: Tensor) -> Tensor:
        heads = self.qkv(self.attn_norm(x)).unflatten(-1, (3, self.heads, -1))
        q, k, v = heads.permute(2, 0, 3, 1, 4)  # [B, H, N, W / H]
        y = F.scaled_dot_product_attention(rotate(q, table), rotate(k, table), v, attn_mask=mask)
        x = x + self.output(y.transpose(1, 2).flatten(-2))
        return x + self.mlp(self.mlp_norm(x))


class QueryTransformer(nn.Module):
    """Log-mel [B, 2·n_mels, 8·T] → features [B, T, dim]."""

    def __init__(self, config: MelEncoderConfig):
        super().__init__()
        width = config.width
        self.config = config
        self.conv_in = nn.Conv1d(CHANNELS * config.n_mels, width, 3, padding=1)
        self.down_1 = nn.Conv1d(width, width, 4, stride=2, padding=1)  # 50 Hz
        self.down_2 = nn.Conv1d(width, width, 4, stride=2, padding=1)  # 25 Hz
        self.query = nn.Parameter(torch.randn(width) * 0.02)
        self.blocks = nn.ModuleList(
            LocalBlock(width, config.num_heads) for _ in range(config.num_layers)
        )
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.project = nn.Linear(width, config.dim)

    def forward(self, mel: Tensor) -> Tensor:
        return self.project(self.tokens(mel)[:, LATENTS_PER_FRAME::TOKENS_PER_FRAME])

    def tokens(self, mel: Tensor) -> Tensor:
        """Log-mel [B, 2·n_mels, 8·T] → what the last block says of audio and queries [B, 3·T, W]."""
        tokens = self.down_2(F.gelu(self.down_1(F.gelu(self.conv_in(mel))))).transpose(1, 2)
        pairs = tokens.unflatten(1, (-1, LATENTS_PER_FRAME))  # [B, T, 2, W]
        rows, frames = pairs.shape[:2]
        queries = self.query.to(pairs.dtype).expand(rows, frames, 1, -1)
        x = torch.cat((pairs, queries), dim=2).flatten(1, 2)  # [B, 3·T, W]
        place = torch.arange(frames, device=x.device).repeat_interleave(TOKENS_PER_FRAME)
        mask = (place[:, None] - place[None]).abs() <= self.config.reach_frames
        table = rope_table(x.shape[1], self.config.width // self.config.num_heads, x.device)
        for block in self.blocks:
            x = block(x, table, mask)
        return self.norm(x)


class MelEncoder(nn.Module):
    """Stereo audio at 48 kHz [B, 2, n] → features [B, T, dim], T = ⌈n / 3840⌉."""

    def __init__(self, config: MelEncoderConfig):
        super().__init__()
        self.config = config
        self.log_mel = LogMel(config)
        self.transformer = QueryTransformer(config)

    def forward(self, wave: Tensor) -> Tensor:
        return self.transformer(self.log_mel(wave))

    @property
    def sample_rate(self) -> int:
        return self.config.sample_rate

    @property
    def samples_per_frame(self) -> int:
        return MEL_PER_FRAME * self.config.hop_length

    def count_frames(self, samples: int) -> int:
        return -(-samples // self.samples_per_frame)

    def pieces(self, wave: Tensor) -> Iterator[Tensor]:
        """Audio of any length [2, n] → features [t, dim] piece by piece, as the whole gives them.

        A piece hears as far beyond its ends as the blocks reach, two frames more for spectrum and
        convolutions.
        """
        beyond = self.config.reach_frames * self.config.num_layers + 2
        for first in range(0, self.count_frames(wave.shape[1]), PIECE_FRAMES):
            start, end = max(0, first - beyond), first + PIECE_FRAMES + beyond
            heard = wave[None, :, start * self.samples_per_frame : end * self.samples_per_frame]
            yield self(heard)[0, first - start : first - start + PIECE_FRAMES]
