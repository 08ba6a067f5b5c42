"""Two towers, text and audio, that meet in one space.

Legend: B rows, n samples, F mel frames of a clip, L tokens, W width, D the space's width.
Source: "HeartMuLa", arXiv 2601.10547, HeartCLAP: a linear projection each, L2-normalised, symmetric InfoNCE.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from heartlib import checkpoints
from heartlib.audio.mel import log_mel
from heartlib.audio.resampling import resample_pieces
from heartlib.errors import CheckpointError, UsageError
from heartlib.heartclap.clips import clips_of
from heartlib.heartclap.configuration_heartclap import HeartCLAPConfig
from heartlib.shapes import shapes_alone

FLOOR_DB = -80.0
CLIPS_AT_ONCE = 8


def stack(width: int, heads: int, layers: int, dropout: float) -> nn.TransformerEncoder:
    """Pre-norm transformer blocks over all positions."""
    layer = nn.TransformerEncoderLayer(
        width, heads, 4 * width, dropout, "gelu", batch_first=True, norm_first=True
    )
    return nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)


def mean_over(x: Tensor, kept: Tensor) -> Tensor:
    """The mean of x [B, S, W] over the positions kept [B, S]."""
    weight = kept.to(x.dtype)[..., None]
    return (x * weight).sum(1) / weight.sum(1).clamp_min(1)


class AudioTower(nn.Module):
    """Log-mel of a clip [B, n_mels, F] → [B, D]."""

    def __init__(self, config: HeartCLAPConfig) -> None:
        super().__init__()
        width = config.audio_width
        self.conv1 = nn.Conv1d(config.n_mels, width, 5, stride=2, padding=2)
        self.conv2 = nn.Conv1d(width, width, 5, stride=2, padding=2)
        self.positions = nn.Parameter(torch.zeros(config.clip_frames // 4, width))
        self.blocks = stack(width, config.audio_heads, config.audio_layers, config.dropout)
        self.projection = nn.Linear(width, config.embed_dim, bias=False)

    def forward(self, mel: Tensor) -> Tensor:
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)  # [B, F/4, W]
        return self.projection(self.blocks(x + self.positions[: x.shape[1]]).mean(1))


class TextTower(nn.Module):
    """Tokens [B, L], padded with pad_id → [B, D]."""

    def __init__(self, config: HeartCLAPConfig) -> None:
        super().__init__()
        self.pad_id = config.pad_id
        self.embedding = nn.Embedding(config.vocab_size, config.text_width)
        self.positions = nn.Parameter(torch.zeros(config.max_tokens, config.text_width))
        self.blocks = stack(
            config.text_width, config.text_heads, config.text_layers, config.dropout
        )
        self.projection = nn.Linear(config.text_width, config.embed_dim, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        kept = tokens != self.pad_id
        x = self.embedding(tokens) + self.positions[: tokens.shape[1]]
        x = self.blocks(x, src_key_padding_mask=~kept)
        return self.projection(mean_over(x, kept))


class HeartCLAP(nn.Module):
    """The towers and their temperature; with a tokenizer, embeddings of sounds and sentences."""

    def __init__(self, config: HeartCLAPConfig) -> None:
        super().__init__()
        self.config = config
        self.audio = AudioTower(config)
        self.text = TextTower(config)
        self.log_scale = nn.Parameter(torch.tensor(np.log(1 / 0.07), dtype=torch.float32))
        self.tokenizer: Tokenizer | None = None

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> HeartCLAP:
        """Loads a folder of config.json, model.safetensors and tokenizer.json, in evaluation mode."""
        config = checkpoints.read_config(folder, HeartCLAPConfig)
        with shapes_alone():
            model = cls(config)
        checkpoints.load_weights(model, folder, device=device, dtype=dtype)
        file = Path(folder) / "tokenizer.json"
        if not file.is_file():
            raise CheckpointError(f"{file} is missing: it belongs to the text tower")
        model.tokenizer = Tokenizer.from_file(str(file))
        return model.eval()

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Writes what `from_pretrained` reads; `dtype` as in `checkpoints.save_pretrained`."""
        checkpoints.save_pretrained(self, folder, dtype=dtype)
        if self.tokenizer is not None:
            self.tokenizer.save(str(Path(folder) / "tokenizer.json"))

    @property
    def device(self) -> torch.device:
        return self.log_scale.device

    def mel(self, wave: Tensor) -> Tensor:
        """Mono audio [..., n] at the model's rate → normalised log-mel [..., n_mels, n // hop]."""
        config = self.config
        mel = log_mel(
            wave,
            sample_rate=config.sample_rate,
            n_fft=config.n_fft,
            hop=config.hop_length,
            n_mels=config.n_mels,
            f_min=config.f_min,
            f_max=config.f_max,
            floor_db=FLOOR_DB,
        )
        return (mel[..., :-1] - config.mel_mean) / config.mel_std

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """Token ids [B, L] of texts, padded; what is longer than max_tokens is cut off."""
        if self.tokenizer is None:
            raise UsageError("this HeartCLAP has no tokenizer: load it with from_pretrained")
        rows = [self.tokenizer.encode(text.lower()).ids[: self.config.max_tokens] for text in texts]
        if not all(rows):
            raise UsageError("a text to embed is empty: describe the music, 'slow sad piano' say")
        length = max(map(len, rows))
        padded = [row + [self.config.pad_id] * (length - len(row)) for row in rows]
        return torch.tensor(padded, device=self.device)

    @torch.inference_mode()
    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Texts → unit vectors [B, D]. UsageError for an empty one."""
        return F.normalize(self.text(self.tokens(texts)), dim=-1)

    def embed_audio(self, wave: np.ndarray, sample_rate: int) -> Tensor:
        """Audio float32 [channels, n] of any length → a unit vector [D], as `embed_pieces`."""
        if wave.ndim != 2 or not wave.shape[1]:
            raise UsageError(f"audio to embed is [channels, samples], not {list(wave.shape)}")
        return self.embed_pieces([wave], sample_rate)

    @torch.inference_mode()
    def embed_pieces(self, pieces: Iterable[np.ndarray], sample_rate: int) -> Tensor:
        """Audio as pieces float32 [channels, n], one after another → a unit vector [D], the mean over its clips.

        A clip is 10 s of the mean of all channels. UsageError where there is no sample, or where
        nothing finite comes of them.
        """
        total = torch.zeros(self.config.embed_dim, device=self.device)
        for clips in self._clips(pieces, sample_rate):
            total += clips.sum(0)
        return F.normalize(total, dim=-1).to(self.log_scale.dtype)

    @torch.inference_mode()
    def embed_clips(self, wave: np.ndarray, sample_rate: int) -> Tensor:
        """Audio float32 [channels, n] → a unit vector for each of its clips of 10 s, [clips, D]; raises as `embed_pieces`."""
        return torch.cat(list(self._clips([wave], sample_rate)))

    def _clips(self, pieces: Iterable[np.ndarray], sample_rate: int) -> Iterator[Tensor]:
        """Unit vectors [B, D] of some clips at a time; at least one."""
        config = self.config
        size = config.clip_frames * config.hop_length
        mono = resample_pieces((p.mean(0) for p in pieces), sample_rate, config.sample_rate)
        clips, count = clips_of(mono, size), 0
        while rows := list(islice(clips, CLIPS_AT_ONCE)):
            mel = self.mel(torch.from_numpy(np.stack(rows)).to(self.device))  # [B, n_mels, F]
            embedded = F.normalize(self.audio(mel.to(self.log_scale.dtype)).float(), dim=-1)
            if not embedded.isfinite().all():
                raise UsageError(
                    "audio to embed holds samples that are not finite, or far too large"
                )
            count += len(rows)
            yield embedded
        if not count:
            raise UsageError("audio to embed has no samples")
