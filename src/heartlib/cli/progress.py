"""What the person sees and can do while a song is made: a bar, and Ctrl-C."""

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

from tqdm import tqdm

FRAME_SECONDS = 0.08


class Progress:
    """A bar a stage on stderr, in seconds of song; called as the pipeline's `progress`.

    seconds: of song that one step done is.
    While singing the end is not known yet: the bar runs towards the longest that the song may be,
    and is cut where the song ended. Where stderr is no terminal, one line a stage.
    """

    def __init__(self, *, quiet: bool = False, seconds: float = FRAME_SECONDS):
        self.quiet = quiet
        self.seconds = seconds
        self.stage = ""
        self.bar: Any = None
        self.terminal = sys.stderr.isatty()

    def __call__(self, stage: str, done: float, total: float) -> None:
        if self.quiet:
            return
        if stage != self.stage:
            self._close()
            self.stage = stage
            most = total * self.seconds
            if not self.terminal:
                limit = "at most " if "singing" in stage else ""
                print(f"{stage}: {limit}{most:.1f} s of song", file=sys.stderr, flush=True)
                return
            self.bar = tqdm(
                total=most,
                desc=f"{stage:<8}",
                file=sys.stderr,
                bar_format="{desc} {bar} {n:5.1f}/{total:.1f} s [{elapsed}]",
            )
        if self.bar is not None:
            self.bar.update(done * self.seconds - self.bar.n)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


class Interrupt:
    """The first Ctrl-C sets `cancel`, the second one is a KeyboardInterrupt."""

    def __init__(self):
        self.cancel = threading.Event()
        self._before: Any = None

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._stop)
        return self

    def __exit__(self, *error: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.cancel.is_set():
            raise KeyboardInterrupt
        self.cancel.set()
        # not print: the bar may be in the middle of a write to the same stream
        os.write(2, b"\nstopping: keeping what was sung so far (Ctrl-C again to quit)\n")


def peak_memory() -> str:
    """The most memory this process has held, and the most on the GPU."""
    texts = []
    try:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        texts.append(f"{peak / 1e9:.2f} GB")
    except ImportError:  # Windows
        texts.append("unknown")
    import torch

    if torch.cuda.is_available():
        texts.append(f"{torch.cuda.max_memory_allocated() / 1e9:.2f} GB on the GPU")
    return ", ".join(texts)
