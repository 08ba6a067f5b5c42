"""A server that a test started, and what is asked of it."""

from __future__ import annotations

import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 90  # that a test waits for anything
SONG = {"lyrics": "[Verse]\nThe morning light is on the sea", "tags": "pop,female", "length": 2}


@dataclass
class Running:
    """A server that was started; `client` talks to it."""

    process: subprocess.Popen[str]
    url: str
    data: Path
    client: Any

    def wait(self, id: str, status: str = "done", **headers: str) -> dict[str, Any]:
        """A song, when it has come to a status."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            song = self.client.get(f"/v1/songs/{id}", headers=headers).json()
            if song["status"] == status:
                return song
            assert song["status"] in ("waiting", "singing"), song
            time.sleep(0.05)
        raise AssertionError(f"the song is not {status}: {song}")

    def post(self, headers: dict[str, str] | None = None, **change: Any) -> list[str]:
        """Asks for a song; the ids of its takes."""
        answer = self.client.post("/v1/songs", json=SONG | change, headers=headers)
        assert answer.status_code == 202, answer.text
        return [song["id"] for song in answer.json()["songs"]]

    def worker(self) -> int:
        """The process that sings."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            listed = subprocess.run(
                ["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)],
                capture_output=True,
                text=True,
            )
            for line in listed.stdout.splitlines():
                if "heartlib.serving.singer" in line:
                    return int(line.split()[0])
            time.sleep(0.05)
        raise AssertionError("no worker")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal and waits for the end."""
        self.process.send_signal(number)
        try:
            return self.process.wait(30)
        finally:
            self.client.close()
