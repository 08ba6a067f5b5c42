"""One frame of several songs at once, from static tensors to static tensors: what a CUDA graph can hold.

The same arithmetic as `generation.frame_step`, with each row's cache in pages and each song's random numbers from its own
counter-based stream. Hidden states are float32 between the blocks. Nothing in a song's numbers depends on the songs beside it.

Legend: S songs, R = 2S rows (a song's conditional row 2s, its unconditional 2s + 1), K codebooks, V audio vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from heartlib.heartmula.kernels import attention, few_rows, linear, rows, sample, whole_numbers
from heartlib.heartmula.kernels.linear import Shares, padded
from heartlib.heartmula.kernels.whole_numbers import WholeRows
from heartlib.heartmula.paged_cache import PagedCache
from heartlib.heartmula.stack_weights import FrameWeights, LayerWeights, StackWeights


@dataclass(frozen=True)
class Operations:
    """What a frame is made of; each is described with its kernel."""

    linear: Callable[..., None]
    gated_linear: Callable[..., None]
    norm: Callable[..., None]
    embed_code: Callable[..., None]
    embed_frame: Callable[..., None]
    attend: Callable[..., None]
    attend_depth: Callable[..., None]
    draw_noise: Callable[..., None]
    sample: Callable[..., None]
    round_rows: Callable[..., None]
    splits: int = attention.FEW_SPLITS
    whole: bool = False  # what meets weights in whole numbers is kept in such too


KERNELS = Operations(
    linear.linear,
    linear.gated_linear,
    rows.norm,
    rows.embed_code,
    rows.embed_frame,
    attention.attend,
    attention.attend_depth,
    sample.draw_noise,
    sample.sample,
    whole_numbers.round_rows,
)
# For one song by itself: faster, and added in another order.
ALONE = replace(
    KERNELS,
    linear=few_rows.linear,
    gated_linear=few_rows.gated_linear,
    splits=attention.MANY_SPLITS,
    whole=True,
)
REFERENCE = Operations(
    linear.linear_reference,
    linear.gated_linear_reference,
    rows.norm_reference,
    rows.embed_code_reference,
    rows.embed_frame_reference,
    attention.attend_reference,
    attention.attend_depth_reference,
    sample.draw_noise_reference,
    sample.sample_reference,
    whole_numbers.round_rows_reference,
)


def compile_kernels(step: FrameStep) -> None:
    """Compiles the kernels of a frame side by side, by running each once; its rows should be idle."""
    calls: dict[Hashable, Callable[[], Any]] = {}

    def noted(name: str, operation: Callable[..., Any]) -> Callable[..., None]:
        def note(*given: Any, **named: Any) -> None:
            key = (name, *map(_specialised, given), *map(_specialised, named.values()))
            calls.setdefault(key, partial(operation, *given, **named))

        return note

    kept = step.do
    every = {f.name: getattr(kept, f.name) for f in fields(kept)}
    step.do = replace(kept, **{n: noted(n, each) for n, each in every.items() if callable(each)})
    step()
    step.do = kept
    with ThreadPoolExecutor(8, "compile") as pool:
        for done in [pool.submit(call) for call in calls.values()]:
            done.result()
    if step.logits.is_cuda:  # they ran on other threads' streams
        torch.cuda.synchronize(step.logits.device)


def _specialised(value: Any) -> Hashable:
    """What of an argument a kernel is compiled for."""
    if isinstance(value, Tensor):
        return value.dtype, tuple(value.shape), value.data_ptr() % 16
    if isinstance(value, tuple):
        return tuple(map(_specialised, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return value == 1, value % 16 == 0
    return value


class SongState:
    """What up to S songs carry from frame to frame; a song's place is its index."""

    def __init__(self, songs: int, width: int, codebooks: int, device: torch.device) -> None:
        count = 2 * songs
        ints = {"device": device, "dtype": torch.int32}
        self.x = torch.zeros(padded(count), width, device=device)  # the backbone's next input
        self.position = torch.zeros(count, **ints)  # positions cached
        self.advance = torch.zeros(count, **ints)  # 1, or 0 for rows that nobody uses
        self.seed = torch.zeros(songs, device=device, dtype=torch.int64)
        self.frame = torch.zeros(songs, **ints)  # of the random stream
        self.cfg_scale = torch.ones(songs, device=device)
        self.temperature = torch.ones(songs, device=device)
        self.topk = torch.ones(songs, **ints)
        self.codes = torch.zeros(songs, codebooks, **ints)

    def move(self, source: int, target: int) -> None:
        """Puts one song's state in the place of another's."""
        for part in (self.x, self.position, self.advance):
            part[2 * target : 2 * target + 2] = part[2 * source : 2 * source + 2]
        for part in (self.seed, self.frame, self.cfg_scale, self.temperature, self.topk):
            part[target] = part[source]
        self.clear(source)

    def clear(self, song: int) -> None:
        """Leaves a place idle."""
        for part in (self.position, self.advance, self.x):
            part[2 * song : 2 * song + 2] = 0
        self.cfg_scale[song] = 1
        self.frame[song] = 0


class FrameStep:
    """One frame of the first `songs` songs of a state: call it, then read `state.codes` [S, K] and `logits`.

    logits float32 [K, ≥ R, V], before guidance, of the frame that was made last.
    """

    def __init__(
        self,
        weights: FrameWeights,
        state: SongState,
        cache: PagedCache,
        songs: int,
        *,
        unknown: int,
        operations: Operations = KERNELS,
    ) -> None:
        self.weights, self.state, self.cache = weights, state, cache
        self.songs, self.rows, self.unknown = songs, 2 * songs, unknown
        self.do = operations
        device, dtype = weights.audio_embeddings.device, weights.audio_embeddings.dtype
        codebooks, vocab = len(weights.heads), weights.heads[0].outputs
        whole = operations.whole and weights.projection.kind in whole_numbers.KINDS
        self.backbone = _Buffers(weights.backbone, padded(self.rows), device, dtype, whole)
        many = padded(2 * self.rows) + padded(self.rows)  # two positions, read from the second on
        self.decoder = _Buffers(weights.decoder, many, device, dtype, whole)
        depth = weights.decoder.config
        self.depth_x = torch.zeros(many, depth.embed_dim, device=device)
        shape = (depth.num_layers, self.rows, depth.num_kv_heads, codebooks, depth.head_dim)
        self.depth_keys = torch.zeros(shape, device=device, dtype=dtype)
        self.depth_values = torch.zeros(shape, device=device, dtype=dtype)
        config = weights.backbone.config
        self.space = attention.Workspace.allocate(
            self.rows,
            config.num_heads,
            config.num_kv_heads,
            config.head_dim,
            device,
            operations.splits,
        )
        self.shares = Shares.allocate(2 * self.rows, device)
        self.noise = torch.zeros(songs, codebooks, vocab, device=device)
        self.logits = torch.zeros(codebooks, padded(self.rows), vocab, device=device)

    def __call__(self) -> None:
        state, songs, rows = self.state, self.songs, self.rows
        self.do.draw_noise(state.seed[:songs], state.frame[:songs], self.noise)
        hidden = self._backbone()
        self.do.linear(hidden, self.weights.projection, self.depth_x, rows, space=self.shares)
        self._head(0, hidden)
        self._sample(0)
        for codebook in range(1, len(self.weights.heads)):
            self._head(codebook, self._depth(codebook))
            self._sample(codebook)
        self.do.embed_frame(
            state.codes[:songs],
            self.weights.audio_embeddings,
            self.noise.shape[-1],
            state.x,
            state.position[:rows],
            state.advance[:rows],
            state.frame[:songs],
        )

    def _backbone(self) -> Tensor | WholeRows:
        """The normed hidden states [≥ R, D] after the new position of every row."""
        stack, made, state, rows = self.weights.backbone, self.backbone, self.state, self.rows
        self.do.norm(state.x, stack.layers[0].attention_norm, made.normed, rows)
        for index, layer in enumerate(stack.layers):
            self.do.linear(made.normed, layer.qkv, made.qkv, rows, space=self.shares)
            self.do.attend(
                made.qkv,
                self.cache.keys[index],
                self.cache.values[index],
                self.cache.table,
                state.position,
                stack.rope,
                made.heard,
                self.space,
                stack.config.num_heads,
                rows,
            )
            self._rest(stack, index, layer, made, state.x, rows)
        return made.normed

    def _depth(self, codebook: int) -> Tensor | WholeRows:
        """The normed hidden states [≥ R, E] that give a codebook's logits, from the code before."""
        stack, made, rows = self.weights.decoder, self.decoder, self.rows
        first = rows if codebook == 1 else 0  # rows of the backbone's hidden state, before the code
        self.do.embed_code(
            self.state.codes[: self.songs],
            codebook - 1,
            self.weights.depth_embeddings,
            self.noise.shape[-1],
            stack.layers[0].attention_norm,
            self.depth_x,
            made.normed,
            rows,
            first,
        )
        count = rows + first
        for index, layer in enumerate(stack.layers):
            self.do.linear(made.normed, layer.qkv, made.qkv, count, space=self.shares)
            self.do.attend_depth(
                made.qkv,
                self.depth_keys[index],
                self.depth_values[index],
                stack.rope,
                made.heard,
                stack.config.num_heads,
                rows,
                0 if first else codebook,
                count // rows,
            )
            self._rest(stack, index, layer, made, self.depth_x, count)
        normed = made.normed
        return normed.after(first) if isinstance(normed, WholeRows) else normed[first:]

    def _rest(
        self,
        stack: StackWeights,
        index: int,
        layer: LayerWeights,
        made: _Buffers,
        x: Tensor,
        rows: int,
    ) -> None:
        """A block after its attention, and the norm that comes next."""
        heard = self._rounded(made.heard, made.whole_heard, rows)
        self.do.linear(heard, layer.output, x, rows, add=True, space=self.shares)
        self.do.norm(x, layer.mlp_norm, made.normed, rows)
        self.do.gated_linear(made.normed, layer.gate_up, made.gated, rows)
        last = index + 1 == len(stack.layers)
        gated = self._rounded(made.gated, made.whole_gated, rows)
        self.do.linear(gated, layer.down, x, rows, add=True, space=self.shares)
        scale = stack.norm if last else stack.layers[index + 1].attention_norm
        self.do.norm(x, scale, made.normed, rows)

    def _rounded(self, made: Tensor, whole: WholeRows | None, rows: int) -> Tensor | WholeRows:
        """What was made, as the next product takes it."""
        if whole is None:
            return made
        self.do.round_rows(made, whole, rows)
        return whole

    def _head(self, codebook: int, hidden: Tensor | WholeRows) -> None:
        self.do.linear(
            hidden,
            self.weights.heads[codebook],
            self.logits[codebook],
            self.rows,
            space=self.shares,
        )

    def _sample(self, codebook: int) -> None:
        state, songs = self.state, self.songs
        self.do.sample(
            self.logits[codebook],
            self.noise,
            codebook,
            state.cfg_scale[:songs],
            state.temperature[:songs],
            state.topk[:songs],
            state.codes[:songs],
            self.unknown,
        )


class _Buffers:
    """What one block leaves for the next product, for `rows` rows; `whole`: in whole numbers where it meets weights."""

    def __init__(
        self,
        stack: StackWeights,
        rows: int,
        device: torch.device,
        dtype: torch.dtype,
        whole: bool,
    ) -> None:
        config = stack.config
        width, inner = config.embed_dim, config.intermediate_dim
        kv = 2 * config.num_kv_heads * config.head_dim
        new = partial(torch.zeros, device=device, dtype=dtype)
        new_whole = partial(WholeRows.allocate, rows, device=device)
        self.normed = new_whole(width) if whole else new((rows, width))
        self.qkv = new((rows, width + kv))
        self.heard, self.gated = new((rows, width)), new((rows, inner))
        self.whole_heard = new_whole(width) if whole else None
        self.whole_gated = new_whole(inner) if whole else None
