"""A model sings a piece into a folder, once."""

import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from heartlib import audio
from heartlib.errors import HeartlibError, UsageError
from heartlib.evaluation.pieces import Piece
from heartlib.pipelines import HeartMuLaGenPipeline

FRAME_MS = 80


def codes_file(folder: Path, name: str) -> Path:
    """Where the codes of a song are kept, int16 [K, T] as "codes"."""
    return folder / f"{name}.safetensors"


def song_file(folder: Path, name: str) -> Path:
    """Where a song is kept."""
    return folder / f"{name}.flac"


def sing(pipe: HeartMuLaGenPipeline, piece: Piece, folder: Path, codes: bool = False) -> Path:
    """The file of a piece in `folder`, sung where it is not there yet; on request its `codes` beside it.

    UsageError where the file is another model's or another piece's, HeartlibError where the model
    cannot sing.
    """
    path = song_file(folder, piece.name)
    if path.is_file():
        check_same(path, pipe, piece)
        return path
    try:
        song = pipe.generate(
            piece.lyrics,
            piece.tags,
            max_audio_length_ms=round(piece.length * 1000),
            seed=piece.seed,
        )
    except UsageError as error:
        raise UsageError(f"{piece.name}: {error}") from error
    except HeartlibError as error:
        raise HeartlibError(f"{piece.name}: {error}") from error
    if codes:
        save_file({"codes": song.codes.to(torch.int16)}, codes_file(folder, piece.name))
    return song.save(path)


def ended(path: Path, duration: float) -> bool:
    """Whether a song of `duration` seconds came to its end by itself, rather than by its limit."""
    limit = audio.read_tags(path)["settings"]["max_audio_length_ms"]
    return round(duration * 1000 / FRAME_MS) < limit // FRAME_MS


def check_same(path: Path, pipe: HeartMuLaGenPipeline, piece: Piece) -> None:
    """UsageError where the file of a song is another model's or another piece's; nothing is loaded."""
    held: dict[str, Any] = audio.read_tags(path)
    wanted = {
        "weights": (held.get("model", {}).get("hash"), pipe.model_hash),
        "tags": (held.get("tags"), piece.tags),
        "lyrics": (held.get("lyrics"), piece.lyrics),
        "seed": (held.get("seed"), piece.seed),
        "length": (
            held.get("settings", {}).get("max_audio_length_ms"),
            round(piece.length * 1000) // FRAME_MS * FRAME_MS,
        ),
        "quantization": (
            held.get("settings", {}).get("quantization"),
            pipe.placement.quantization,
        ),
    }
    for name, (found, asked) in wanted.items():
        if found != asked:
            raise UsageError(
                f"{os.path.relpath(path)} was made with other {name}; give an empty folder for --out"
            )
