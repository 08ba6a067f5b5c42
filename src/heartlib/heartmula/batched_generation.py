"""The frame loop of one song on a GPU: frames are launched ahead of reading, so that neither side waits.

Legend: K codebooks, T frames of the prefix.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from torch import Tensor

from heartlib.heartmula.frame_step import ALONE, Operations
from heartlib.heartmula.generation import SamplingSettings
from heartlib.heartmula.modeling_heartmula import HeartMuLa
from heartlib.heartmula.paged_cache import count_pages
from heartlib.heartmula.prompt import Prompt
from heartlib.heartmula.song_batch import Readback, SongBatch
from heartlib.heartmula.stack_weights import FrameWeights, frame_weights

ROOM = 512  # positions; a batch is made for a multiple of it, to serve the next song too


class FrameLoop:
    """What a model keeps for its songs on a GPU: its weights as the kernels read them, and the last song's batch.

    A song that needs more positions than the last gets a batch of its own, which is kept in turn; one that is sung while
    another still is, too, and it is not kept.
    """

    def __init__(
        self, model: HeartMuLa, operations: Operations = ALONE, graphs: bool = True
    ) -> None:
        self.model, self.operations, self.graphs = model, operations, graphs
        self.weights: FrameWeights = frame_weights(model)
        self._batch: SongBatch | None = None
        self.positions = 0  # of the batch that is kept
        self._lock = threading.Lock()

    def prepare(self, positions: int, unknown: int) -> SongBatch:
        """A batch for one song of so many positions, compiled and recorded."""
        if self._batch is None or self.positions < positions or self._batch.unknown != unknown:
            self._batch = None
            rounded = -(-positions // ROOM) * ROOM
            self._batch = self._new_batch(rounded, unknown)
            self.positions = rounded
        return self._batch

    def frames(
        self,
        prompt: Prompt,
        prefix: Tensor,
        settings: SamplingSettings,
        max_frames: int,
        seed: int,
    ) -> Iterator[Tensor]:
        """A song's codes [K], int64 on the CPU, frame by frame after its prefix [K, T], the ending frame too."""
        positions, unknown = len(prompt.tokens) + max_frames, settings.audio_eos_id - 1
        mine = self._lock.acquire(blocking=False)
        try:
            batch = (
                self.prepare(positions, unknown) if mine else self._new_batch(positions, unknown)
            )
            place = batch.join(prompt, settings, frames=max_frames, seed=seed, prefix=prefix)
            try:
                coming = Readback(batch.state.codes)
                left = max_frames - prefix.shape[1]
                while left or len(coming):
                    if left and not coming.full:
                        batch.step()
                        coming.push()
                        left -= 1
                    else:
                        yield coming.pop()[place]
            finally:
                batch.leave(place)
        finally:
            if mine:
                self._lock.release()

    def _new_batch(self, positions: int, unknown: int) -> SongBatch:
        batch = SongBatch(
            self.model,
            songs=1,
            pages=2 * count_pages(positions),
            unknown=unknown,
            operations=self.operations,
            graphs=self.graphs,
            weights=self.weights,
        )
        batch.warm_up()
        return batch
