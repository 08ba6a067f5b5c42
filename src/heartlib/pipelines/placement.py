"""Where the models run, in which precision and with how many bits, and whether they fit there."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from heartlib.checkpoints import read_header, weight_files
from heartlib.errors import HeartlibError, UsageError
from heartlib.graphs import has_triton
from heartlib.heartmula.configuration_heartmula import HeartMuLaConfig
from heartlib.heartmula.weights import check_quantization

Device = str | torch.device | None
Dtype = str | torch.dtype | None
Value = TypeVar("Value")

MEMORY_PLANS = ("auto", "low")
DTYPES = {
    "float32": torch.float32,
    "fp32": torch.float32,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
    "fp16": torch.float16,
}
HEADROOM = 256 * 2**20


@dataclass(frozen=True)
class Placement:
    """Device and dtype of the language model and of the codec; the language model's quantization, if any."""

    mula_device: torch.device
    codec_device: torch.device
    mula_dtype: torch.dtype
    codec_dtype: torch.dtype
    quantization: str | None = None

    @classmethod
    def resolve(
        cls,
        device: Device | Mapping[str, Device] = None,
        dtype: Dtype | Mapping[str, Dtype] = None,
        quantization: object = None,
    ) -> "Placement":
        """Device and dtype from one value or {"mula": ..., "codec": ...}; None chooses.

        The choice is CUDA where there is one, else the CPU; bfloat16 on CUDA, else float32. quantization: see
        `parse_quantization`. UsageError for what is not known, HeartlibError for a device that this machine does
        not have, and for a quantized model elsewhere than on CUDA or without Triton.
        """
        devices = {name: parse_device(value) for name, value in _split(device, "device").items()}
        dtypes = {name: parse_dtype(value) for name, value in _split(dtype, "dtype").items()}
        usual = {
            name: torch.bfloat16 if where.type == "cuda" else torch.float32
            for name, where in devices.items()
        }
        kind = parse_quantization(quantization)
        if kind is not None and devices["mula"].type != "cuda":
            raise HeartlibError(
                f"quantization {kind} needs an NVIDIA or AMD GPU for the language model, not "
                f"{devices['mula']}; leave it out here"
            )
        mula_dtype = dtypes["mula"] or usual["mula"]
        if kind is not None and mula_dtype == torch.float32:
            raise UsageError(f"quantization {kind} goes with bfloat16 or float16, not float32")
        if kind is not None and not has_triton():
            raise HeartlibError(
                f"quantization {kind} needs Triton, which is not installed or switched off (HEARTLIB_KERNELS=0)"
            )
        return cls(
            mula_device=devices["mula"],
            codec_device=devices["codec"],
            mula_dtype=mula_dtype,
            codec_dtype=dtypes["codec"] or usual["codec"],
            quantization=kind,
        )

    @property
    def shared(self) -> bool:
        """Whether both models live on one device."""
        return self.mula_device == self.codec_device

    def to_dict(self) -> dict[str, Any]:
        """What `resolve` takes, as text."""
        quantized = {} if self.quantization is None else {"quantization": self.quantization}
        return quantized | {
            "device": {"mula": str(self.mula_device), "codec": str(self.codec_device)},
            "dtype": {
                "mula": str(self.mula_dtype).removeprefix("torch."),
                "codec": str(self.codec_dtype).removeprefix("torch."),
            },
        }


def _split(value: Value | Mapping[str, Value], what: str) -> dict[str, Value | None]:
    if not isinstance(value, Mapping):
        return {"mula": value, "codec": value}
    unknown = [key for key in value if key not in ("mula", "codec")]
    if unknown:
        raise UsageError(f"{what} is one value or has the keys mula and codec, not {unknown[0]!r}")
    return {"mula": value.get("mula"), "codec": value.get("codec")}


def parse_dtype(value: Dtype) -> torch.dtype | None:
    """A dtype by name ("bf16", "float32") or itself; None stays None."""
    if value is None or value == "auto":
        return None
    if isinstance(value, torch.dtype) and value in DTYPES.values():
        return value
    name = str(value).lower().removeprefix("torch.")
    if name not in DTYPES:
        raise UsageError(f"dtype {str(value)!r} is not known; use one of {', '.join(DTYPES)}")
    return DTYPES[name]


def parse_quantization(value: object) -> str | None:
    """A quantization by name, or what transformers' `BitsAndBytesConfig` asks for: load_in_8bit is int8, load_in_4bit int4.

    Our own kernels do it in both cases. UsageError for anything else; None stays None.
    """
    if value is None:
        return None
    for asked, kind in (("load_in_8bit", "int8"), ("load_in_4bit", "int4")):
        if getattr(value, asked, False):
            return kind
    return check_quantization(str(value))


def parse_device(value: Device) -> torch.device:
    """A device by name ("cuda:1", "cpu") or itself, checked against this machine; None chooses."""
    if value is None or value == "auto":
        return torch.device("cuda", torch.cuda.current_device()) if _cuda() else torch.device("cpu")
    try:
        device = torch.device(value)
    except (RuntimeError, TypeError):
        raise UsageError(
            f"device {value!r} is not a device; use cpu, cuda, cuda:1 or mps"
        ) from None
    here = devices()
    if device.type == "cuda" and device.index is None and _cuda():
        device = torch.device("cuda", torch.cuda.current_device())
    name = device.type if device.type != "cuda" else str(device)
    if name not in here or (device.type != "cuda" and (device.index or 0) > 0):
        raise HeartlibError(
            f"device {str(value)!r} does not exist on this machine; it has {', '.join(here)}"
        )
    return torch.device(name)


def devices() -> list[str]:
    """The devices that models can run on here."""
    found = ["cpu"]
    if _cuda():
        found += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return found


def _cuda() -> bool:
    return torch.cuda.is_available() and torch.cuda.device_count() > 0


def mula_bytes(folder: Path, dtype: torch.dtype, quantization: str | None) -> int:
    """Memory that the language model's weights take, in bytes, from their files' headers.

    What the frame step keeps beside them, the depth decoder's projected embeddings, is not among them.
    """
    if quantization is None:
        return weights_bytes(folder, dtype)
    kept = ("embedding", "norm", "muq_linear")
    bits, total = 8 if quantization != "int4" else 4, 0
    for file in weight_files(folder):
        for name, entry in read_header(file).items():
            numbers = math.prod(entry["shape"])
            whole = any(part in name for part in kept)
            total += numbers * dtype.itemsize if whole else numbers * bits // 8
    return total


def cache_bytes(config: HeartMuLaConfig, positions: int, rows: int, dtype: torch.dtype) -> int:
    """Memory of the keys and values of one song, in bytes."""
    return rows * positions * config.backbone.cached_numbers * dtype.itemsize


def weights_bytes(folder: Path, dtype: torch.dtype) -> int:
    """Memory that a model's weights take at `dtype`, in bytes, from their files' headers.

    Raises CheckpointError where a file is missing or cut short.
    """
    entries = (entry for file in weight_files(folder) for entry in read_header(file).values())
    return sum(math.prod(entry["shape"]) for entry in entries) * dtype.itemsize


def free_bytes(device: torch.device) -> int | None:
    """Free memory of a device; None where it cannot be told."""
    if device.type == "cuda":
        return _free_on_gpu(device)
    known = [limit for limit in (_available(), _cgroup()) if limit is not None]
    return min(known) if known else None


def _free_on_gpu(device: torch.device) -> int:
    """What other processes and a limit set for this one (`set_per_process_memory_fraction`) leave, and what torch holds unused."""
    free, total = torch.cuda.mem_get_info(device)
    held, used = torch.cuda.memory_reserved(device), torch.cuda.memory_allocated(device)
    limit = int(total * torch.cuda.get_per_process_memory_fraction(device))
    return max(0, min(free, limit - held)) + held - used


def _available() -> int | None:
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    try:  # no count of free pages on macOS: half of all memory is a careful guess
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (OSError, ValueError, AttributeError):
        return None


def _cgroup() -> int | None:
    """What a container's limit leaves (cgroup version 2, then 1); cached file pages count as free."""
    for folder, limit, used, cached in (
        ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
        (
            "/sys/fs/cgroup/memory",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "total_inactive_file",
        ),
    ):
        try:
            most = Path(folder, limit).read_text().strip()
            if most == "max":
                return None
            stat = dict(
                line.split() for line in Path(folder, "memory.stat").read_text().splitlines()
            )
            taken = int(Path(folder, used).read_text()) - int(stat.get(cached, 0))
            return max(0, int(most) - taken)
        except (OSError, ValueError):
            continue
    return None


def check_fits(name: str, need: int, device: torch.device, dtype: torch.dtype) -> None:
    """HeartlibError where `need` bytes of weights and some room to work in are more than is free."""
    free = free_bytes(device)
    if free is not None and need + HEADROOM > free:
        raise HeartlibError(
            f"too little memory on {device}: {name} takes {(need + HEADROOM) / 1e9:.1f} GB in "
            f"{str(dtype).removeprefix('torch.')} and {free / 1e9:.1f} GB is free; "
            f"use bfloat16, quantization (--quantize int8), another device or a smaller model"
        )
