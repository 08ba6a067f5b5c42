"""Codes in a file: one safetensors file a song.

Shapes: K codebooks, T frames (12.5 Hz).
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from heartlib.checkpoints import read_header
from heartlib.errors import HeartlibError, UsageError
from heartlib.outputs import write_bytes


@dataclass(frozen=True)
class Codes:
    """What a song became: `values` [K, T], its length, and the hash of the codec's weights.

    A file from elsewhere may say neither length nor codec.
    """

    values: Tensor
    seconds: float | None = None
    codec: str | None = None


def save_codes(path: str | Path, codes: Codes, *, overwrite: bool = False) -> Path:
    """Write int16 codes and what is known of them, whole or not at all; returns the path written."""
    about = {"seconds": codes.seconds, "codec": codes.codec}
    metadata = {name: str(value) for name, value in about.items() if value is not None}
    data = save({"codes": codes.values.to(torch.int16).contiguous()}, metadata)
    return write_bytes(path, data, overwrite=overwrite)


def read_codes(path: str | Path) -> Codes:
    """A file of codes, int64. UsageError where there is none, HeartlibError where it is of another kind."""
    path = Path(os.path.expanduser(path))
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give a file of codes")
    if not path.is_file():
        raise UsageError(f"there is no file of codes {path}")
    try:
        if "codes" not in read_header(path):
            raise HeartlibError(
                f"{path} holds no tensor 'codes': `heartlib encode` did not write it"
            )
        with safe_open(path, framework="pt") as file:
            values, about = file.get_tensor("codes"), file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise HeartlibError(f"{path} cannot be read: {error}") from error
    if values.ndim != 2 or values.is_floating_point() or values.is_complex():
        raise HeartlibError(
            f"{path}: codes are {values.dtype} {list(values.shape)}, not integers [K, T]"
        )
    return Codes(values.long(), _seconds(path, about.get("seconds")), about.get("codec"))


def _seconds(path: Path, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise HeartlibError(f"{path}: its length of {text!r} seconds is damaged")
    return seconds
