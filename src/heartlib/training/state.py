"""A training run on disk: modules, optimisers, random streams and counters, for an exact resume.

A state is a folder: `state.json` (what there is) and `shard-NNNNN.safetensors` of at most 15 MiB.
It is written beside its final place and renamed; the state before it stays until then.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from heartlib.errors import CheckpointError

SHARD_BYTES = 15 * 2**20


def save_state(
    folder: str | Path,
    *,
    step: int,
    modules: dict[str, nn.Module],
    optimizers: dict[str, Optimizer],
    extra: dict[str, Any] | None = None,
) -> None:
    """Write everything needed to go on from `step`; `extra` is what JSON can hold."""
    folder = Path(folder)
    tensors = dict(random_streams())
    for name, module in modules.items():
        tensors |= {f"module/{name}/{key}": value for key, value in module.state_dict().items()}
    groups: dict[str, Any] = {}
    plain: dict[str, Any] = {}
    for name, optimizer in optimizers.items():
        state = optimizer.state_dict()
        groups[name] = [
            {k: v.item() if isinstance(v, Tensor) else v for k, v in group.items()}
            for group in state["param_groups"]
        ]
        for index, values in state["state"].items():
            for key, value in values.items():
                place = f"optimizer/{name}/{index}/{key}"
                (tensors if isinstance(value, Tensor) else plain)[place] = value
    fresh, previous = beside(folder, "writing"), beside(folder, "previous")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(parents=True)
        index = write_shards(fresh, tensors)
        state = {"step": step, "extra": extra or {}, "groups": groups, "plain": plain}
        (fresh / "state.json").write_text(json.dumps(state | {"tensors": index}))
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)  # a full disk needs the room
        raise
    if folder.exists():
        shutil.rmtree(previous, ignore_errors=True)
        folder.rename(previous)
    fresh.rename(folder)
    shutil.rmtree(previous, ignore_errors=True)


def load_state(
    folder: str | Path, modules: dict[str, nn.Module], optimizers: dict[str, Optimizer]
) -> tuple[int, dict[str, Any]]:
    """Put a saved run back into `modules` and `optimizers`, and the random streams; (step, extra).

    CheckpointError when there is no state, or one that is damaged or of other modules.
    """
    folder, state = read_state(folder)
    try:
        tensors = read_shards(folder, state["tensors"])
        for name, module in modules.items():
            module.load_state_dict(below(tensors, f"module/{name}/"), strict=True)
        for name, optimizer in optimizers.items():
            values = below(tensors | state["plain"], f"optimizer/{name}/")
            restore_optimizer(optimizer, state["groups"][name], values)
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        first = str(error).strip().splitlines()[-1]
        raise CheckpointError(f"the training state in {folder} cannot be used: {first}") from error
    restore_random_streams(tensors)
    return state["step"], state["extra"]


def read_state(folder: str | Path) -> tuple[Path, dict[str, Any]]:
    """Where the state is, and its state.json."""
    folder = Path(folder)
    if not has_state(folder):
        raise CheckpointError(f"no training state in {folder}: start without resuming")
    if not (folder / "state.json").exists():
        folder = beside(folder, "previous")  # the run was stopped between two renames
    try:
        return folder, json.loads((folder / "state.json").read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"the training state in {folder} cannot be used: {error}") from error


def read_extra(folder: str | Path) -> dict[str, Any]:
    """What was saved as `extra`, without the tensors."""
    return read_state(folder)[1].get("extra", {})


def has_state(folder: str | Path) -> bool:
    """Whether `load_state` would find a state there."""
    folder = Path(folder)
    return any((f / "state.json").exists() for f in (folder, beside(folder, "previous")))


def beside(folder: Path, suffix: str) -> Path:
    return folder.with_name(f"{folder.name}.{suffix}")


def below(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}


def restore_optimizer(
    optimizer: Optimizer, groups: list[dict[str, Any]], values: dict[str, Any]
) -> None:
    state: dict[int, dict[str, Any]] = {}
    for place, value in values.items():
        index, key = place.split("/", 1)
        state.setdefault(int(index), {})[key] = value
    for group, current in zip(groups, optimizer.param_groups, strict=True):
        for key, value in current.items():
            if isinstance(value, Tensor):  # a learning rate that a compiled step reads
                group[key] = torch.tensor(group[key], dtype=value.dtype, device=value.device)
            elif isinstance(value, tuple):
                group[key] = tuple(group[key])
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def random_streams() -> Iterator[tuple[str, Tensor]]:
    yield "random/cpu", torch.get_rng_state()
    if torch.cuda.is_available():
        for device, state in enumerate(torch.cuda.get_rng_state_all()):
            yield f"random/cuda/{device}", state


def restore_random_streams(tensors: dict[str, Tensor]) -> None:
    torch.set_rng_state(tensors["random/cpu"])
    if torch.cuda.is_available():
        for device in range(torch.cuda.device_count()):
            if f"random/cuda/{device}" in tensors:
                torch.cuda.set_rng_state(tensors[f"random/cuda/{device}"], device)


def write_shards(folder: Path, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Write the tensors, long ones in flat pieces; returns name -> shape and [shard, key] pieces."""
    index: dict[str, Any] = {}
    shard: dict[str, Tensor] = {}
    number, held = 0, 0
    for name, tensor in tensors.items():
        flat = tensor.detach().to("cpu", copy=True).contiguous().flatten()
        pieces = []
        for piece in flat.split(SHARD_BYTES // flat.element_size()) if flat.numel() else [flat]:
            size = piece.numel() * piece.element_size()
            if held + size > SHARD_BYTES:
                save_file(shard, folder / shard_name(number))
                shard, number, held = {}, number + 1, 0
            key = f"{name}#{len(pieces)}"
            shard[key] = piece.clone()
            pieces.append([number, key])
            held += size
        index[name] = {"shape": list(tensor.shape), "pieces": pieces}
    save_file(shard, folder / shard_name(number))
    return index


def read_shards(folder: Path, index: dict[str, Any]) -> dict[str, Tensor]:
    shards: dict[int, dict[str, Tensor]] = {}
    tensors = {}
    for name, entry in index.items():
        pieces = []
        for number, key in entry["pieces"]:
            if number not in shards:
                shards[number] = load_file(folder / shard_name(number))
            pieces.append(shards[number][key])
        tensors[name] = torch.cat(pieces).reshape(entry["shape"])
    return tensors


def shard_name(number: int) -> str:
    return f"shard-{number:05d}.safetensors"
