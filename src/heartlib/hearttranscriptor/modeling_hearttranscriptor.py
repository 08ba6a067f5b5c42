"""Sound in, sung words out: transformers' Whisper, window by window.

Legend: n samples at 16 kHz.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from heartlib import checkpoints
from heartlib.errors import CheckpointError, HeartlibError, UsageError

RATE = 16000
WINDOW = 30.0  # seconds
SEARCH = 6.0  # seconds before a window's end in which the quietest moment ends it
QUIET = 0.2  # seconds of a moment
MARKS = 4  # tokens before the text


class HeartTranscriptor:
    """A Whisper checkpoint with its processor, as transformers reads them."""

    def __init__(self, model: Any, processor: Any) -> None:
        self.model, self.processor = model, processor

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> HeartTranscriptor:
        """Loads a `HeartTranscriptor-oss` folder. CheckpointError where it is none."""
        try:
            from transformers import WhisperProcessor
        except ImportError as error:
            raise HeartlibError(
                "transcription needs transformers: pip install 'heartlib[transcribe]'"
            ) from error
        try:
            model = _whisper(Path(folder), dtype)
            processor = WhisperProcessor.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            first = str(error).strip().splitlines()[0]
            raise CheckpointError(f"{folder} is not a HeartTranscriptor folder: {first}") from error
        return cls(model.to(device).eval(), processor)

    @property
    def languages(self) -> list[str]:
        """Codes of the languages that it can be told, such as en."""
        marks = getattr(self.model.generation_config, "lang_to_id", None) or {}
        return sorted(mark.strip("<|>") for mark in marks)

    @torch.inference_mode()
    def transcribe(
        self,
        wave: np.ndarray,
        *,
        language: str = "en",
        num_beams: int = 2,
        max_new_tokens: int | None = None,
    ) -> str:
        """The words sung in a 16 kHz waveform, float32 [n], of any length.

        language: of the singing, one of `languages`; UsageError for another. max_new_tokens: of a
        window, None for half of the positions that the model has.
        """
        if self.languages and language not in self.languages:
            raise UsageError(
                f"this HeartTranscriptor knows {', '.join(self.languages)}, not {language!r}"
            )
        most = max_new_tokens or self.model.config.max_target_positions // 2 - MARKS
        texts = []
        for start, end in windows(wave):
            features = self.processor(
                wave[start:end], sampling_rate=RATE, return_tensors="pt"
            ).input_features
            ids = self.model.generate(
                features.to(self.model.device, self.model.dtype),
                num_beams=num_beams,
                max_new_tokens=most,
                language=language if self.languages else None,
                task="transcribe" if self.languages else None,
            )
            texts.append(self.processor.decode(ids[0], skip_special_tokens=True).strip())
        return " ".join(text for text in texts if text)


def windows(wave: np.ndarray) -> list[tuple[int, int]]:
    """First and last sample of windows of at most 30 s that end where it is quietest."""
    longest, moment = int(WINDOW * RATE), int(QUIET * RATE)
    edges = [0]
    while len(wave) - edges[-1] > longest:
        last = edges[-1] + longest
        first = last - int(SEARCH * RATE)
        power = np.convolve(np.square(wave[first:last]), np.ones(moment), mode="valid")
        edges.append(first + int(power.argmin()) + moment // 2)
    return list(zip(edges, [*edges[1:], len(wave)], strict=True))


def _whisper(folder: Path, dtype: torch.dtype) -> Any:
    """The model of a folder as transformers reads it; weights kept as int8 are put back first."""
    from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

    if not (folder / "model.safetensors").is_file() or not checkpoints.kept_as_int8(folder):
        return WhisperForConditionalGeneration.from_pretrained(
            folder, dtype=dtype, local_files_only=True, use_safetensors=True
        )
    model = WhisperForConditionalGeneration.from_pretrained(
        None,
        config=WhisperConfig.from_pretrained(folder, local_files_only=True),
        state_dict=checkpoints.read_tensors(folder),
        dtype=dtype,
    )
    model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    return model
