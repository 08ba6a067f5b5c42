"""What a server serves, and from where."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heartlib.serving.limits import Limits


@dataclass(frozen=True)
class ServiceSettings:
    """What is served and from where. idle: seconds without a song after which models leave the memory.

    listener: the folder of a transcriptor and a HeartCLAP, or "nano". device: "cpu", "cuda", ... or None, which chooses.
    songs: at once; None for 16 on a GPU and one on a CPU.
    """

    data: Path
    model: str = "nano"
    version: str | None = None
    device: str | None = None
    quantization: str | None = None
    listener: str = "nano"
    idle: float = 300.0
    songs: int | None = None
    limits: Limits = field(default_factory=Limits)

    def worker(self) -> dict[str, Any]:
        """What a worker is told, JSON-able."""
        names = ("model", "version", "device", "quantization", "songs", "listener")
        return {name: getattr(self, name) for name in names}
