"""A song that is heard while it is being sung."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from heartlib.heartcodec.streaming import stream
from heartlib.pipelines.decoding import Progress, Sung, decoding, share_threads
from heartlib.pipelines.request import Request, memory_errors, on_threads
from heartlib.pipelines.song import Song

if TYPE_CHECKING:
    from heartlib.pipelines.music_generation import HeartMuLaGenPipeline


class SongStream:
    """A song's pieces while it is being sung: an iterator of float32 [2, n] on the CPU, at `sample_rate`.

    After the last of them `song` is the whole. `close`, or leaving the context, stops the singing.
    """

    def __init__(
        self,
        pipe: HeartMuLaGenPipeline,
        request: Request,
        progress: Progress | None,
        cancel: threading.Event | None,
    ) -> None:
        self.song: Song | None = None
        self._pipe, self._request, self._progress = pipe, request, progress
        self._cancel = cancel or threading.Event()
        self._codec = pipe._load_both()
        self.sample_rate = self._codec.config.sample_rate
        self._pieces: Generator[torch.Tensor] = self._make()

    def __iter__(self) -> SongStream:
        return self

    def __next__(self) -> torch.Tensor:
        return next(self._pieces)

    def __enter__(self) -> SongStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stops what is not finished; the event given as `cancel` is set then."""
        self._pieces.close()
        self._give_back()

    def _give_back(self) -> None:
        if self._pipe.lazy_load:
            self._pipe._free("mula")
            self._pipe._free("codec")

    def _make(self) -> Generator[torch.Tensor]:
        pipe, codec, start = self._pipe, self._codec, time.perf_counter()
        request = replace(self._request, settings=self._request.settings.for_codec(codec.config))
        sung, threads = Sung(request.prefix), torch.get_num_threads()
        shared = pipe._idle_threads()
        found: list[torch.Tensor] = []

        def sing() -> None:
            try:
                with on_threads(pipe._singing_threads()):
                    mula = pipe._load_mula()
                    found.append(pipe._sing(mula, request, self._progress, self._cancel, sung.add))
                sung.end()
            except BaseException as error:
                sung.end(error)

        def first(count: int) -> torch.Tensor:
            codes = sung.first(count)
            if shared:
                share_threads(threads, singing=codes.shape[1] == count)
            return codes

        singer = threading.Thread(target=sing, name="singing", daemon=True)
        pieces: list[torch.Tensor] = []
        singer.start()
        try:
            with memory_errors():
                for piece in stream(codec, first, **decoding(request.settings)):
                    pieces.append(piece)
                    torch.set_num_threads(threads)
                    yield piece
        except BaseException:  # GeneratorExit too: nobody listens any more
            self._cancel.set()
            raise
        finally:
            singer.join()
            torch.set_num_threads(threads)
            self._give_back()
        complete = not self._cancel.is_set()
        # singing and decoding went on at once, and whoever took the pieces is in it
        timings = {"loading": 0.0, "singing": 0.0, "decoding": time.perf_counter() - start}
        waveform = torch.cat(pieces, dim=-1)
        self.song = pipe._song(request, found[0], waveform, self.sample_rate, timings, complete)
        self.song.settings["streamed"] = True
