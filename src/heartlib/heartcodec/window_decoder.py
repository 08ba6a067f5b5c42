"""Windows to latents and sound on a GPU: the parts of a codec prepared for it, and the stream that they run on.

Shapes: B windows, K codebooks, T latent frames (25 Hz), C latent channels, n samples at 48 kHz.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from torch import Tensor

from heartlib.graphs import CUDAGraphed
from heartlib.heartcodec.configuration_heartcodec import CHANNELS
from heartlib.heartcodec.models.analysis import match_levels
from heartlib.heartcodec.models.flow_matching import FlowMatching
from heartlib.heartcodec.models.fused_estimator import FusedEstimator
from heartlib.heartcodec.models.fused_sq_decoder import FusedDecoder
from heartlib.heartcodec.models.sq_codec import SQCodec, round_latents
from heartlib.heartcodec.models.window_sampler import WindowSampler
from heartlib.heartcodec.precision import Precision


class WindowDecoder:
    """What decoding needs beside the weights of a codec, which no longer change.

    Windows of any number of threads go through it one after the other, all on the one `stream` that it keeps on a CUDA
    device; inputs and outputs are the caller's. `whole`: latents of a window, whose sound is recorded as a graph.
    """

    def __init__(
        self,
        flow: FlowMatching,
        scalar: SQCodec,
        precision: Precision,
        *,
        whole: int,
        graphed: bool = True,
    ):
        self.device = flow.zero_cond_embedding1.device
        cuda = self.device.type == "cuda"
        self.stream = torch.cuda.Stream(self.device) if cuda else None
        self.scalar, self.whole, self.graphed = scalar, whole, graphed and cuda
        self._lock = threading.Lock()
        self._pool = torch.cuda.graph_pool_handle() if self.graphed else None
        self._recorded: tuple[CUDAGraphed, Tensor, Tensor] | None = None
        # What is made here are weights: no tensors of inference alone, whoever decodes first.
        with torch.inference_mode(False), torch.no_grad():
            estimator = FusedEstimator(flow.estimator, precision)
            self.sampler = WindowSampler(flow, estimator, graphed=self.graphed, pool=self._pool)
            half = precision.scalar != torch.float32
            self.fused = FusedDecoder(scalar.decoder, precision.scalar) if half else None
        if self.stream is not None:
            self.stream.wait_stream(torch.cuda.current_stream(self.device))
            more = [] if self.fused is None else self.fused.first_calls()
            self._compile([*estimator.first_calls(), *more])
            torch.cuda.empty_cache()  # of what weights were made from: graphs have memory of their own

    def _compile(self, calls: Sequence[Callable[[], object]]) -> None:
        """Make the first calls of kernels: Triton, which takes a third of a second each, compiles them side by side."""

        @torch.inference_mode()
        def make(call: Callable[[], object]) -> None:
            with self.aside(after=False, before=False):
                call()

        make(calls[0])  # alone: it begins what the others share
        with ThreadPoolExecutor(len(calls)) as threads:
            list(threads.map(make, calls[1:]))

    @contextmanager
    def aside(self, *, after: bool = True, before: bool = True) -> Iterator[None]:
        """What is asked of the GPU in here runs on the decoder's stream.

        It comes after what the caller's stream was asked before, and before what that is asked later, unless told that
        nothing passes between them: then the two run side by side.
        """
        if self.stream is None or torch.cuda.current_stream(self.device) == self.stream:
            yield
            return
        outside = torch.cuda.current_stream(self.device)
        if after:
            self.stream.wait_stream(outside)
        with torch.cuda.stream(self.stream):
            yield
        if before:
            outside.wait_stream(self.stream)

    @torch.inference_mode()
    def latents(
        self,
        codes: Tensor,
        noise: Tensor,
        contexts: Sequence[Tensor | None],
        *,
        num_steps: int,
        guidance_scale: float,
        guidance_from: float,
    ) -> Tensor:
        """`FlowMatching.sample` of codes [B, K, T / 2] and noise [B, T, C] with the context [c, C] of each, or None."""
        with self._lock, self.aside():
            made = self.sampler(
                codes,
                noise,
                contexts,
                num_steps=num_steps,
                guidance_scale=guidance_scale,
                guidance_from=guidance_from,
            )
        self._used_outside(codes, noise, *(c for c in contexts if c is not None))
        return self._kept_outside(made)

    @torch.inference_mode()
    def sound(self, latents: Tensor) -> Tensor:
        """Latents [B, T, C] → 48 kHz audio float32 [B, 2, n]; one window at a time, for memory."""
        with self._lock, self.aside():
            made = torch.stack([self._sound(window) for window in latents])
        self._used_outside(latents)
        return self._kept_outside(made)

    def _sound(self, latents: Tensor) -> Tensor:
        rows = latents.unflatten(-1, (CHANNELS, -1)).transpose(0, 1).contiguous()  # [2, T, 128]
        if self.fused is None:
            with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                return self.scalar.decode(rows.transpose(1, 2))[:, 0]
        if self.graphed and len(latents) == self.whole:
            wave = self._replay(rows)
        else:
            wave = self.fused(round_latents(rows))
        if self.scalar.analysed:
            wave = match_levels(wave, rows.transpose(1, 2))
        return wave[:, 0].clone()

    def _replay(self, rows: Tensor) -> Tensor:
        """The audio [2, 1, n] of a whole window's rows, in a tensor that the next window overwrites."""
        if self._recorded is None:
            assert self.fused is not None
            fused, given = self.fused, rows.clone()
            wave = rows.new_empty(
                len(rows), 1, len(rows[0]) * self.scalar.config.samples_per_latent
            )

            def step() -> None:
                wave.copy_(fused(round_latents(given)))

            self._recorded = (
                CUDAGraphed(step, self.device, enabled=self.graphed, pool=self._pool),
                given,
                wave,
            )
        run, given, wave = self._recorded
        given.copy_(rows)
        run()
        return wave

    def _used_outside(self, *tensors: Tensor) -> None:
        """Tensors of the caller's stay whole until the stream is through with them."""
        for tensor in tensors:
            if self.stream is not None and tensor.is_cuda:
                tensor.record_stream(self.stream)

    def _kept_outside(self, made: Tensor) -> Tensor:
        """A tensor made on the stream, for the caller's."""
        if self.stream is not None:
            made.record_stream(torch.cuda.current_stream(self.device))
        return made
