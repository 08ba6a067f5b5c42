"""What a run tells: lines of figures on the screen and in log.jsonl, and the same and sounds in TensorBoard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import soundfile
import torch
from torch import Tensor

from heartlib.audio.mel import log_mel

FLOOR_DB = -80.0
COLOURS = ((0, 0, 8), (80, 18, 123), (183, 55, 121), (252, 137, 97), (252, 253, 191))


class Log:
    """Figures of a run as JSON lines in OUT/log.jsonl, on the screen and in OUT/tensorboard.

    Without tensorboard the run goes on and says so once. `silent`: of the processes that train
    together only the first tells.
    """

    def __init__(self, folder: Path, *, silent: bool = False) -> None:
        self.folder, self.silent = folder, silent
        self.path = folder / "log.jsonl"
        self.board: Any = None
        if silent:
            return
        folder.mkdir(parents=True, exist_ok=True)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            print("no TensorBoard files: pip install 'heartlib[train]' (log.jsonl has all figures)")
        else:
            self.board = SummaryWriter(str(folder / "tensorboard"))

    def __call__(self, **figures: Any) -> None:
        """A line; what is a number in it also as scalars at its `step`."""
        if self.silent:
            return
        plain = {name: rounded(value) for name, value in figures.items()}
        with open(self.path, "a", encoding="utf-8") as handle:
            handle.write(json.dumps(plain) + "\n")
        print(" ".join(f"{k} {v}" for k, v in plain.items()), flush=True)
        if self.board is not None and "step" in plain:
            for name, value in plain.items():
                several = value if isinstance(value, list) else [value]
                for place, number in enumerate(several):
                    if isinstance(number, int | float) and name != "step":
                        tag = f"{name}/{place}" if isinstance(value, list) else name
                        self.board.add_scalar(tag, number, plain["step"])
            self.board.flush()

    def hear(self, name: str, wave: Tensor, sample_rate: int, step: int) -> None:
        """A sound [channels, n]: OUT/samples/name.ogg, and its sound and picture in TensorBoard."""
        if self.silent:
            return
        wave = wave.detach().float().cpu().clamp(-1, 1)
        (self.folder / "samples").mkdir(exist_ok=True)
        soundfile.write(self.folder / "samples" / f"{name}.ogg", wave.T.numpy(), sample_rate)
        if self.board is not None:
            mono = wave.mean(0)
            self.board.add_audio(f"samples/{name}", mono[None], step, sample_rate)
            self.board.add_image(f"spectrograms/{name}", picture(mono, sample_rate), step)
            self.board.flush()

    def close(self) -> None:
        """Finish the files."""
        if self.board is not None:
            self.board.close()


def rounded(value: Any) -> Any:
    if isinstance(value, Tensor):
        value = value.item()
    return round(value, 5) if isinstance(value, float) else value


def picture(wave: Tensor, sample_rate: int) -> Tensor:
    """Log-mel spectrogram of a sound [n] as colours: uint8 [3, 128, frames], low tones at the bottom."""
    mel = log_mel(wave, sample_rate=sample_rate, f_max=min(20000.0, sample_rate / 2))
    level = (mel.flip(0) / -FLOOR_DB + 1).clamp(0, 1) * (len(COLOURS) - 1)
    table = torch.tensor(COLOURS, dtype=torch.float32)
    low = level.long().clamp_max(len(COLOURS) - 2)
    part = (level - low)[..., None]
    return torch.lerp(table[low], table[low + 1], part).round().to(torch.uint8).permute(2, 0, 1)
