"""What a song that is asked for comes to, and how it is computed: threads, and memory that runs out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from heartlib.errors import HeartlibError
from heartlib.heartmula import Prompt
from heartlib.pipelines.settings import GenerationSettings


@dataclass(frozen=True)
class Request:
    """A song that is asked for: all checked, the seed drawn. prefix [K, T]; frames: at most, the prefix among them."""

    lyrics: str
    tags: str
    settings: GenerationSettings
    prefix: torch.Tensor
    prompt: Prompt
    frames: int


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Compute on `count` CPU threads, then on as many as before."""
    before = torch.get_num_threads()
    if count != before:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if count != before:
            torch.set_num_threads(before)


@contextmanager
def memory_errors() -> Iterator[None]:
    """Running out of memory in the middle is for the person too."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise HeartlibError(_OUT_OF_MEMORY) from error
    except RuntimeError as error:
        if "allocate memory" not in str(error):
            raise
        raise HeartlibError(_OUT_OF_MEMORY) from error


_OUT_OF_MEMORY = "too little memory: use memory='low' (--memory low), quantization (--quantize int8), a shorter song or another device"
