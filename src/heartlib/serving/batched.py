"""A pipeline whose songs are sung together: each of many threads makes one, the engine sings a frame of all at once.

K: codebooks, T: frames of 80 ms.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from heartlib.heartmula import HeartMuLa
from heartlib.heartmula.frame_step import KERNELS, REFERENCE
from heartlib.pipelines.decoding import Progress
from heartlib.pipelines.music_generation import Cancelled, HeartMuLaGenPipeline
from heartlib.pipelines.request import Request
from heartlib.serving.engine import Engine, SongCancelled

LOOK_SECONDS = 0.1  # between two looks whether a song is cancelled


class BatchedPipeline(HeartMuLaGenPipeline):
    """`generate` and `stream` may be called from `songs` threads at once; both models stay in memory.

    A song's codes hang on its own settings and seed alone. `begin` it first, `close` it at the end.
    """

    engine: Engine

    def begin(self, songs: int) -> None:
        """Loads the models and makes the engine ready, so that no song waits for its kernels."""
        self._load_both()
        mula = self._load_mula()
        cuda = mula.device.type == "cuda"
        self.engine = Engine(
            mula,
            audio_eos_id=self.gen_config.audio_eos_id,
            songs=songs,
            operations=KERNELS if cuda else REFERENCE,
            graphs=cuda,
        )
        if cuda:
            self.engine.warm_up()

    def _load_mula(self) -> HeartMuLa:
        """With layers as the engine reads them, also on a CPU whose products could be int8."""
        if self.mula is None:
            place = self.placement
            self.mula = HeartMuLa.from_pretrained(
                self.paths.mula,
                device=place.mula_device,
                dtype=place.mula_dtype,
                quantization=place.quantization,
                int8=False,
            )
        return self.mula

    def close(self) -> None:
        """Ends what is being sung."""
        self.engine.close()

    def _sing(
        self,
        mula: HeartMuLa,
        request: Request,
        progress: Progress | None,
        cancel: threading.Event | None,
        each: Callable[[Tensor], object] | None = None,
    ) -> Tensor:
        settings, done = request.settings, request.prefix.shape[1]

        def on_frame(frame: Tensor) -> None:
            nonlocal done
            done += 1
            if each is not None:
                each(frame)
            if progress is not None:
                progress("singing", done, request.frames)

        song = self.engine.submit(
            request.prompt,
            max_frames=request.frames,
            prefix=request.prefix,
            cfg_scale=settings.cfg_scale,
            temperature=settings.temperature,
            topk=settings.topk,
            seed=settings.seed or 0,
            on_frame=on_frame,
        )
        while True:
            try:
                return song.result(LOOK_SECONDS)
            except TimeoutError:
                if cancel is not None and cancel.is_set():
                    song.cancel()
            except SongCancelled:
                if song.codes.shape[1] == request.prefix.shape[1]:
                    raise Cancelled("cancelled before anything was sung") from None
                return song.codes  # [K, T]

    def _singing_threads(self) -> int:
        return torch.get_num_threads()

    def _idle_threads(self) -> bool:
        return False

    def _make_room(self, request: Request) -> None:
        """The engine has the memory for keys and values; songs wait there."""

    def _short_of_memory(self) -> bool:
        return False

    def _check_memory(self) -> None:
        """`begin` has loaded both models."""

    def load(self) -> None:
        """Nothing is left to load."""


def batched(settings: dict[str, Any], songs: int) -> BatchedPipeline:
    """The pipeline of a worker's settings, ready for `songs` songs at once."""
    from heartlib import checkpoints
    from heartlib.pipelines.placement import Placement

    placement = Placement.resolve(settings["device"], None, settings["quantization"])
    paths = checkpoints.find(settings["model"], settings["version"])
    pipe = BatchedPipeline(paths, placement)
    pipe.begin(songs)
    return pipe
