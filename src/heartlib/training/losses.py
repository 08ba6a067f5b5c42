"""What a codec's waveform is judged by: spectra at several resolutions, and a discriminator.

Legend: B rows, n samples, F frequency bins, N frames, R resolutions.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from heartlib.audio.mel import log_mel, mel_filterbank

RESOLUTIONS = ((4096, 160), (2048, 128), (1024, 80), (512, 40), (256, 20))  # FFT size, mel bands
FLOOR = 1e-4  # amplitude below which a bin counts as silent: -80 dB of full scale


class SpectralLoss(nn.Module):
    """Distance of two waveforms at several resolutions: {"mel", "magnitude", "spectrum"}, means over R.

    "mel" and "magnitude" are L1 between natural logarithms of amplitudes; "spectrum" is the L1 of the
    complex spectra over that of the real one, the only one of the three that hears phase.
    """

    def __init__(
        self,
        resolutions: Sequence[tuple[int, int]] = RESOLUTIONS,
        sample_rate: int = 48000,
        f_max: float = 20000.0,
    ) -> None:
        super().__init__()
        self.sizes = [size for size, _ in resolutions]
        for size, bands in resolutions:
            filters = mel_filterbank(size, sample_rate, bands, 0.0, f_max)
            self.register_buffer(f"filters{size}", filters, persistent=False)
            self.register_buffer(f"window{size}", torch.hann_window(size), persistent=False)

    def forward(self, made: Tensor, real: Tensor) -> dict[str, Tensor]:
        """float32 [B, n] each -> scalars."""
        totals = {"mel": made.new_zeros(()), "magnitude": made.new_zeros(())}
        totals["spectrum"] = made.new_zeros(())
        for size in self.sizes:
            window, filters = self.get_buffer(f"window{size}"), self.get_buffer(f"filters{size}")
            both = torch.cat((made, real))
            complex_ = torch.stft(both, size, size // 4, window=window, return_complex=True)
            parts = torch.view_as_real(complex_) * (2.0 / window.sum())  # [2B, F, N, 2]
            power = parts.square().sum(-1)  # [2B, F, N]
            log_power = torch.log(power + FLOOR**2)
            log_bands = torch.log(filters @ power + FLOOR**2)
            totals["mel"] = totals["mel"] + 0.5 * halves_l1(log_bands)
            totals["magnitude"] = totals["magnitude"] + 0.5 * halves_l1(log_power)
            level = parts[len(real) :].abs().mean() + 0.1 * FLOOR
            totals["spectrum"] = totals["spectrum"] + halves_l1(parts) / level
        return {name: total / len(self.sizes) for name, total in totals.items()}


def halves_l1(both: Tensor) -> Tensor:
    """Mean difference of the first and the second half of the rows."""
    made, real = both.chunk(2)
    return (made - real).abs().mean()


class STFTDiscriminator(nn.Module):
    """Looks at a complex spectrogram of one resolution; 2-D convolutions, strided over frequency."""

    def __init__(self, n_fft: int, channels: int) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        layers = [weight_norm(nn.Conv2d(2, channels, (3, 7), (1, 2), (1, 3)))]
        for reach in (1, 2, 4):  # frames apart
            layers.append(
                weight_norm(nn.Conv2d(channels, channels, (3, 7), (1, 2), (reach, 3), (reach, 1)))
            )
        layers.append(weight_norm(nn.Conv2d(channels, channels, 3, 1, 1)))
        self.layers = nn.ModuleList(layers)
        self.verdict = weight_norm(nn.Conv2d(channels, 1, 3, 1, 1))

    def forward(self, wave: Tensor) -> tuple[Tensor, list[Tensor]]:
        """[B, n] -> verdicts [B, N, F'] (high: real) and the layers' features."""
        window = self.get_buffer("window")
        with torch.autocast(wave.device.type, enabled=False):
            spectrum = torch.stft(
                wave.float(), self.n_fft, self.n_fft // 4, window=window, return_complex=True
            )
            parts = torch.view_as_real(spectrum) * (2.0 / window.sum())
            loudness = parts.square().sum(-1, keepdim=True) + 1e-6
            parts = 3.0 * parts * loudness**-0.35  # amplitude ^ 0.3: quiet parts count too
        h = parts.permute(0, 3, 2, 1)  # [B, 2, N, F]
        features = []
        for layer in self.layers:
            h = F.leaky_relu(layer(h), 0.2)
            features.append(h)
        return self.verdict(h)[:, 0], features


class Discriminator(nn.Module):
    """STFT discriminators of several resolutions."""

    def __init__(self, sizes: Sequence[int] = (2048, 1024, 512), channels: int = 32) -> None:
        super().__init__()
        self.parts = nn.ModuleList(STFTDiscriminator(size, channels) for size in sizes)

    def forward(self, wave: Tensor) -> list[tuple[Tensor, list[Tensor]]]:
        """[B, n] -> (verdicts, features) of each resolution."""
        return [part(wave) for part in self.parts]


Judgement = list[tuple[Tensor, list[Tensor]]]


def discriminator_loss(real: Judgement, made: Judgement) -> Tensor:
    """Hinge: real above 1, made below -1."""
    losses = [
        F.relu(1 - r.float()).mean() + F.relu(1 + m.float()).mean()
        for (r, _), (m, _) in zip(real, made, strict=True)
    ]
    return torch.stack(losses).mean()


def adversarial_loss(made: Judgement) -> Tensor:
    """What the generator wants: high verdicts."""
    return torch.stack([-m.float().mean() for m, _ in made]).mean()


def feature_loss(real: Judgement, made: Judgement) -> Tensor:
    """L1 between the discriminator's features of real and made, relative to the real ones' size."""
    losses = []
    for (_, real_features), (_, made_features) in zip(real, made, strict=True):
        for r, m in zip(real_features, made_features, strict=True):
            r = r.detach().float()
            losses.append((m.float() - r).abs().mean() / (r.abs().mean() + 1e-3))
    return torch.stack(losses).mean()


def si_sdr(made: Tensor, real: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio in dB of [..., n], a number a row."""
    made, real = made - made.mean(-1, keepdim=True), real - real.mean(-1, keepdim=True)
    scale = (made * real).sum(-1, keepdim=True) / real.square().sum(-1, keepdim=True).clamp_min(
        1e-8
    )
    target = scale * real
    error = (made - target).square().sum(-1).clamp_min(1e-10)
    return 10 * torch.log10(target.square().sum(-1).clamp_min(1e-10) / error)


def mel_distance(made: Tensor, real: Tensor) -> Tensor:
    """Mean difference of log-mel spectra in dB, a number a row of [..., n]."""
    return (log_mel(made) - log_mel(real)).abs().mean((-2, -1))
