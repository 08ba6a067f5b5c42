"""The encoder of a codec, from its own folder, and the waves that it takes.

Legend: n samples. An encoder has a `sample_rate`, `count_frames(n)` and `pieces(wave)`: audio [2, n] of
any length in, features [t, D] at 12.5 Hz out, a bounded length at a time.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from heartlib import audio, checkpoints
from heartlib.errors import UsageError
from heartlib.heartcodec.configuration_heartcodec import CHANNELS
from heartlib.heartcodec.models.audio_encoder import AudioEncoder, AudioEncoderConfig
from heartlib.heartcodec.models.query_transformer import MelEncoder, MelEncoderConfig
from heartlib.heartcodec.models.sq_codec import fold_weight_norm
from heartlib.shapes import shapes_alone

ENCODER_CONFIG = "encoder_config.json"


def load_encoder(folder: str | Path, device: str | torch.device = "cpu") -> MelEncoder:
    """A `HeartCodec-oss-encoder` folder of version "mel", float32. CheckpointError where it is none."""
    encoder = MelEncoder(checkpoints.read_config(folder, MelEncoderConfig, ENCODER_CONFIG))
    checkpoints.load_weights(encoder, folder, device=device, dtype=torch.float32, stem="encoder")
    return encoder.to(device).eval().requires_grad_(False)


def load_audio_encoder(folder: str | Path, device: str | torch.device = "cpu") -> AudioEncoder:
    """A published `HeartCodec-oss-encoder` folder, float32. CheckpointError where it is none."""
    config = checkpoints.read_config(folder, AudioEncoderConfig, ENCODER_CONFIG)
    with shapes_alone():
        encoder = AudioEncoder(config)
    checkpoints.load_weights(
        encoder,
        folder,
        device=device,
        dtype=torch.float32,
        rename=lambda name: name.removeprefix("encoder."),
        stem="encoder",
    )
    fold_weight_norm(encoder)
    return encoder.eval().requires_grad_(False)


def load_any_encoder(
    folder: str | Path, device: str | torch.device = "cpu"
) -> MelEncoder | AudioEncoder:
    """The encoder of either kind, as its encoder_config.json says."""
    about = checkpoints.read_json(Path(folder) / ENCODER_CONFIG)
    load = load_encoder if about.get("version") == "mel" else load_audio_encoder
    return load(folder, device)


def as_stereo(wave: Any, rate_in: int, rate_out: int) -> Tensor:
    """A wave [n], [1, n] or [2, n], array or tensor, at `rate_in` Hz → float32 [2, n] at `rate_out` Hz.

    UsageError for other shapes, no samples, integers or values that are not finite.
    """
    samples = np.atleast_2d(np.asarray(wave.detach().cpu() if isinstance(wave, Tensor) else wave))
    if samples.ndim != 2 or samples.shape[0] > CHANNELS:
        raise UsageError(f"a wave of shape {list(np.shape(wave))}; give [n], [1, n] or [2, n]")
    if samples.shape[1] == 0:
        raise UsageError("the sound is empty: it has no samples")
    if samples.dtype.kind != "f":
        raise UsageError(f"samples are {samples.dtype}; give floating-point ones in -1…1")
    if not np.isfinite(samples).all():
        raise UsageError("the sound holds values that are not finite")
    made = audio.resample(samples, rate_in, rate_out)
    if made.shape[1] == 0:
        raise UsageError(f"the sound is too short: {samples.shape[1]} samples at {rate_in} Hz")
    return torch.from_numpy(made).expand(CHANNELS, -1)
