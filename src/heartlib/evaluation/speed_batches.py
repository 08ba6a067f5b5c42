"""How fast songs are sung by kernels alone, without a song around them: one without graphs, and many at once.

Legend: S songs.
"""

from __future__ import annotations

import statistics
import time

import torch

from heartlib.evaluation.speed import SEED, Figures, cache_a_position, synchronise, traffic
from heartlib.heartmula import HeartMuLa, Prompt
from heartlib.heartmula.configuration_heartmula import FRAME_MS
from heartlib.heartmula.frame_step import Operations
from heartlib.heartmula.generation import SamplingSettings
from heartlib.heartmula.paged_cache import count_pages, page_bytes
from heartlib.heartmula.song_batch import SongBatch
from heartlib.heartmula.stack_weights import FrameWeights
from heartlib.serving.engine import Engine

WARM = 4  # frames before those that are timed


def weights_of(model: HeartMuLa) -> FrameWeights | None:
    """The model's weights as its frame loop has them, not made twice."""
    return None if model.frame_loop is None else model.frame_loop.weights


def one_song(
    model: HeartMuLa,
    prompt: Prompt,
    frames: int,
    eos: int,
    operations: Operations,
    *,
    graphs: bool,
) -> SongBatch:
    """A batch with one song in it, of at most so many frames."""
    batch = SongBatch(
        model,
        songs=1,
        pages=2 * count_pages(len(prompt.tokens) + frames),
        unknown=eos - 1,
        operations=operations,
        graphs=graphs,
        weights=weights_of(model),
    )
    batch.join(prompt, SamplingSettings(audio_eos_id=eos), frames=frames, seed=SEED)
    return batch


def without_graphs(
    model: HeartMuLa, prompt: Prompt, frames: int, eos: int, operations: Operations
) -> Figures:
    """One song's frames, each kernel launched by itself."""
    batch = one_song(model, prompt, WARM + frames, eos, operations, graphs=False)
    for _ in range(WARM):
        batch.step()
    synchronise(model.device)
    start = time.perf_counter()
    for _ in range(frames):
        batch.step()
    synchronise(model.device)
    return {"without_graphs_ms": 1e3 * (time.perf_counter() - start) / frames}


def many_songs(
    model: HeartMuLa,
    songs: int,
    eos: int,
    operations: Operations,
    *,
    steps: int,
    span: tuple[int, int],
    ceiling: float | None,
) -> Figures:
    """Frames of S songs at once, at positions spread evenly over `span`, their caches filled with noise.

    start_s: from the weights to the first frame, with compiling and recording.
    """
    device, vocab = model.device, model.config.audio_num_codebooks + 1
    low, high = span
    places = [(low + high) // 2] if songs == 1 else torch.linspace(low, high, songs).int().tolist()
    most = WARM + steps + 1
    start = time.perf_counter()
    batch = SongBatch(
        model,
        songs=songs,
        pages=sum(2 * count_pages(place + most) for place in places),
        unknown=eos - 1,
        operations=operations,
        weights=weights_of(model),
    )
    batch.sizes = [songs]
    mask = torch.zeros(2, vocab, dtype=torch.bool)
    mask[:, -1] = True
    prompt = Prompt(torch.zeros(2, vocab, dtype=torch.long), mask, None, 1)
    for seed, place in enumerate(places):
        settings = SamplingSettings(audio_eos_id=eos)
        batch.join(prompt, settings, frames=place + most - len(prompt.tokens), seed=seed)
    batch.step()
    synchronise(device)
    begun = time.perf_counter() - start
    with torch.inference_mode():
        batch.cache.keys.normal_()
        batch.cache.values.normal_()
        rows = torch.tensor(places, dtype=torch.int32).repeat_interleave(2)
        batch.state.position[: 2 * songs] = rows.to(device)
    mean, median = _steps(batch, steps)
    took = median if device.type == "cuda" else mean
    read = 2 * (sum(places) + songs * steps / 2) * cache_a_position(model)
    return {
        "songs": songs,
        "step_ms": 1e3 * median,
        "mean_step_ms": 1e3 * mean,
        "times_real": songs * FRAME_MS / 1e3 / took,
        "start_s": begun,
        **traffic(batch.weights.bytes_a_frame + read, took, ceiling),
    }


def _steps(batch: SongBatch, steps: int) -> tuple[float, float]:
    """Seconds of a frame: the mean by the clock on the wall, and the median, by the device's own clock where it has one."""
    device = batch.model.device
    for _ in range(WARM - 1):
        batch.step()
    synchronise(device)
    start, times, events = time.perf_counter(), [], []
    for _ in range(steps):
        before = time.perf_counter()
        if device.type == "cuda":
            pair = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
            pair[0].record()
            batch.step()
            pair[1].record()
            events.append(pair)
        else:
            batch.step()
            times.append(time.perf_counter() - before)
    synchronise(device)
    mean = (time.perf_counter() - start) / steps
    times += [begin.elapsed_time(end) / 1e3 for begin, end in events]
    return mean, statistics.median(times)


def engine(
    model: HeartMuLa,
    prompt: Prompt,
    eos: int,
    operations: Operations,
    *,
    songs: int,
    frames: int,
    graphs: bool = True,
) -> Figures:
    """S songs handed in to the engine at once, and whether the first, one in the middle and the last are as if handed in alone."""
    pages = songs * 2 * count_pages(len(prompt.tokens) + frames)
    room = pages * page_bytes(model.config.backbone, model.dtype)
    start = time.perf_counter()
    with Engine(
        model,
        audio_eos_id=eos,
        songs=songs,
        cache_bytes=room,
        operations=operations,
        graphs=graphs,
    ) as served:
        served.warm_up(songs)
        synchronise(model.device)
        warm = time.perf_counter()
        handles = [served.submit(prompt, max_frames=frames, seed=seed) for seed in range(songs)]
        made = [handle.result(240) for handle in handles]
        done = time.perf_counter()
        same, chosen = 0, sorted({0, songs // 2, songs - 1})
        for seed in chosen:
            alone = served.submit(prompt, max_frames=frames, seed=seed).result(240)
            same += torch.equal(alone, made[seed])
    sung = sum(codes.shape[1] for codes in made) * FRAME_MS / 1e3
    return {
        "songs": songs,
        "song_s": frames * FRAME_MS / 1e3,
        "start_s": warm - start,
        "all_sung_s": done - warm,
        "times_real": sung / (done - warm),
        "as_if_alone": "yes" if same == len(chosen) else f"no: {same} of {len(chosen)}",
    }
