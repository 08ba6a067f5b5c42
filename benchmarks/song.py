"""How fast a model sings and decodes here: milliseconds a frame, seconds a window, memory, one JSON line.

    python benchmarks/song.py                          # nano on the CPU
    python benchmarks/song.py --model ./ckpt --version 3B --device cuda --dtype bfloat16

A frame must read every weight of the backbone once and of the depth decoder once a codebook. The share of the
ceiling compares the bytes a second that makes with a large copy timed in the same run; a small model that stays
in the cache can exceed it.
"""

import argparse
import json
import resource
import statistics
import time

import torch

from heartlib import checkpoints
from heartlib.evaluation.speed import copy_bandwidth, weights_a_frame
from heartlib.heartcodec import HeartCodec
from heartlib.heartcodec.modeling_heartcodec import WINDOW_FRAMES
from heartlib.heartmula import GenConfig, HeartMuLa, build_prompt, generate_frames

LYRICS = "[Verse]\nthe river sings a song to me\nand every star is shining free"
TAGS = "pop,female,piano"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="nano", help="a checkpoint folder or nano")
    parser.add_argument("--version")
    parser.add_argument("--device", default="cpu", type=torch.device)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--frames", type=int, default=375, help="30 s")
    parser.add_argument("--cfg-scale", type=float, default=1.5)
    parser.add_argument("--threads", type=int, default=1, help="for the language model on a CPU")
    options = parser.parse_args()
    device, dtype = options.device, getattr(torch, options.dtype)
    paths = checkpoints.find(options.model, options.version)

    from tokenizers import Tokenizer

    model = HeartMuLa.from_pretrained(paths.mula, device, dtype)
    codec = HeartCodec.from_pretrained(paths.codec, device)
    gen_config = checkpoints.read_config(paths.root, GenConfig, "gen_config.json")
    tokenizer = Tokenizer.from_file(str(paths.tokenizer))
    prompt = build_prompt(tokenizer, LYRICS, TAGS, config=model.config, gen_config=gen_config)

    cores = torch.get_num_threads()
    torch.set_num_threads(options.threads if device.type == "cpu" else cores)
    frames, times, last = [], [], time.perf_counter()
    for frame in generate_frames(
        model,
        prompt,
        max_frames=options.frames,
        cfg_scale=options.cfg_scale,
        audio_eos_id=gen_config.audio_eos_id,
    ):
        frames.append(frame.cpu())
        now = time.perf_counter()
        times.append(now - last)
        last = now
    torch.set_num_threads(cores)
    codes = torch.stack(frames, 1)
    window = codes.repeat(1, -(-WINDOW_FRAMES // codes.shape[1]))[:, :WINDOW_FRAMES]
    decoding = []
    for _ in range(3):
        start = time.perf_counter()
        codec.detokenize(window)
        decoding.append(time.perf_counter() - start)

    frame_s, window_s = statistics.median(times[1:]), statistics.median(decoding)
    speed = weights_a_frame(model) / frame_s
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device)
    ceiling = copy_bandwidth(device)  # after the peak, which it would raise
    seconds = 0.08 * WINDOW_FRAMES
    times_real = seconds / (window_s + frame_s * WINDOW_FRAMES)
    spread = statistics.quantiles(times[1:], n=10)
    print(f"{paths.name} on {device}, {len(times)} frames, cfg_scale {options.cfg_scale}")
    print(
        f"a frame   {1e3 * frame_s:.2f} ms (10 % … 90 %: {1e3 * spread[0]:.2f} … {1e3 * spread[-1]:.2f})"
    )
    print(
        f"          {speed / 1e9:.1f} GB/s, {speed / ceiling:.0%} of a copy's {ceiling / 1e9:.1f} GB/s"
    )
    print(
        f"a window  {window_s:.2f} s of {seconds:.2f} s ({min(decoding):.2f} … {max(decoding):.2f})"
    )
    print(f"together  {times_real:.1f} × real time; at most {peak / 1e9:.2f} GB")
    figures = {
        "model": paths.name,
        "device": str(device),
        "ms_a_frame": round(1e3 * frame_s, 3),
        "gb_a_second": round(speed / 1e9, 2),
        "share_of_copy": round(speed / ceiling, 3),
        "s_a_window": round(window_s, 3),
        "times_real": round(times_real, 2),
        "peak_gb": round(peak / 1e9, 3),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
