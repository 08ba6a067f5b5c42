"""The three frozen listeners of the published audio encoder, all brought to 25 Hz.

Shapes: n samples of a channel, T latent frames (25 Hz), W width of an extractor. The two channels
are rows inside and stand side by side on the feature axis outside.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from heartlib.audio.sinc import resample_sinc
from heartlib.errors import HeartlibError
from heartlib.heartcodec.models.muencoder import DOWN, HOP, SAMPLE_RATE, MuEncoder

SPEECH_RATE = 16_000
TAIL = 240  # zero samples at 24 kHz after a chunk, which MuEncoder does not hear
WHISPER_MELS = 80
WAVLM_LAYERS = slice(6, 10)  # hidden states whose mean is taken


@dataclass(frozen=True)
class ExtractorSizes:
    """Widths, with the published ones as defaults; the numbers of layers are part of the format."""

    mu_channels: int = 512
    mu_width: int = 1024
    mu_heads: int = 16
    mu_hidden: int = 4096
    speech_channels: int = 512
    speech_width: int = 768
    speech_heads: int = 12
    speech_hidden: int = 3072


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise HeartlibError(
            "the published audio encoder needs transformers: pip install 'heartlib[transcribe]'"
        ) from error
    return transformers


def _conformer(sizes: ExtractorSizes) -> nn.Module:
    config = _transformers().Wav2Vec2ConformerConfig(
        hidden_size=sizes.mu_width,
        num_attention_heads=sizes.mu_heads,
        intermediate_size=sizes.mu_hidden,
        num_hidden_layers=12,
        hidden_act="swish",
        position_embeddings_type="rotary",
        conv_depthwise_kernel_size=31,
        attn_implementation="sdpa",
    )
    from transformers.models.wav2vec2_conformer import modeling_wav2vec2_conformer as conformer

    return conformer.Wav2Vec2ConformerEncoder(config)


def _wavlm(sizes: ExtractorSizes) -> nn.Module:
    config = _transformers().WavLMConfig(
        hidden_size=sizes.speech_width,
        num_attention_heads=sizes.speech_heads,
        intermediate_size=sizes.speech_hidden,
        conv_dim=(sizes.speech_channels,) * 7,
    )
    return _transformers().WavLMModel(config)


def _whisper(sizes: ExtractorSizes) -> nn.Module:
    config = _transformers().WhisperConfig(
        d_model=sizes.speech_width,
        encoder_layers=12,
        encoder_attention_heads=sizes.speech_heads,
        encoder_ffn_dim=sizes.speech_hidden,
        num_mel_bins=WHISPER_MELS,
    )
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    return WhisperEncoder(config)


def _side_by_side(rows: Tensor) -> Tensor:
    """Two rows [2, T, W] → [T, 2·W]."""
    return rows.transpose(0, 1).flatten(1)


def _pairs(rows: Tensor, frames: int) -> Tensor:
    """50 Hz [2, ≥ 2T, W] → means of pairs [2, T, W]."""
    return rows[:, : 2 * frames].unflatten(1, (frames, 2)).mean(2)


class FeatureExtractors(nn.Module):
    """Stereo at 24 kHz with its tail [2, n + 240] → four streams of features, each [T, 2·W].

    In this order: acoustic, semantic, Whisper, WavLM.
    """

    def __init__(self, sizes: ExtractorSizes):
        super().__init__()
        self.whisper_encoder = _whisper(sizes)
        self.wavlm_encoder = _wavlm(sizes)
        self.muencoder = MuEncoder(sizes.mu_channels, _conformer(sizes))
        self.whisper_mel = _transformers().WhisperFeatureExtractor(feature_size=WHISPER_MELS)

    def forward(self, wave: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        music = wave[:, :-TAIL]
        frames = music.shape[1] // (HOP * DOWN)  # T
        speech = resample_sinc(wave, SAMPLE_RATE, SPEECH_RATE)
        acoustic, semantic = (y[:, :frames] for y in self.muencoder(music))
        whisper = self.whisper_encoder(self.mel(speech)).last_hidden_state
        heard = self.wavlm_encoder(speech, output_hidden_states=True).hidden_states
        wavlm = torch.stack(heard[WAVLM_LAYERS]).mean(0)
        streams = (acoustic, semantic, _pairs(whisper, frames), _pairs(wavlm, frames))
        acoustic, semantic, whisper, wavlm = map(_side_by_side, streams)
        return acoustic, semantic, whisper, wavlm

    def mel(self, speech: Tensor) -> Tensor:
        """16 kHz [2, n] of at most 30 s → Whisper's log-mel [2, 80, 3000]."""
        rows = list(speech.float().cpu().numpy())
        mel = self.whisper_mel(rows, sampling_rate=SPEECH_RATE, return_tensors="pt").input_features
        return mel.to(speech)
