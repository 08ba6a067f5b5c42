"""Sound in, sung words out: transformers' Whisper, window by window.

Legend: n samples at 16 kHz.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from heartlib import checkpoints
from heartlib.errors import CheckpointError, HeartlibError, UsageError
from heartlib.hearttranscriptor.windows import RATE, windows
from heartlib.hearttranscriptor.word_times import FRAME, Word, attention, spans

MARKS = 4  # tokens before the text
UNFINISHED = "\ufffd"  # bytes that are no sign yet


@dataclass(frozen=True)
class Decoding:
    """The published settings. A window is written again at the next temperature where its text
    compresses too well or is too unlikely; it is empty where that is so and no speech is likely."""

    max_new_tokens: int = 256
    num_beams: int = 2
    temperature: tuple[float, ...] = (0.0, 0.1, 0.2, 0.4)
    compression_ratio_threshold: float = 1.8
    logprob_threshold: float = -1.0
    no_speech_threshold: float = 0.4


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
        self.check_language(language)
        most = max_new_tokens or self.model.config.max_target_positions // 2 - MARKS
        texts = []
        for start, end in windows(wave):
            ids = self.model.generate(
                self._features([wave[start:end]]),
                num_beams=num_beams,
                max_new_tokens=most,
                **self._told(language),
            )
            texts.append(self.processor.decode(ids[0], skip_special_tokens=True).strip())
        return " ".join(text for text in texts if text)

    def check_language(self, language: str) -> None:
        """UsageError for one that the model was not taught."""
        if self.languages and language not in self.languages:
            raise UsageError(
                f"this HeartTranscriptor knows {', '.join(self.languages)}, not {language!r}"
            )

    @torch.inference_mode()
    def detect_language(self, waves: Sequence[np.ndarray]) -> str:
        """The likeliest of `languages` for 16 kHz windows, float32 [n] of at most 30 s each."""
        start = self.model.generation_config.decoder_start_token_id
        marks = self.model.generation_config.lang_to_id
        begin = torch.full((len(waves), 1), start, device=self.model.device)
        logits = self.model(
            input_features=self._features(waves), decoder_input_ids=begin, use_cache=False
        ).logits[:, -1, list(marks.values())]  # [B, languages]
        likely = logits.float().log_softmax(-1).mean(0)
        return list(marks)[int(likely.argmax())].strip("<|>")

    @torch.inference_mode()
    def listen(
        self, waves: Sequence[np.ndarray], language: str, decoding: Decoding | None = None
    ) -> list[list[Word]]:
        """What is sung in each 16 kHz window, float32 [n] of at most 30 s, piece by piece.

        A piece is what one token adds to the text, spaces included, with its seconds from the
        window's start. The windows are one batch; the same batch gives the same words. UsageError
        for a language that is not one of `languages`.
        """
        self.check_language(language)
        features, device = self._features(waves), self.model.device
        settings = asdict(decoding or Decoding())
        room = self.model.config.max_target_positions - MARKS - 1
        settings["max_new_tokens"] = min(settings["max_new_tokens"], room)
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(0)  # temperatures above 0 draw
            written = self.model.generate(
                features, condition_on_prev_tokens=False, **settings, **self._told(language)
            )
        heard = self.model.model.encoder(features).last_hidden_state  # [B, T, D]
        end = self.model.generation_config.eos_token_id
        texts = [list(takewhile(lambda token: token != end, row)) for row in written.tolist()]
        return [
            self._timed(heard[row : row + 1], tokens, len(waves[row]) / RATE, self._marks(language))
            for row, tokens in enumerate(texts)
        ]

    @torch.inference_mode()
    def follow(
        self, waves: Sequence[np.ndarray], texts: Sequence[str], language: str
    ) -> list[list[Word]]:
        """When a text that is known is sung in each 16 kHz window, piece by piece as `listen` has it.

        UsageError for a language that is not one of `languages`. No text has more tokens than fit.
        """
        self.check_language(language)
        heard = self.model.model.encoder(self._features(waves)).last_hidden_state  # [B, T, D]
        marks = self._marks(language)
        return [
            self._timed(heard[row : row + 1], self._tokens(text), len(wave) / RATE, marks)
            for row, (wave, text) in enumerate(zip(waves, texts, strict=True))
        ]

    def fits(self, text: str) -> bool:
        """Whether a text has no more tokens than the decoder has positions."""
        return len(self._tokens(text)) <= self.model.config.max_target_positions - MARKS

    def _tokens(self, text: str) -> list[int]:
        return self.processor.tokenizer(f" {text}", add_special_tokens=False).input_ids

    def _features(self, waves: Sequence[np.ndarray]) -> Any:
        """Log-mel [B, mels, 3000] as the model takes it."""
        found = self.processor(list(waves), sampling_rate=RATE, return_tensors="pt")
        return found.input_features.to(self.model.device, self.model.dtype)

    def _told(self, language: str) -> dict[str, str]:
        return {"language": language, "task": "transcribe"} if self.languages else {}

    def _marks(self, language: str) -> list[int]:
        known = self.model.generation_config
        told = (known.lang_to_id[f"<|{language}|>"], known.task_to_id["transcribe"])
        marks = told if self.languages else ()
        return [known.decoder_start_token_id, *marks, known.no_timestamps_token_id]

    def _timed(
        self, heard: torch.Tensor, tokens: list[int], length: float, marks: list[int]
    ) -> list[Word]:
        """The pieces of one window's text; `length` in seconds, heard [1, T, D]."""
        if not tokens:
            return []
        looks = attention(self.model, heard, marks, tokens)  # [K, T]
        frames = max(round(length / FRAME), len(tokens))
        starts, ends = (np.minimum(edge * FRAME, length) for edge in spans(looks[:, :frames]))
        pieces, whole, first = [], "", 0
        for count in range(1, len(tokens) + 1):
            text = self.processor.tokenizer.decode(tokens[:count], skip_special_tokens=True)
            if text.endswith(UNFINISHED) and count < len(tokens):
                continue
            new = text[len(whole) :].replace(UNFINISHED, "")
            pieces.append(Word(new, float(starts[first]), float(ends[count - 1])))
            whole, first = text, count
        return pieces


def quiet_transformers() -> None:
    """Its bars and warnings would cut through the one progress bar."""
    try:
        from transformers.utils import logging
    except ImportError:
        return
    logging.set_verbosity_error()
    logging.disable_progress_bar()


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
