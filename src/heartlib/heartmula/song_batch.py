"""Songs that are sung together on one device: they join and leave between frames, and none hears another.

Legend: S songs, K codebooks, D backbone width, T frames.
"""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from heartlib.graphs import CUDAGraphed
from heartlib.heartmula.frame_step import (
    KERNELS,
    FrameStep,
    Operations,
    SongState,
    compile_kernels,
)
from heartlib.heartmula.generation import SamplingSettings, embed_prefix, embed_prompt
from heartlib.heartmula.modeling_heartmula import HeartMuLa
from heartlib.heartmula.paged_cache import PagedCache, count_pages
from heartlib.heartmula.prompt import Prompt
from heartlib.heartmula.stack_weights import FrameWeights, frame_weights

AHEAD = 3  # frames that the device may be ahead of what has been read


def sizes(songs: int) -> list[int]:
    """The numbers of songs that a frame is made for: powers of two, and the most."""
    return [1 << power for power in range(songs.bit_length()) if 1 << power < songs] + [songs]


class SongBatch:
    """At most `songs` songs on `pages` pages of cache; the first len(batch) places are taken.

    model: on CUDA, or on a CPU with `operations` of plain PyTorch. `unknown` is the code that is never drawn. A frame is
    made for the next of `sizes(songs)`, each with a CUDA graph of its own, recorded when first needed.
    """

    def __init__(
        self,
        model: HeartMuLa,
        *,
        songs: int,
        pages: int,
        unknown: int,
        operations: Operations = KERNELS,
        graphs: bool = True,
        weights: FrameWeights | None = None,
    ) -> None:
        config = model.config
        self.model, self.graphs, self.unknown = model, graphs, unknown
        self.operations = operations
        self.weights = weights or frame_weights(model)
        device, dtype = model.device, model.dtype
        self.state = SongState(songs, config.backbone.embed_dim, config.audio_num_codebooks, device)
        self.cache = PagedCache(config.backbone, 2 * songs, pages, device, dtype)
        self.sizes = sizes(songs)
        self._songs = 0
        self._steps: dict[int, tuple[FrameStep, CUDAGraphed]] = {}

    def __len__(self) -> int:
        return self._songs

    def has_room(self, positions: int, rows: int) -> bool:
        """Whether a song of so many positions, prompt and frames, could join now."""
        places = self._songs < self.sizes[-1]
        return places and rows * count_pages(positions) <= len(self.cache.free)

    @torch.inference_mode()
    def join(
        self,
        prompt: Prompt,
        settings: SamplingSettings,
        *,
        frames: int,
        seed: int,
        prefix: Tensor | None = None,
    ) -> int:
        """Adds a song of at most `frames` frames, of which prefix [K, T] are given; its place, the last.

        Its prompt and prefix are read now; there must be room (`has_room`).
        """
        place, rows, state = self._songs, settings.rows, self.state
        x = embed_prompt(self.model, prompt, rows)
        given = 0 if prefix is None else prefix.shape[1]
        if prefix is not None and given:
            x = torch.cat((x, embed_prefix(self.model, prefix, rows)), dim=1)
        read = x.shape[1] - 1  # the last position is the first that a frame begins with
        for row in range(rows):
            self.cache.reserve(2 * place + row, len(prompt.tokens) + frames)
        try:
            if read:
                cache = self.model.backbone.new_cache(rows, read)
                self.model.backbone(x[:, :read], cache)
                for row in range(rows):
                    self.cache.fill(2 * place + row, cache, row)
        except BaseException:
            for row in range(rows):
                self.cache.release(2 * place + row)
            raise
        here = slice(2 * place, 2 * place + rows)
        state.x[here] = x[:, -1].float()
        state.position[here] = read
        state.advance[here] = 1
        state.seed[place] = seed
        state.frame[place] = given
        state.cfg_scale[place] = settings.cfg_scale
        state.temperature[place] = settings.temperature
        state.topk[place] = min(settings.topk, self.model.config.audio_vocab_size)
        self._songs += 1
        return place

    def leave(self, place: int) -> None:
        """Ends a song; the last one takes its place."""
        last = self._songs - 1
        for row in (2 * place, 2 * place + 1):
            self.cache.release(row)
        if place != last:
            for row in range(2):
                self.cache.move(2 * last + row, 2 * place + row)
            with torch.inference_mode():
                self.state.move(last, place)
        else:
            with torch.inference_mode():
                self.state.clear(place)
        self._songs -= 1

    @torch.inference_mode()
    def step(self) -> None:
        """Launches one frame of every song; their codes are in `state.codes` once the device has made it."""
        self._step_for(self._size())[1]()

    @property
    def logits(self) -> Tensor:
        """Of the last frame, before guidance: float32 [K, ≥ 2S, V], rows 2s and 2s + 1 of each song."""
        return self._step_for(self._size())[0].logits

    @torch.inference_mode()
    def warm_up(self, songs: int | None = None) -> None:
        """Compiles and records the frames of up to `songs` songs (all) now; no song may be in the batch."""
        for size in self.sizes:
            self._step_for(size)
            if songs is not None and size >= songs:
                break

    def _size(self) -> int:
        return next(size for size in self.sizes if size >= max(1, self._songs))

    def _step_for(self, size: int) -> tuple[FrameStep, CUDAGraphed]:
        if size not in self._steps:
            step = FrameStep(
                self.weights,
                self.state,
                self.cache,
                size,
                unknown=self.unknown,
                operations=self.operations,
            )
            with self._idle():
                if self.model.device.type == "cuda":
                    compile_kernels(step)
                graphed = CUDAGraphed(step, self.model.device, enabled=self.graphs)
            self._steps[size] = step, graphed
        return self._steps[size]

    def _idle(self) -> _Idle:
        return _Idle(self)


class _Idle:
    """While a frame is tried out, every row is idle; then the songs are as they were."""

    def __init__(self, batch: SongBatch) -> None:
        self.batch = batch

    def __enter__(self) -> None:
        state, table = self.batch.state, self.batch.cache.table
        self.tensors = [*vars(state).values(), table]
        self.kept = [tensor.clone() for tensor in self.tensors]
        for tensor in (state.position, state.advance, table):
            tensor.zero_()

    def __exit__(self, *_: object) -> None:
        for tensor, kept in zip(self.tensors, self.kept, strict=True):
            tensor.copy_(kept)


class Readback:
    """Codes on their way from the device: none is waited for before AHEAD more are launched."""

    def __init__(self, codes: Tensor) -> None:
        self._codes = codes
        pinned = codes.is_cuda
        self._spare = [
            torch.empty(codes.shape, dtype=codes.dtype, pin_memory=pinned) for _ in range(AHEAD + 1)
        ]
        self._coming: deque[tuple[Tensor, torch.cuda.Event | None]] = deque()

    def __len__(self) -> int:
        return len(self._coming)

    @property
    def full(self) -> bool:
        """Whether the oldest is to be taken before more is launched."""
        return not self._spare

    def push(self) -> None:
        """Asks for the codes as they are once all that was launched is done."""
        target = self._spare.pop()
        target.copy_(self._codes, non_blocking=True)
        event = None
        if self._codes.is_cuda:
            event = torch.cuda.Event()
            event.record()
        self._coming.append((target, event))

    def pop(self) -> Tensor:
        """The oldest codes that were asked for, int64 [S, K] on the CPU."""
        target, event = self._coming.popleft()
        if event is not None:
            event.synchronize()
        codes = target.long()
        self._spare.append(target)
        return codes
