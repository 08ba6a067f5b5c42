"""How fast the full-size codec decodes on a GPU, and how near its sound stays to float32: a table and one JSON line.

    PYTHONPATH=src python benchmarks/codec.py            # a CUDA device; about a minute
    PYTHONPATH=src python benchmarks/codec.py --small    # a tiny codec on the CPU: that everything runs

Weights are random, of the published shapes, scaled so that latents spread as real ones do: their rounding to 1/9
then costs what it costs there. Every variant decodes the same song from the same noise; its agreement is how far the
float32 sound, or latents, stand above the difference.
"""

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from heartlib.evaluation.random_weights import SPREAD, random_codec
from heartlib.heartcodec import HeartCodec, HeartCodecConfig
from heartlib.heartcodec.modeling_heartcodec import (
    OVERLAP_LATENTS,
    WINDOW_FRAMES,
    WINDOW_LATENTS,
    count_windows,
    split_channels,
)
from heartlib.heartcodec.models.fused_sq_decoder import FusedDecoder
from heartlib.heartcodec.models.sq_codec import round_latents
from heartlib.heartcodec.precision import Precision, dtype_of_parts
from heartlib.heartcodec.window_decoder import WindowDecoder

BF16, F16, F32 = torch.bfloat16, torch.float16, torch.float32
SMALL = HeartCodecConfig(
    dim=32,
    codebook_size=32,
    codebook_dim=8,
    attention_head_dim=8,
    in_channels=544,
    num_attention_heads=2,
    num_layers=2,
    num_layers_2=1,
    init_channel=2,
    num_steps=2,
)


class Clock:
    """Seconds on a device."""

    def __init__(self, device: torch.device):
        self.device = device

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def once(self, run: Callable[[], object]) -> float:
        self.wait()
        start = time.perf_counter()
        run()
        self.wait()
        return time.perf_counter() - start

    def median(self, run: Callable[[], object], repeats: int = 5, warm: int = 1) -> float:
        for _ in range(warm):
            run()
        return statistics.median(self.once(run) for _ in range(repeats))


def agreement(made: Tensor, expected: Tensor) -> float:
    made, expected = made.double(), expected.double()
    error = (made - expected).square().sum().clamp_min(1e-30)
    return min(10 * torch.log10(expected.square().sum() / error).item(), 300.0)


@torch.no_grad()
def copied(codec: HeartCodec, dtype: torch.dtype) -> HeartCodec:
    """A codec of the same weights, as `HeartCodec.from_pretrained` loads them in `dtype`."""
    made, dtype_of = copy.deepcopy(codec), dtype_of_parts(dtype)
    for name, parameter in made.named_parameters():
        parameter.data = parameter.data.to(dtype_of(name))
    return made


class Song:
    """What is decoded: codes, the noise of each window, and the float32 sound and latents."""

    def __init__(self, config: HeartCodecConfig, frames: int, device: torch.device):
        generator = torch.Generator().manual_seed(1)
        shape = (config.num_quantizers, frames)
        self.codes = torch.randint(0, config.codebook_size, shape, generator=generator)
        self.windows, self.device = count_windows(frames), device
        shape = (self.windows, WINDOW_LATENTS, config.out_channels)
        self.noise = SPREAD * torch.randn(shape, generator=generator)
        self.wave = self.latents = torch.zeros(0)

    def decode(self, codec: HeartCodec) -> Tensor:
        return codec.detokenize(self.codes, noise=self.noise)

    @torch.inference_mode()
    def decode_plainly(self, codec: HeartCodec) -> tuple[Tensor, list[Tensor]]:
        """Sound and latents by the modules themselves, without `HeartCodec`'s faster ways."""
        codec = copy.copy(codec)
        codec.by_modules = True
        return self.heard(codec)

    def heard(self, codec: HeartCodec) -> tuple[Tensor, list[Tensor]]:
        kept, sound = [], type(codec).sound

        def listen(latents: Tensor) -> Tensor:
            kept.append(latents.clone())
            return sound(codec, latents)

        codec.sound = listen  # type: ignore[method-assign]
        try:
            return self.decode(codec), kept
        finally:
            del codec.sound

    def agreements(self, codec: HeartCodec) -> tuple[float, float]:
        wave, latents = self.heard(codec)
        return agreement(wave, self.wave), agreement(torch.cat(latents), self.latents)


@torch.inference_mode()
def scalar_decoders(codec: HeartCodec, song: Song, clock: Clock) -> list[dict]:
    """Seconds and agreement of the scalar decoder's ways, one window."""
    scalar, device = codec.scalar_model, clock.device
    rows = split_channels(song.latents[:1]).contiguous()
    rounded = round_latents(rows)
    beside = rounded.transpose(1, 2).contiguous()
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        expected = scalar.decode(rows)
    half = copy.deepcopy(scalar.decoder).half()

    def modules(tf32: bool) -> Tensor:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=tf32):
            return scalar.decode(rows)

    fused = FusedDecoder(scalar.decoder, torch.float16)
    ways: list[tuple[str, Callable[[], Tensor]]] = [
        ("modules float32", lambda: modules(False)),
        ("modules tf32", lambda: modules(True)),
        ("modules float16", lambda: half(rounded.half()).float()),
        ("kernels float16", lambda: fused(beside)),
    ]
    found: list[dict] = []
    for name, run in ways:
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        held = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
        row = {"way": name, "db": agreement(run(), expected), "ms": 1e3 * clock.median(run)}
        if device.type == "cuda":
            row |= {"peak_mib": (torch.cuda.max_memory_allocated(device) - held) / 2**20}
        found.append(row)
    return found


def start_up(codec: HeartCodec, song: Song, clock: Clock) -> dict[str, float]:
    """Seconds until the first window is there, in a fresh process and with kernels compiled; and GiB on a GPU."""
    window, cuda = song.codes[:, :WINDOW_FRAMES], clock.device.type == "cuda"
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(clock.device)
    held = torch.cuda.memory_allocated(clock.device) if cuda else 0
    found = {
        "prepare_s": clock.once(codec.decoder),
        "first_window_s": clock.once(lambda: codec.detokenize(window)),
    }
    codec.forget()
    found |= {
        "prepare_again_s": clock.once(codec.decoder),
        "first_window_again_s": clock.once(lambda: codec.detokenize(window)),
    }
    if cuda:
        weights = sum(tensor.nbytes for tensor in [*codec.parameters(), *codec.buffers()])
        found |= {
            "weights_gib": weights / 2**30,
            "peak_above_gib": (torch.cuda.max_memory_allocated(clock.device) - held) / 2**30,
        }
    return found


def parts_of_a_window(codec: HeartCodec, song: Song, clock: Clock) -> dict[str, float]:
    """Milliseconds of a window's sampling and of its sound."""
    decoder, config = codec.decoder(), codec.config
    assert decoder is not None
    repeated = torch.arange(WINDOW_FRAMES) % song.codes.shape[1]
    codes = song.codes[None, :, repeated].to(clock.device)
    noise, latents = song.noise[:1].to(clock.device), song.latents[:1].clone()
    context = [latents[0, -OVERLAP_LATENTS:]]
    settings = {
        "num_steps": config.num_steps,
        "guidance_scale": config.guidance_scale,
        "guidance_from": config.guidance_from,
    }
    return {
        "sample_ms": 1e3 * clock.median(lambda: decoder.latents(codes, noise, context, **settings)),
        "sound_ms": 1e3 * clock.median(lambda: decoder.sound(latents)),
    }


def four_songs(codec: HeartCodec, clock: Clock, frames: int) -> dict[str, float]:
    """Seconds of four songs side by side, and of the first of them alone."""
    generator = torch.Generator().manual_seed(2)
    shape = (codec.config.num_quantizers, frames)
    songs = [
        torch.randint(0, codec.config.codebook_size, shape, generator=generator) for _ in range(4)
    ]
    together = codec.detokenize_songs(songs, seeds=[0, 1, 2, 3])
    alone = codec.detokenize(songs[0], seed=0)
    return {
        "four_songs_s": clock.median(
            lambda: codec.detokenize_songs(songs, seeds=[0, 1, 2, 3]), 2, 0
        ),
        "one_of_them_s": clock.median(lambda: codec.detokenize(songs[0], seed=0), 2, 0),
        "batched_alone_db": agreement(together[0], alone),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="a tiny codec on the CPU")
    parser.add_argument("--seconds", type=float, help="of the song; 240 on a GPU")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    small = options.small
    device = torch.device("cpu" if small else "cuda")
    config = SMALL if small else HeartCodecConfig()
    frames = round(12.5 * (options.seconds or (31 if small else 240)))
    clock = Clock(device)
    codec, song = random_codec(config, device), Song(config, frames, device)
    result: dict = {
        "device": "cpu" if small else torch.cuda.get_device_name(device),
        "torch": torch.__version__,
        "song_s": frames / 12.5,
    }

    # The default first, alone with its weights: its start-up compiles kernels where none are cached.
    usual = copied(codec, torch.bfloat16)
    result |= start_up(usual, song, clock)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        begin = time.perf_counter()
        song.wave, latents = song.decode_plainly(codec)
        result["float32_s"] = time.perf_counter() - begin
    song.latents = torch.cat(latents)
    result["latents_std"] = song.latents.std().item()

    variants: list[dict] = []

    def measure(name: str, made: HeartCodec) -> None:
        row = {"variant": name, "first_s": clock.once(lambda: song.decode(made))}
        row["s"] = clock.median(lambda: song.decode(made), options.repeats, 0)
        row["wave_db"], row["latents_db"] = song.agreements(made)
        variants.append(row)
        print(row, flush=True)

    measure("default: bfloat16", usual)
    result |= parts_of_a_window(usual, song, clock)
    result |= four_songs(usual, clock, 30 if small else 692)
    usual._decoder = WindowDecoder(
        usual.flow_matching,
        usual.scalar_model,
        Precision.beside(torch.bfloat16, device),
        whole=WINDOW_LATENTS,
        graphed=False,
    )
    measure("without graphs", usual)
    measure("float16", copied(codec, torch.float16))
    scalar = scalar_decoders(codec, song, clock)

    print()
    for name, value in result.items():
        print(f"{name:22} {value:.3f}" if isinstance(value, float) else f"{name:22} {value}")
    print(f"\n{'variant':28} {'s':>8} {'first s':>8} {'sound dB':>9} {'latents dB':>11}")
    for row in variants:
        print(
            f"{row['variant']:28} {row['s']:8.3f} {row['first_s']:8.2f} {row['wave_db']:9.1f} "
            f"{row['latents_db']:11.1f}"
        )
    print(f"\n{'scalar decoder, one window':28} {'ms':>8} {'dB':>8} {'MiB':>9}")
    for row in scalar:
        print(f"{row['way']:28} {row['ms']:8.2f} {row['db']:8.1f} {row.get('peak_mib', 0.0):9.0f}")
    print(json.dumps(result | {"variants": variants, "scalar": scalar}))


if __name__ == "__main__":
    main()
