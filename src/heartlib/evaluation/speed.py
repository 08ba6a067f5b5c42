"""How fast a model sings, decodes and streams: measurements of one song, each a dictionary of figures.

A figure's name ends with its unit: ms, s, gb, gb_s, db, share (of one); without, it is a number or a text. Seconds are
those of the clock on the wall, with the device's work done.

Legend: K codebooks, T frames of 80 ms, R rows (2 with guidance), W windows of the codec.
"""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from heartlib.heartcodec import HeartCodec
from heartlib.heartcodec.modeling_heartcodec import WINDOW_LATENTS, count_windows
from heartlib.heartmula import HeartMuLa, Prompt, generate_frames
from heartlib.heartmula.configuration_heartmula import FRAME_MS

if TYPE_CHECKING:
    from heartlib.pipelines.music_generation import HeartMuLaGenPipeline

Figures = dict[str, float | int | str | bool]
COPIED = 2**32  # bytes on a GPU
SEED = 1


def synchronise(device: torch.device) -> None:
    """Waits until a GPU has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """That a call takes, with the device's work."""
    synchronise(device)
    start = time.perf_counter()
    run()
    synchronise(device)
    return time.perf_counter() - start


def copy_bandwidth(device: torch.device) -> float:
    """Bytes read and written a second by a large copy: the median of seven."""
    count = 2**28
    if device.type == "cuda":
        count = min(COPIED, torch.cuda.mem_get_info(device)[0] // 4)
    source = torch.ones(count // 4, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    times = [seconds(lambda: target.copy_(source), device) for _ in range(7)]
    return 2 * source.nbytes / statistics.median(times)


def machine(device: torch.device) -> Figures:
    """What is measured on; copy_gb_s is the ceiling for a model that reads its weights once a frame.

    kernels_on_disk: whether Triton's cache has any from earlier processes, which need not be compiled then.
    """
    try:
        triton = version("triton")
    except PackageNotFoundError:
        triton = "none"
    name = platform.processor() or platform.machine()
    found: Figures = {"device": name, "threads": torch.get_num_threads()}
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        found = {
            "device": torch.cuda.get_device_name(device),
            "cuda": str(torch.version.cuda or torch.version.hip),
            "total_gb": total / 1e9,
            "free_gb": free / 1e9,
            "kernels_on_disk": _kernels_on_disk(),
        }
    versions = {"torch": torch.__version__, "triton": triton, "python": platform.python_version()}
    return {**found, **versions, "copy_gb_s": copy_bandwidth(device) / 1e9}


def _kernels_on_disk() -> bool:
    folder = Path(os.environ.get("TRITON_CACHE_DIR", "~/.triton/cache")).expanduser()
    return folder.is_dir() and any(folder.iterdir())


def ready(
    model: HeartMuLa, make_ready: Callable[[HeartMuLa], None], positions: int, eos: int
) -> Figures:
    """From built weights to the moment when the first frame can be made, for a song of so many positions.

    make_ready gives the model its frame loop. The first time kernels are compiled, where none are in Triton's cache on the disk.
    """

    def prepare() -> None:
        model.frame_loop = None
        make_ready(model)
        assert model.frame_loop is not None
        model.frame_loop.prepare(positions, eos - 1)

    first = seconds(prepare, model.device)
    return {"first_time_s": first, "again_s": seconds(prepare, model.device)}


def weights_a_frame(model: HeartMuLa) -> int:
    """Bytes of weights that one frame must read: the backbone, the depth decoder and a head for every codebook."""
    if model.frame_loop is not None:
        return model.frame_loop.weights.bytes_a_frame
    sizes = {name: tensor.nbytes for name, tensor in model.state_dict().items()}
    steps = model.config.audio_num_codebooks - 1
    backbone = sum(size for name, size in sizes.items() if name.startswith("backbone."))
    depth = sum(size for name, size in sizes.items() if name.startswith("decoder."))
    heads = sizes["codebook0_head.weight"] + sizes["audio_head"]
    return backbone + heads + steps * (depth + sizes["projection.weight"])


def cache_a_position(model: HeartMuLa) -> int:
    """Bytes of keys and values of one position of one row."""
    return model.config.backbone.cached_numbers * model.dtype.itemsize


def traffic(read: float, took: float, ceiling: float | None) -> Figures:
    """Of `read` bytes in `took` seconds; ceiling: bytes a second of a copy."""
    found: Figures = {"read_a_frame_gb": read / 1e9, "speed_gb_s": read / took / 1e9}
    return found if not ceiling else found | {"of_ceiling_share": read / took / ceiling}


def sing(
    model: HeartMuLa, prompt: Prompt, frames: int, eos: int, ceiling: float | None = None
) -> Figures:
    """The frame loop as a song goes through it, codes read back: cfg_scale 1.5, topk 50.

    The first frame, which reads the prompt, counts for times_real and first_frame_s alone.
    """
    times, last = [], time.perf_counter()
    for _ in generate_frames(model, prompt, max_frames=frames, seed=SEED, audio_eos_id=eos):
        now = time.perf_counter()
        times.append(now - last)
        last = now
    synchronise(model.device)
    later = times[1:] or times
    mean = statistics.mean(later)
    positions = 2 * (len(prompt.tokens) + len(times) / 2)
    read = weights_a_frame(model) + positions * cache_a_position(model)
    return {
        "frames": len(times),
        "mean_frame_ms": 1e3 * mean,
        "median_frame_ms": 1e3 * statistics.median(later),
        "first_frame_s": times[0],
        "rtf": sum(times) / (len(times) * FRAME_MS / 1e3),
        "times_real": len(times) * FRAME_MS / 1e3 / sum(times),
        **traffic(read, mean, ceiling),
    }


def sing_plainly(model: HeartMuLa, prompt: Prompt, frames: int, eos: int) -> Figures:
    """`sing` by the modules themselves, without the frame loop of kernels."""
    loop, model.frame_loop = model.frame_loop, None
    try:
        found = sing(model, prompt, frames, eos)
    finally:
        model.frame_loop = loop
    return {"plain_frame_ms": found["mean_frame_ms"], "plain_frames": found["frames"]}


def decode(codec: HeartCodec, frames: int, *, noise: float, repeats: int) -> Figures:
    """A song of random codes to sound; warm_s: the median of `repeats`.

    Where the codec prepares itself: for how long, and how long its first two windows take, whose kernels are compiled and
    recorded then. noise: the deviation of what the flow starts from.
    """
    song = random_song(codec, frames, noise)
    dtype = str(codec.flow_matching.estimator.dtype).removeprefix("torch.")
    found: Figures = {"song_s": frames * FRAME_MS / 1e3, "dtype": dtype}
    prepare = seconds(codec.decoder, codec.device)
    if codec.decoder() is not None:
        found["prepare_s"] = prepare
        found["first_windows_s"] = seconds(lambda: decoded(codec, song, 2), codec.device)
    whole = [seconds(lambda: decoded(codec, song), codec.device) for _ in range(repeats)]
    took = statistics.median(whole)
    return {**found, "warm_s": took, "times_real": frames * FRAME_MS / 1e3 / took}


def random_song(codec: HeartCodec, frames: int, noise: float) -> tuple[Tensor, Tensor]:
    """Codes [K, T] and the noise [W, 744, 256] of their windows."""
    config, generator = codec.config, torch.Generator().manual_seed(SEED)
    shape = (config.num_quantizers, frames)
    codes = torch.randint(0, config.codebook_size, shape, generator=generator)
    shape = (count_windows(frames), WINDOW_LATENTS, config.out_channels)
    return codes, noise * torch.randn(shape, generator=generator)


def decoded(codec: HeartCodec, song: tuple[Tensor, Tensor], windows: int | None = None) -> Tensor:
    """The sound [2, n] of a song's first windows, of all for None."""
    codes, noise = song
    if windows is not None and windows < len(noise):
        codes, noise = codes[:, : 320 * windows + 52], noise[:windows]
    return codec.detokenize(codes, noise=noise)


def codec_agreement(codec: HeartCodec, exact: HeartCodec, frames: int, noise: float) -> Figures:
    """How far the sound of two windows stands above its difference from that of `exact`, a float32 codec.

    exact decodes by its modules, without the kernels.
    """
    song = random_song(codec, frames, noise)
    made = decoded(codec, song, 2).double()
    exact.by_modules = True
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        expected = decoded(exact, song, 2).double()
    error = (made - expected).square().sum().clamp_min(1e-30)
    return {"agreement_db": min(10 * (expected.square().sum() / error).log10().item(), 300.0)}


def whole_song(
    pipe: HeartMuLaGenPipeline, text: tuple[str, str], frames: int, device: torch.device
) -> Figures:
    """Lyrics and tags to a FLAC file in a folder that is deleted: seconds, and the memory it took at most."""
    lyrics, tags = text
    length = frames * FRAME_MS
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    with tempfile.TemporaryDirectory() as folder:
        synchronise(device)
        start = time.perf_counter()
        song = pipe.generate(lyrics, tags, max_audio_length_ms=length, seed=SEED)
        made = time.perf_counter()
        song.save(Path(folder) / "song.flac")
        written = time.perf_counter()
    found: Figures = {"song_s": song.duration, "to_file_s": written - start}
    found |= {f"{stage}_s": took for stage, took in song.timings.items()}
    found |= {"writing_s": written - made, "times_real": song.duration / (written - start)}
    if device.type == "cuda":
        found["peak_allocated_gb"] = torch.cuda.max_memory_allocated(device) / 1e9
        found["peak_reserved_gb"] = torch.cuda.max_memory_reserved(device) / 1e9
    return found


def listen(pieces: Iterable[Tensor], sample_rate: int, start: float, until: float) -> Figures:
    """Pieces [2, n] of a stream that was asked for at `start` (`time.perf_counter`), the first `until` seconds of sound.

    least_lead_s: how long before it is due the latest piece came, for who listens from the first on; negative where there
    was silence.
    """
    first, heard, leads = 0.0, 0.0, []
    for piece in pieces:
        now = time.perf_counter() - start
        if not heard:
            first = now
        else:
            leads.append(first + heard - now)
        heard += piece.shape[1] / sample_rate
        if heard >= until:
            break
    found: Figures = {"first_audio_s": first, "heard_s": heard, "pieces": len(leads) + 1}
    if leads:
        found |= {"least_lead_s": min(leads), "keeps_ahead": min(leads) >= 0}
    return found


def stream(
    pipe: HeartMuLaGenPipeline, text: tuple[str, str], frames: int, until: float, *, warm: bool
) -> Figures:
    """A song heard while it is sung; `warm`: another was begun before."""
    lyrics, tags = text
    length = frames * FRAME_MS
    if warm:
        with pipe.stream(lyrics, tags, max_audio_length_ms=length, seed=SEED) as pieces:
            next(pieces)
    start = time.perf_counter()
    with pipe.stream(lyrics, tags, max_audio_length_ms=length, seed=SEED) as pieces:
        return listen(pieces, pieces.sample_rate, start, until)
