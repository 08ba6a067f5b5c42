"""`heartlib doctor`: what this machine has, what will run on it, and how fast."""

import argparse
import os
import platform
from typing import Any

from heartlib.errors import HeartlibError

LYRICS = "[Verse]\nThe morning light is on the sea\nThe river sings a song to me\n"
MEASURED_MS = 2000
WINDOW_SECONDS = 29.76
WIDTH = 14


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "doctor",
        help="what this machine has, what will run and how fast",
        description="Show versions, devices, memory and checkpoints, then sing two seconds to "
        "measure the speed. Exit status 1 where the first model cannot run.",
        epilog="examples:\n"
        "  heartlib doctor                  # the machine and the model that comes with heartlib\n"
        "  heartlib doctor ./ckpt           # a downloaded checkpoint too\n"
        "  heartlib doctor --quick          # without the measurement\n"
        "  heartlib doctor --tags           # the tags that the models know, and nothing else",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "models", metavar="MODEL", nargs="*", help="folders or hub ids to look at besides nano"
    )
    parser.add_argument("--quick", action="store_true", help="do not sing")
    parser.add_argument("--tags", action="store_true", help="list the tags that the models know")


def main(args: argparse.Namespace) -> int:
    """Print the findings; 1 where the embedded model or one that was named cannot run."""
    models = ["nano", *args.models]
    if args.tags:
        return _show_tags(models)
    _show_machine()
    problems = sum(_show_model(model) for model in models)
    if not args.quick and not problems:
        _measure()
    return 1 if problems else 0


def _line(name: str, text: object) -> None:
    print(f"{name:<{WIDTH}}{text}")


def _show_tags(models: list[str]) -> int:
    from heartlib import checkpoints
    from heartlib.pipelines.inputs import known_tags

    for model in models:
        known = known_tags(checkpoints.find(model).root)
        _line(model, "any tag" if not known else "")
        for kind, tags in known.items():
            _line(f"  {kind}", ", ".join(tags))
    return 0


def _show_machine() -> None:
    import numpy
    import soundfile
    import torch

    import heartlib
    from heartlib.pipelines.placement import devices, free_bytes

    free = free_bytes(torch.device("cpu"))
    _line("heartlib", heartlib.__version__)
    _line("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    _line("torch", torch.__version__)
    _line("numpy", numpy.__version__)
    _line("libsndfile", soundfile.__libsndfile_version__)
    _line("cores", f"{os.cpu_count()}, torch uses {torch.get_num_threads()}")
    _line("memory", "unknown" if free is None else f"{free / 1e9:.1f} GB free")
    for name in devices():
        text = name
        if name.startswith("cuda"):
            free, total = torch.cuda.mem_get_info(name)
            text += f": {torch.cuda.get_device_name(name)}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free"
        _line("device", text)


def _show_model(model: str) -> int:
    """One line on a checkpoint; 1 where it is missing, damaged or too large."""
    from heartlib import checkpoints
    from heartlib.pipelines.placement import Placement, check_fits, weights_bytes

    try:
        paths = checkpoints.find(model)
        place = Placement.resolve()
        parts = (
            (paths.name, paths.mula, place.mula_device, place.mula_dtype),
            ("HeartCodec", paths.codec, place.codec_device, place.codec_dtype),
        )
        sizes = [weights_bytes(folder, dtype) for _, folder, _, dtype in parts]
        for (name, _, device, dtype), size in zip(parts, sizes, strict=True):
            check_fits(name, size, device, dtype)
        digest = checkpoints.weights_hash(paths.mula, paths.codec)
    except HeartlibError as error:
        _line("model", f"{model}: will not run: {error}")
        return 1
    total = sum(sizes)
    _line(
        "model",
        f"{model}: {paths.name} {digest}, {total / 1e6:,.0f} MB of weights in memory, "
        f"will run on {place.mula_device}",
    )
    return 0


def _measure() -> None:
    """Sing two seconds; the codec decodes windows of 29.76 s, so a song of one window is told."""
    from heartlib.pipelines.inputs import known_tags
    from heartlib.pipelines.music_generation import HeartMuLaGenPipeline

    pipe = HeartMuLaGenPipeline.from_pretrained("nano")
    known = known_tags(pipe.paths.root)
    tags = ",".join(group[0] for group in list(known.values())[:3] if group) or "pop"
    pipe.generate(LYRICS, tags, max_audio_length_ms=400, seed=1)  # first calls are slower
    song = pipe.generate(LYRICS, tags, max_audio_length_ms=MEASURED_MS, seed=1)
    singing = song.timings["singing"] * WINDOW_SECONDS / song.duration
    speed = WINDOW_SECONDS / (singing + song.timings["decoding"])
    _line(
        "speed",
        f"nano sings {speed:.1f} x faster than real time here ({WINDOW_SECONDS:.0f} s of song: "
        f"singing {singing:.1f} s, decoding {song.timings['decoding']:.1f} s)",
    )
