"""From codes to the waveform, while the song is still being sung or after it.

A small language model keeps one CPU thread busy. The others may decode the windows that are sung already, so that
only the last one is left when the song ends.

K: codebooks, T: frames of 80 ms, n: samples.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue

import torch
from torch import Tensor

from heartlib.heartcodec import HeartCodec
from heartlib.pipelines.settings import FRAME_MS, GenerationSettings

Progress = Callable[[str, int, int], None]


class Sung:
    """The frames of a song as they come: one thread adds them, another waits for them.

    codes [K, T]: those that are there at the start.
    """

    def __init__(self, codes: Tensor) -> None:
        self._frames = list(codes.unbind(1))
        self._ended = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def add(self, frame: Tensor) -> None:
        """One more frame [K]."""
        with self._changed:
            self._frames.append(frame.cpu())
            self._changed.notify()

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more comes, or what went wrong, which whoever waits is told."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify()

    def first(self, count: int) -> Tensor:
        """The first `count` frames [K, count], waited for, or all that the song has."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or len(self._frames) >= count)
            if self._error is not None:
                raise self._error
            return torch.stack(self._frames[:count], dim=1)


class DecodingBeside:
    """Decodes a song in a thread of its own while it is being sung: `sung.add` its frames, then iterate.

    The last window is decoded on `threads` CPU threads, those before on one less: not on what is free
    at the time, so that the same song has the same sound. Leaving the context stops after the window
    that is being decoded.
    """

    def __init__(
        self, codec: HeartCodec, prefix: Tensor, settings: GenerationSettings, threads: int
    ) -> None:
        self.sung = Sung(prefix)
        self._codec, self._settings, self._threads = codec, settings, threads
        self._stopped = False
        self._pieces: SimpleQueue[Tensor | BaseException | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._decode, name="decoding", daemon=True)

    def __enter__(self) -> "DecodingBeside":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        self.sung.end()
        self._thread.join()

    def __iter__(self) -> Iterator[Tensor]:
        """The song's pieces [2, n] as they are done; raises what went wrong."""
        self.sung.end()
        while (piece := self._pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def _first(self, count: int) -> Tensor:
        codes = self.sung.first(count)
        if self._stopped:
            raise _Stopped
        share_threads(self._threads, singing=codes.shape[1] == count)
        return codes

    def _decode(self) -> None:
        try:
            for piece in self._codec.detokenize_growing(self._first, **decoding(self._settings)):
                self._pieces.put(piece)
            self._pieces.put(None)
        except BaseException as error:
            self._pieces.put(error)


def share_threads(count: int, *, singing: bool) -> None:
    """Decode, in this thread, on `count` CPU threads, or leave one of them to the singing."""
    torch.set_num_threads(max(1, count - 1) if singing else count)


class _Stopped(Exception):
    """Nobody waits for the song any more."""


def decoding(settings: GenerationSettings) -> dict:
    """The codec's part of the settings."""
    return {
        "num_steps": settings.num_steps,
        "guidance_scale": settings.guidance_scale,
        "seed": settings.seed or 0,
    }


def gather(
    pieces: Iterable[Tensor],
    frames: int,
    sample_rate: int,
    progress: Progress | None,
    cancel: threading.Event | None,
    least: int = 0,
) -> Tensor:
    """A song's pieces [2, n] of `frames` in all as one; a set `cancel` ends it after the next of them.

    least: so many frames are gathered in any case, and something after them.
    """
    kept: list[Tensor] = []
    done, frame_samples = 0, sample_rate * FRAME_MS // 1000
    if progress:
        progress("decoding", 0, frames)
    for piece in pieces:
        kept.append(piece)
        done += piece.shape[-1]
        if progress:
            progress("decoding", done // frame_samples, frames)
        if cancel is not None and cancel.is_set() and done > least * frame_samples:
            break
    return torch.cat(kept, dim=-1)
