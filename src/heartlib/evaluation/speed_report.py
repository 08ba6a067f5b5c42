"""The benchmark from its first section to its last: what fails or comes too late is told, the others go on.

Every figure is handed on as soon as it is known; what was found so far is in the JSON file after every section.
"""

from __future__ import annotations

import gc
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from heartlib.errors import HeartlibError
from heartlib.evaluation.bench_models import Models
from heartlib.evaluation.speed import Figures
from heartlib.heartcodec import HeartCodec
from heartlib.heartmula import HeartMuLa

if TYPE_CHECKING:
    from heartlib.evaluation.frame_agreement import Sung
    from heartlib.heartmula.frame_step import Operations

UNITS = {  # by the end of a figure's name
    "_gb_s": "GB/s",
    "_gb": "GB",
    "_ms": "ms",
    "_s": "s",
    "_db": "dB",
    "_nats": "nats",
    "_share": "%",
}
Note = Callable[[Figures], None]


@dataclass(frozen=True)
class Amounts:
    """How much is measured. Frames are of 80 ms; span: positions of the songs that are sung together.

    warm: songs and streams are measured after a first one.
    """

    frames: int = 3000
    prompt: int = 400
    few_frames: int = 48
    codec_repeats: int = 3
    stream_seconds: float = 60.0
    steps: int = 100
    span: tuple[int, int] = (400, 3400)
    forced_frames: int = 64
    engine_songs: int = 16
    engine_frames: int = 250
    draws: int = 100_000
    warm: bool = True


@dataclass
class Bench:
    """The models while they are measured, at most one language model and one codec at a time.

    operations: what a frame of several songs is made of; None where the model has no frame loop of kernels.
    """

    models: Models
    amounts: Amounts
    operations: Operations | None = None
    ceiling: float | None = None  # bytes a second of a copy
    sung: Sung | None = None  # by the model that is not quantized
    _mula: dict[str | None, HeartMuLa] = field(default_factory=dict)
    _codec: list[HeartCodec] = field(default_factory=list)

    def __post_init__(self) -> None:
        positions = min(self.amounts.prompt, self.models.config.backbone.max_seq_len // 4)
        self.lyrics, self.tags, self.prompt = self.models.text(positions)

    @property
    def device(self) -> torch.device:
        return self.models.placement.mula_device

    @property
    def eos(self) -> int:
        return self.models.gen_config.audio_eos_id

    @property
    def text(self) -> tuple[str, str]:
        return self.lyrics, self.tags

    @property
    def kernels(self) -> Operations:
        assert self.operations is not None
        return self.operations

    @property
    def alone(self) -> Operations:
        """What a frame of one song by itself is made of."""
        from heartlib.heartmula.frame_step import ALONE, KERNELS

        return ALONE if self.kernels is KERNELS else self.kernels

    def mula(self, quantization: str | None = None) -> HeartMuLa:
        """The language model, ready to sing; another kind that is held is dropped for it."""
        if quantization not in self._mula:
            self._mula.clear()
            free_memory()
            model = self.models.mula(quantization)
            if model.frame_loop is None:
                self.make_ready(model)
            self._mula[quantization] = model
        return self._mula[quantization]

    def make_ready(self, model: HeartMuLa) -> None:
        """Gives a model its frame loop, where there are kernels for it."""
        if self.operations is not None:
            from heartlib.heartmula.batched_generation import FrameLoop

            model.frame_loop = FrameLoop(model, self.alone)

    def codec(self) -> HeartCodec:
        if not self._codec:
            self._codec.append(self.models.codec())
        return self._codec[0]

    def free_song(self) -> Sung:
        """What the model that is not quantized sings, with its logits; sung once."""
        if self.sung is None:
            from heartlib.evaluation.frame_agreement import sung_freely

            frames = self.amounts.forced_frames
            self.sung = sung_freely(self.mula(), self.prompt, frames, self.eos, self.alone)
        return self.sung

    def drop(self) -> None:
        """Gives all memory back but that of the free song."""
        self._mula.clear()
        self._codec.clear()
        free_memory()


def free_memory() -> None:
    """What nobody holds any more, to the GPU."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@dataclass(frozen=True)
class Section:
    """A part of the benchmark. `needs`: seconds on a GPU, without which it is not begun."""

    name: str
    run: Callable[[Bench, Note], None]
    needs: float = 0.0


class Report:
    """What was found so far: printed, and written to `file` after every section."""

    def __init__(
        self,
        settings: dict[str, object],
        *,
        limit: float = math.inf,
        file: Path | None = None,
        say: Callable[[str], object] = print,
    ) -> None:
        self.settings, self.limit, self.file, self.say = settings, limit, file, say
        self.begun = time.perf_counter()
        self.sections: dict[str, Figures] = {}
        self.took: dict[str, float] = {}
        self.errors: dict[str, str] = {}

    @property
    def left(self) -> float:
        """Seconds."""
        return self.limit - (time.perf_counter() - self.begun)

    def run(self, bench: Bench, sections: Sequence[Section]) -> None:
        """Every section in order."""
        for section in sections:
            if self.left < section.needs:
                self._fail(section.name, f"left out: {max(0.0, self.left):.0f} s are left for it")
            else:
                self._run(bench, section)
            self.write()

    def _run(self, bench: Bench, section: Section) -> None:
        found = self.sections.setdefault(section.name, {})

        def note(figures: Figures) -> None:
            found.update(figures)
            for name, value in figures.items():
                self.say(f"{section.name}: {title(name)} {shown(name, value)}")

        start, error = time.perf_counter(), ""
        try:
            section.run(bench, note)
        except Exception as reason:  # also what a GPU reports, and memory that runs out
            line = (str(reason).strip().splitlines() or [""])[0][:300]
            known = isinstance(reason, HeartlibError)
            error = f"error: {line}" if known else f"error: {type(reason).__name__}: {line}"
        self.took[section.name] = time.perf_counter() - start
        if error:  # here, where nothing holds what failed
            self._fail(section.name, error)
            try:
                bench.drop()
            except Exception as reason:
                self.say(f"{section.name}: memory could not be given back: {reason}")
        else:
            self.say(f"{section.name}: took {self.took[section.name]:.1f} s")

    def _fail(self, name: str, text: str) -> None:
        self.errors[name] = text
        self.say(f"{name}: {text}")

    def to_dict(self) -> dict[str, object]:
        """All of it, for JSON."""
        return {
            "settings": self.settings,
            "sections": self.sections,
            "took_s": self.took,
            "errors": self.errors,
            "all_s": time.perf_counter() - self.begun,
        }

    def write(self) -> None:
        if self.file is not None:
            text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False)
            self.file.write_text(text + "\n", encoding="utf-8")

    def table(self) -> str:
        """Markdown: what, and its figure."""
        rows = ["| what | figure |", "|---|---|"]
        for section, figures in self.sections.items():
            rows += [
                f"| {section}: {title(name)} | {shown(name, value)} |"
                for name, value in figures.items()
            ]
        rows += [f"| {section} | {text} |" for section, text in self.errors.items()]
        return "\n".join(rows)


def title(name: str) -> str:
    """A figure's name for people, without its unit."""
    for end in UNITS:
        if name.endswith(end):
            name = name.removesuffix(end)
            break
    return name.replace("_", " ")


def shown(name: str, value: float | int | str | bool) -> str:
    """A figure with its unit."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    unit = next((unit for end, unit in UNITS.items() if name.endswith(end)), "")
    if unit == "%":
        return f"{100 * value:.1f} %"
    number = str(value) if isinstance(value, int) else f"{value:.4g}"
    return f"{number} {unit}".rstrip()
