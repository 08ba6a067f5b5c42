"""A real server in a process of its own, on a free port of this machine."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running import SECONDS, Running

COMMAND = "import sys; from heartlib.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture(scope="session")
def start(tiny_checkpoint: Path) -> Iterator[Callable[..., Running]]:
    """Starts servers: start(data, *flags); all are ended with the session."""
    httpx = pytest.importorskip("httpx")
    for name in ("fastapi", "uvicorn", "prometheus_client"):
        pytest.importorskip(name)
    started: list[Running] = []

    def start(data: Path, *flags: str, model: Path | str = tiny_checkpoint) -> Running:
        where = ("--model", str(model), "--device", "cpu", "--no-studio", *flags)
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "serve", "--port", "0", "--data", str(data), *where],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert process.stderr is not None
        line = ""
        for line in process.stderr:
            if line.startswith("heartlib: http://"):
                break
            assert "error" not in line, line
        assert line.startswith("heartlib: http://"), (line, process.wait(10))
        url = line.split()[1]
        running = Running(process, url, data, httpx.Client(base_url=url, timeout=SECONDS))
        started.append(running)
        return running

    yield start
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait(10)
        with contextlib.suppress(OSError):
            running.process.stderr.close()  # pyright: ignore[reportOptionalMemberAccess]


@pytest.fixture(scope="session")
def server(start: Callable[..., Running], tmp_path_factory: pytest.TempPathFactory) -> Running:
    """One server for all tests that do not end it."""
    return start(tmp_path_factory.mktemp("served") / "data")
