"""MuEncoder: what music sounds like and what it means, 25 times a second.

Shapes: B rows, n samples at 24 kHz, M mel frames (100 Hz), T latent frames (25 Hz), W width.
Source: HeartMuLa (arXiv 2601.10547); a rotary Wav2Vec2-Conformer behind a convolutional front end.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from heartlib.audio.mel import mel_filterbank

SAMPLE_RATE = 24_000
N_FFT = 2048
HOP = 240
N_MELS = 128
DOWN = 4  # mel frames of a latent frame
MEL_MEAN = 6.768444971712967  # decibels
MEL_STD = 18.417922652295623
ACOUSTIC, SEMANTIC = 2, 11  # after how many layers


class Constant(nn.Module):
    """One tensor under the name it is stored by."""

    def __init__(self, name: str, value: Tensor):
        super().__init__()
        self.register_buffer(name, value)


class MelDecibel(nn.Module):
    """Waves → power mel in decibels, with the published names of its constants."""

    def __init__(self) -> None:
        super().__init__()
        with torch.device("cpu"):
            window = torch.hann_window(N_FFT)
            filters = mel_filterbank(
                N_FFT, SAMPLE_RATE, N_MELS, 0.0, SAMPLE_RATE / 2
            ).T.contiguous()
        parts = {"spectrogram": Constant("window", window), "mel_scale": Constant("fb", filters)}
        self.mel_stft = nn.ModuleDict(parts)

    def forward(self, wave: Tensor) -> Tensor:
        """[B, n] → [B, 128, n // 240]."""
        window = self.mel_stft.get_buffer("spectrogram.window")
        filters = self.mel_stft.get_buffer("mel_scale.fb")  # [1025, 128]
        spectrum = torch.stft(wave, N_FFT, HOP, window=window, return_complex=True)
        mel = filters.T @ torch.view_as_real(spectrum[..., :-1]).square().sum(-1)
        return 10.0 * torch.log10(mel.clamp_min(1e-10))


class ResidualBlock(nn.Module):
    """Two convolutions, the first of stride 2 in both directions, beside a third of the same stride."""

    def __init__(self, channels_in: int, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride=2, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels_in, channels, 3, stride=2, padding=1)
        self.bn3 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:  # [B, in, mels, M] → [B, C, mels / 2, M / 2]
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.bn3(self.conv3(x)))


class FrontEnd(nn.Module):
    """Mel [B, 128, M] → tokens [B, ⌈M / 4⌉, W]."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.conv = nn.Sequential(ResidualBlock(1, channels), ResidualBlock(channels, channels))
        self.linear = nn.Linear(channels * N_MELS // DOWN, width)

    def forward(self, mel: Tensor) -> Tensor:
        y = self.conv(mel[:, None])  # [B, C, mels / 4, T]
        return self.linear(y.permute(0, 3, 1, 2).flatten(2))


class MuEncoder(nn.Module):
    """24 kHz waves [B, n] → acoustic and semantic features, both [B, T, W]."""

    def __init__(self, channels: int, conformer: Any):
        super().__init__()
        self.preprocessor_melspec_2048 = MelDecibel()
        self.conv = FrontEnd(channels, conformer.config.hidden_size)
        self.conformer = conformer  # transformers' Wav2Vec2ConformerEncoder

    def forward(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        mel = (self.preprocessor_melspec_2048(wave) - MEL_MEAN) / MEL_STD
        x = self.conv(mel)
        rope = self.conformer.embed_positions(x)
        after = []
        for layer in self.conformer.layers[:SEMANTIC]:
            x = layer(x, relative_position_embeddings=rope)
            after.append(x)
        return after[ACOUSTIC - 1], after[SEMANTIC - 1]
