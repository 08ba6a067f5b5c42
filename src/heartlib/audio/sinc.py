"""Change a sample rate by a windowed sinc, with the arithmetic that torchaudio's `Resample` has.

The published audio encoder was trained behind it: another resampler gives other codes.
Legend: n samples, R samples in and P samples out of a period, L taps.
"""

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

ZERO_CROSSINGS = 6  # of the sinc on each side
ROLLOFF = 0.99  # of the lower Nyquist frequency


@cache
def sinc_kernel(period_in: int, period_out: int) -> tuple[Tensor, int]:
    """Sincs under a Hann window, one an output sample of a period: float32 [P, 1, L] on the CPU.

    Also how many samples the filter reaches to each side. Computed in float64 on the CPU and then
    rounded: the same on every machine.
    """
    cutoff = min(period_in, period_out) * ROLLOFF
    reach = math.ceil(ZERO_CROSSINGS * period_in / cutoff)
    with torch.device("cpu"):
        taps = torch.arange(-reach, reach + period_in, dtype=torch.float64) / period_in  # [L]
        shifts = torch.arange(period_out, dtype=torch.float64) / period_out  # [P]
    time = ((taps - shifts[:, None]) * cutoff).clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS)
    window = torch.cos(time * math.pi / (2 * ZERO_CROSSINGS)).square()
    kernel = torch.sinc(time) * window * (cutoff / period_in)
    return kernel.float()[:, None], reach


def resample_sinc(wave: Tensor, rate_in: int, rate_out: int) -> Tensor:
    """Waves [rows, n] at `rate_in` Hz → [rows, ⌈n · rate_out / rate_in⌉] at `rate_out` Hz."""
    divisor = math.gcd(rate_in, rate_out)
    period_in, period_out = rate_in // divisor, rate_out // divisor
    kernel, reach = sinc_kernel(period_in, period_out)
    padded = F.pad(wave, (reach, reach + period_in))[:, None]
    made = F.conv1d(padded, kernel.to(wave), stride=period_in)  # [rows, P, periods]
    length = -(-wave.shape[-1] * period_out // period_in)
    return made.transpose(1, 2).flatten(1)[:, :length]
