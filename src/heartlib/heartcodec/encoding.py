"""The encoder of a codec, from its own folder."""

from pathlib import Path

import torch

from heartlib import checkpoints
from heartlib.heartcodec.models.query_transformer import MelEncoder, MelEncoderConfig


def load_encoder(folder: Path, device: str | torch.device = "cpu") -> MelEncoder:
    """A `HeartCodec-oss-encoder` folder of version "mel", float32. CheckpointError where it is none."""
    encoder = MelEncoder(checkpoints.read_config(folder, MelEncoderConfig, "encoder_config.json"))
    checkpoints.load_weights(encoder, folder, device=device, dtype=torch.float32, stem="encoder")
    return encoder.to(device).eval().requires_grad_(False)
