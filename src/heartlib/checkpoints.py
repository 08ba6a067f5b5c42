"""Checkpoint folders: find, download, load, save. The only place that maps names and reads weights.

A checkpoint folder holds `HeartMuLa-oss-{version}/`, `HeartCodec-oss/`, `tokenizer.json` and `gen_config.json`.
Weights are safetensors, in one file or in shards with an index; nothing here reads pickle.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from heartlib.errors import CheckpointError, HeartlibError, UsageError

NANO = Path(__file__).parent / "nano"
MULA_PREFIX = "HeartMuLa-oss-"
TRANSCRIPTOR = "HeartTranscriptor-oss"
HUB_COMMON = "HeartMuLa/HeartMuLaGen"
HUB_CODEC = "HeartMuLa/HeartCodec-oss-20260123"
HUB_ENCODER = "HeartMuLa/HeartCodec-oss-encoder"
HUB_MULA = {
    "3B": "HeartMuLa/HeartMuLa-oss-3B",
    "3B-happy-new-year": "HeartMuLa/HeartMuLa-oss-3B-happy-new-year",
    "3B-RL": "HeartMuLa/HeartMuLa-RL-oss-3B-20260123",
}
SHARD_BYTES = 5 * 2**30
INT8_SCALE = ".int8_scale"  # beside an int8 tensor: float32 [shape[0]], its rows' steps
INT8_FROM = 2**15  # smaller tensors are not worth it

Config = TypeVar("Config")


@dataclass(frozen=True)
class CheckpointPaths:
    """The parts of one checkpoint folder. `name` is what song files call the model."""

    root: Path
    mula: Path
    codec: Path
    tokenizer: Path
    gen_config: Path
    name: str


def cache_folder() -> Path:
    """Where downloads go: `$HEARTLIB_HOME`, else `~/.cache/heartlib`."""
    return Path(os.environ.get("HEARTLIB_HOME", "~/.cache/heartlib")).expanduser()


def find(path: str | Path = "nano", version: str | None = None) -> CheckpointPaths:
    """Resolve "nano", a folder, a hub id or a downloaded version ("3B") to the parts of a checkpoint.

    `version` picks `HeartMuLa-oss-{version}`; it may be left out where the folder holds only one.
    Raises CheckpointError naming the missing file, its folder and the download command.
    """
    root, version = _root(path, version)
    found = sorted(p.name.removeprefix(MULA_PREFIX) for p in root.glob(MULA_PREFIX + "*"))
    if version is None:
        if len(found) != 1:
            what = (
                f"several versions ({', '.join(found)}): choose one"
                if found
                else "no language model"
            )
            raise CheckpointError(f"{root} holds {what}{_hint('3B', root) if not found else ''}")
        version = found[0]
    elif found and version not in found:
        raise UsageError(f"version {version!r} is not in {root}; it holds {', '.join(found)}")
    paths = CheckpointPaths(
        root=root,
        mula=root / f"{MULA_PREFIX}{version}",
        codec=root / "HeartCodec-oss",
        tokenizer=root / "tokenizer.json",
        gen_config=root / "gen_config.json",
        name=f"HeartMuLa-{version}",
    )
    for part in (paths.mula / "config.json", paths.codec / "config.json"):
        if not part.is_file():
            raise CheckpointError(f"{part.name} is missing in {part.parent}{_hint(version, root)}")
    for part in (paths.tokenizer, paths.gen_config):
        if not part.is_file():
            raise CheckpointError(f"{part.name} is missing in {root}{_hint(version, root)}")
    return paths


def find_codec(path: str | Path = "nano") -> tuple[Path, Path]:
    """The folders of decoder and encoder in "nano", a folder, a hub id or a downloaded version.

    Raises CheckpointError where there is no decoder; the encoder is looked at when it is loaded.
    """
    root, _ = _root(path, None)
    decoder = root / "HeartCodec-oss"
    if not (decoder / "config.json").is_file():
        raise CheckpointError(f"config.json is missing in {decoder}{_hint('3B', root)}")
    return decoder, root / "HeartCodec-oss-encoder"


def find_transcriptor(path: str | Path = "nano") -> Path:
    """The transcriptor's folder: "nano", a HeartTranscriptor-oss folder, or a family's that holds one.

    Raises CheckpointError where there is none.
    """
    root, _ = _root(path, None)
    for folder in (root / TRANSCRIPTOR, root):
        config = folder / "config.json"
        if config.is_file() and '"whisper"' in config.read_text(encoding="utf-8", errors="replace"):
            return folder
    raise CheckpointError(
        f"no transcriptor at {str(path)!r}; give 'nano', a {TRANSCRIPTOR} folder, or a folder that holds one"
    )


def _root(path: str | Path, version: str | None) -> tuple[Path, str | None]:
    if str(path) == "nano":
        return NANO, version
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder, version
    ids = {hub_id: name for name, hub_id in HUB_MULA.items()} | {name: name for name in HUB_MULA}
    if str(path) in ids:
        version = ids[str(path)]
        folder = cache_folder() / version
        if not folder.is_dir():
            raise CheckpointError(
                f"{str(path)!r} is not downloaded yet: run `heartlib download {version}` (about 22 GB)"
            )
    if not folder.is_dir():
        raise CheckpointError(
            f"no checkpoint folder at {str(path)!r}; give a folder, 'nano', or download one with "
            f"`heartlib download 3B --out ./ckpt`"
        )
    return folder, version


def _hint(version: str, root: Path) -> str:
    if root == NANO:
        return "; the installation is incomplete: reinstall heartlib"
    return f"; download it with `heartlib download {version} --out {root}`"


def download(version: str, folder: str | Path | None = None, *, encoder: bool = False) -> Path:
    """Fetch a published checkpoint from the Hugging Face hub into `folder` (default: the cache).

    `encoder` adds what turns sound into codes.
    Interrupted downloads go on where they stopped. Raises UsageError for an unknown version and
    HeartlibError with the hub's own words when it cannot be reached.
    """
    from huggingface_hub import snapshot_download

    if version not in HUB_MULA:
        raise UsageError(f"version {version!r} is not published; choose from {', '.join(HUB_MULA)}")
    root = Path(folder).expanduser() if folder is not None else cache_folder() / version
    parts = {
        HUB_COMMON: root,
        HUB_MULA[version]: root / f"{MULA_PREFIX}{version}",
        HUB_CODEC: root / "HeartCodec-oss",
    }
    if encoder:
        parts[HUB_ENCODER] = root / "HeartCodec-oss-encoder"
    for hub_id, target in parts.items():
        try:
            snapshot_download(
                hub_id, local_dir=target, allow_patterns=["*.json", "*.safetensors", "*.md"]
            )
        except (
            Exception
        ) as error:  # the hub client raises many kinds, all of them the person's to read
            reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            raise HeartlibError(f"could not download {hub_id} into {target}: {reason}") from error
    return root


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; CheckpointError where it is missing or not an object."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path.name} is missing in {path.parent}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{path} must hold a JSON object")
    return data


def read_config(folder: str | Path, cls: type[Config], filename: str = "config.json") -> Config:
    """`cls.from_dict` of the folder's config file; CheckpointError says which field is wrong."""
    path = Path(folder) / filename
    data = read_json(path)
    try:
        return cls.from_dict(data)  # type: ignore[attr-defined]
    except (TypeError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from error


def weight_files(folder: str | Path, stem: str = "model") -> list[Path]:
    """The safetensors files of a model folder, in order; sharded ones by their index."""
    folder = Path(folder)
    index = folder / f"{stem}.safetensors.index.json"
    single = folder / f"{stem}.safetensors"
    if index.is_file():
        names = sorted(set(read_json(index).get("weight_map", {}).values()))
        bad = [n for n in names if Path(n).name != n]
        if bad or not names:
            raise CheckpointError(f"{index} names no usable shards {bad}")
        files = [folder / name for name in names]
    else:
        files = [single] if single.is_file() else sorted(folder.glob(f"{stem}-*-of-*.safetensors"))
    if not files:
        raise CheckpointError(
            f"{single.name} is missing in {folder}; fetch it with `heartlib download`"
        )
    for file in files:
        if not file.is_file():
            raise CheckpointError(
                f"shard {file.name} is missing in {folder} ({index.name} names it)"
            )
    return files


def weights_bytes(folder: str | Path) -> int:
    """Size on disk of a model folder's weights, in bytes."""
    return sum(file.stat().st_size for file in weight_files(folder))


def read_header(file: Path) -> dict[str, Any]:
    """The safetensors header, checked against the file's length so that a cut file names its tensor."""
    size = file.stat().st_size
    with open(file, "rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if size < 8 or length > min(size - 8, 100_000_000):
            raise CheckpointError(f"{file} is damaged: its header is cut short or not safetensors")
        try:
            header = json.loads(handle.read(length))
            entries = {k: v for k, v in header.items() if k != "__metadata__"}
            ends = sorted((v["data_offsets"][1], k) for k, v in entries.items())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{file} is damaged: its header cannot be read") from error
    for end, name in ends:
        if 8 + length + end > size:
            raise CheckpointError(
                f"{file} is cut short at tensor {name!r} ({size} bytes of {8 + length + ends[-1][0]}); "
                f"download it again"
            )
    return entries


def load_weights(
    module: nn.Module,
    folder: str | Path,
    *,
    device: str | torch.device,
    dtype: torch.dtype | Callable[[str], torch.dtype],
    rename: Callable[[str], str] | None = None,
    ignore: Iterable[str] = (),
    stem: str = "model",
    take: Callable[[str, torch.Tensor], bool] | None = None,
) -> None:
    """Fill a module built on the meta device, strictly by name and shape, casting each tensor as it is read.

    `rename` maps a stored name to the module's; names that end in one of `ignore`, or begin with
    one that ends in a dot, are skipped. One
    element may be stored as [] or [1]. `dtype` is one for all or a function of the name; integer and
    boolean tensors keep theirs. A tensor stored as int8 is multiplied out, unless the module's is
    int8 too, with its steps beside it (`Int8Linear`). take(name, tensor) sees each tensor as it is stored, on the CPU, and
    may keep it in a form of its own: where it returns true the module's is left alone.
    Raises CheckpointError naming file and tensor.
    """
    skipped = tuple(ignore)
    parts = tuple(name for name in skipped if name.endswith("."))
    wanted = module.state_dict()
    places: dict[str, tuple[Path, str]] = {}
    for file in weight_files(folder, stem):
        for stored, entry in read_header(file).items():
            name = rename(stored) if rename else stored
            if name.endswith(INT8_SCALE):
                name = name.replace(".weight" + INT8_SCALE, INT8_SCALE)
                if name not in wanted:
                    continue
            if name.endswith(skipped) or name.startswith(parts):
                continue
            if name not in wanted:
                raise CheckpointError(f"{file}: tensor {stored!r} does not belong to this model")
            given, shape = tuple(entry["shape"]), tuple(wanted[name].shape)
            if given != shape and not ({given, shape} == {(), (1,)}):
                raise CheckpointError(
                    f"{file}: tensor {stored!r} has shape {list(given)}, the config asks for {list(shape)}"
                )
            places[name] = (file, stored)
    missing = [name for name in wanted if name not in places]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise CheckpointError(f"{folder}: tensor {missing[0]!r}{more} is missing")
    read: dict[str, torch.Tensor] = {}
    taken: set[str] = set()
    for file in dict.fromkeys(file for file, _ in places.values()):
        try:
            with safe_open(file, framework="pt") as handle:
                for name, (_, stored) in places.items():
                    if places[name][0] != file:
                        continue
                    if wanted[name].dtype == torch.int8:  # copied: a file's pages are not aligned
                        read[name] = handle.get_tensor(stored).clone().to(device)
                        continue
                    tensor = _read(handle, stored).reshape(wanted[name].shape)
                    if take is not None and take(name, tensor):
                        taken.add(name)
                        continue
                    kind = tensor.dtype
                    if tensor.is_floating_point():
                        kind = dtype if isinstance(dtype, torch.dtype) else dtype(name)
                    read[name] = tensor.to(device=device, dtype=kind)
        except SafetensorError as error:
            raise CheckpointError(f"{file} is damaged: {error}") from error
    module.load_state_dict(read, assign=True, strict=not taken)


def _read(handle: Any, name: str) -> torch.Tensor:
    """A stored tensor; one kept as int8 comes back as float32."""
    tensor = handle.get_tensor(name)
    if tensor.dtype != torch.int8:
        return tensor
    return tensor.float() * _along_rows(handle.get_tensor(name + INT8_SCALE), tensor)


def _along_rows(scale: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    return scale.reshape(-1, *[1] * (tensor.ndim - 1))


def _to_int8(tensor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Symmetric int8 with one step for each index of the first dimension."""
    flat = tensor.float().flatten(1)
    scale = (flat.abs().amax(1) / 127).clamp(min=1e-12)
    return (tensor.float() / _along_rows(scale, tensor)).round().to(torch.int8), scale


def stored_as(
    tensors: Mapping[str, torch.Tensor], dtype: torch.dtype | None
) -> dict[str, torch.Tensor]:
    """Tensors as they are kept on disk: floating ones as `dtype`, or as `save_pretrained` says of int8.

    Those of an `Int8Linear` stay as they are, or are multiplied out for a floating `dtype`.
    """
    kept = {}
    for name, tensor in tensors.items():
        if name.endswith(INT8_SCALE):
            continue  # goes with its tensor
        tensor, kind = tensor.detach().cpu(), tensor.dtype
        if kind == torch.int8:
            scale = tensors[name.removesuffix(".weight") + INT8_SCALE].detach().cpu()
            if dtype in (None, torch.int8):
                kept[name + INT8_SCALE] = scale.clone()
            else:
                tensor = tensor.float() * _along_rows(scale, tensor)
        if dtype is not None and tensor.is_floating_point():
            kind = torch.bfloat16 if dtype == torch.int8 else dtype
            if dtype == torch.int8 and tensor.ndim > 1 and tensor.numel() >= INT8_FROM:
                tensor, kept[name + INT8_SCALE] = _to_int8(tensor)
                kind = torch.int8
        kept[name] = tensor.to(kind).contiguous().clone()
    return kept


def read_tensors(folder: str | Path, stem: str = "model") -> dict[str, torch.Tensor]:
    """Every tensor of a folder by its stored name; those kept as int8 come back as float32."""
    found = {}
    for file in weight_files(folder, stem):
        names = [name for name in read_header(file) if not name.endswith(INT8_SCALE)]
        try:
            with safe_open(file, framework="pt") as handle:
                found |= {name: _read(handle, name) for name in names}
        except SafetensorError as error:
            raise CheckpointError(f"{file} is damaged: {error}") from error
    return found


def kept_as_int8(folder: str | Path, stem: str = "model") -> set[str]:
    """The stored names of a folder's tensors that are kept as int8."""
    headers = (read_header(file) for file in weight_files(folder, stem))
    names = {name for header in headers for name in header}
    return {name for name in names if name + INT8_SCALE in names}


def save_pretrained(
    module: nn.Module,
    folder: str | Path,
    *,
    dtype: torch.dtype | None = None,
    max_shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write `config.json` (from `module.config.to_dict()`) and the weights, whole or not at all.

    `dtype` torch.int8 keeps large tensors as int8 with a step a row and the others as bfloat16.
    """
    folder = Path(folder)
    tensors = stored_as(module.state_dict(), dtype)
    shards: list[dict[str, torch.Tensor]] = [{}]
    for name, tensor in tensors.items():
        held = sum(t.nbytes for t in shards[-1].values())
        if held and held + tensor.nbytes > max_shard_bytes:
            shards.append({})
        shards[-1][name] = tensor
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        config: Any = module.config
        (work / "config.json").write_text(json.dumps(config.to_dict(), indent=1) + "\n")
        weight_map = {}
        for number, shard in enumerate(shards, 1):
            name = "model.safetensors"
            if len(shards) > 1:
                name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
                weight_map |= dict.fromkeys(shard, name)
            save_file(shard, work / name)
            (work / name).chmod(0o644)
        if weight_map:
            total = sum(t.nbytes for t in tensors.values())
            index = {"metadata": {"total_size": total}, "weight_map": weight_map}
            (work / "model.safetensors.index.json").write_text(json.dumps(index, indent=1))
        work.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        work.rename(folder)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def weights_hash(*folders: str | Path) -> str:
    """12 hex digits that name the weights of one or more model folders.

    Every byte of files up to 64 MiB counts; of larger ones the header and 64 evenly spaced blocks of 1 MiB.
    """
    digest, block, blocks = hashlib.sha256(), 2**20, 64
    for file in (file for folder in folders for file in weight_files(folder)):
        size = file.stat().st_size
        digest.update(size.to_bytes(8, "little"))
        with open(file, "rb") as handle:
            if size <= block * blocks:
                digest.update(handle.read())
                continue
            digest.update(handle.read(int.from_bytes(handle.read(8), "little")))
            for i in range(blocks):
                handle.seek((size - block) * i // (blocks - 1))
                digest.update(handle.read(block))
    return digest.hexdigest()[:12]
