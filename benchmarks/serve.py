"""What `heartlib serve` stands: many clients, `kill -9`, bad requests, and memory over many songs.

    python benchmarks/serve.py clients --songs 200 --clients 50     # also memory after 20 and after all
    python benchmarks/serve.py kills --songs 20 --kills 10
    python benchmarks/serve.py refusals
    python benchmarks/serve.py first-sound

Each prints what it measured and one JSON line; the exit status is 1 where a song was lost or made twice.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import runpy
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

COMMAND = "import sys; from heartlib.cli import main; sys.exit(main(sys.argv[1:]))"
SONG = {"lyrics": "[Verse]\nThe morning light is on the sea", "tags": "pop,female"}
WAIT_SECONDS = 3600


class Server:
    """A server in a process of its own that can be killed and started again."""

    def __init__(self, data: Path, *flags: str) -> None:
        self._command = [sys.executable, "-c", COMMAND, "serve", "--data", str(data), *flags]
        self.data = data
        self.url = ""
        self.start()

    def start(self) -> None:
        """Starts it, on the port that it had."""
        port = self.url.rpartition(":")[2] or "0"
        command = [*self._command, "--port", port]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if line.startswith("heartlib: http"):
                self.url = line.split()[1]
                threading.Thread(target=self.process.stderr.read, daemon=True).start()
                return
            print(line, file=sys.stderr, end="")
        raise SystemExit("the server does not start")

    def kill(self) -> None:
        """As `kill -9`."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """As systemd does."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def workers(self) -> list[int]:
        """The processes that compute."""
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True
        )
        return [int(line) for line in listed.stdout.split()]

    def memory(self) -> dict[str, float]:
        """Resident MB of the server and of its workers."""
        return {
            "server": _resident(self.process.pid),
            "workers": sum(_resident(pid) for pid in self.workers()),
        }


def _resident(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1e3
    return 0.0


@contextlib.contextmanager
def serving(*flags: str) -> Iterator[Server]:
    """A server with a folder of its own, until the end of the block."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data", "--model", "nano", "--no-studio", *flags)
        try:
            yield server
            server.stop()
        finally:
            server.process.kill()


def finished(url: str, owner: str) -> list[dict[str, Any]]:
    """An owner's songs that are done."""
    params = {"status": "done", "limit": 200}
    answer = httpx.get(f"{url}/v1/songs", params=params, headers={"X-Client-Id": owner}, timeout=60)
    return answer.json()["songs"]


def clients(args: argparse.Namespace) -> dict[str, Any]:
    """Songs of many clients at once, read all the while: lost, doubled, fair, how long reads take, memory."""
    each = args.songs // args.clients
    accepted: dict[str, list[str]] = defaultdict(list)
    reads: list[float] = []
    over = threading.Event()

    def hand_in(owner: str, url: str) -> None:
        with httpx.Client(base_url=url, headers={"X-Client-Id": owner}, timeout=120) as client:
            for number in range(each):
                key = {"Idempotency-Key": f"{owner}-{number}"}
                answer = client.post("/v1/songs", json=SONG | {"length": 3}, headers=key)
                answer.raise_for_status()
                accepted[owner].append(answer.json()["songs"][0]["id"])

    def read(url: str) -> None:
        chosen = random.Random(0)
        with httpx.Client(base_url=url, timeout=60) as client:
            while not over.is_set():
                owner = chosen.choice(list(accepted))
                id = chosen.choice(accepted[owner])
                path = chosen.choice(["/v1/songs", f"/v1/songs/{id}", "/v1/models", "/health"])
                start = time.perf_counter()
                answer = client.get(path, headers={"X-Client-Id": owner})
                reads.append(time.perf_counter() - start)
                answer.raise_for_status()
                time.sleep(0.2)

    with serving("--waiting", str(args.songs)) as server:
        start = time.monotonic()
        threads = [
            threading.Thread(target=hand_in, args=(f"client{number}", server.url))
            for number in range(args.clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        accepting = time.monotonic() - start
        readers = [threading.Thread(target=read, args=(server.url,)) for _ in range(2)]
        for thread in readers:
            thread.start()
        memory: dict[int, dict[str, float]] = {}
        watcher = httpx.Client(base_url=server.url, timeout=60)
        while time.monotonic() - start < WAIT_SECONDS:
            text = watcher.get("/metrics").text
            done = _metric(text, 'heartlib_songs_ended_total{status="done"}')
            for mark in (20, args.songs):
                if done >= mark and mark not in memory:
                    memory[mark] = server.memory()
            if done >= args.songs or _metric(text, 'status="failed"}'):
                break
            time.sleep(1)
        watcher.close()
        took = time.monotonic() - start
        over.set()
        for thread in readers:
            thread.join()
        made = {owner: finished(server.url, owner) for owner in accepted}
    ids = [song["id"] for songs in made.values() for song in songs]
    order = sorted((song["begun"], owner) for owner, songs in made.items() for song in songs)
    return {
        "songs": args.songs,
        "clients": args.clients,
        "seconds": took,
        "accepting_s": accepting,
        "lost": len(set().union(*accepted.values()) - set(ids)),
        "doubled": len(ids) - len(set(ids)),
        "most_ahead": _most_ahead([owner for _, owner in order]),
        "reads": len(reads),
        "read_p50_ms": 1e3 * statistics.median(reads),
        "read_p95_ms": 1e3 * statistics.quantiles(reads, n=20)[-1],
        "read_max_ms": 1e3 * max(reads),
        "memory_mb": memory,
    }


def _metric(text: str, name: str) -> float:
    values = [line.split()[-1] for line in text.splitlines() if name in line and line[0] != "#"]
    return float(values[0]) if values else 0.0


def _most_ahead(order: list[str]) -> int:
    """By how many songs one owner was ever ahead of another who had songs left: 1 is fair."""
    left, served, most = Counter(order), Counter(), 0
    for owner in order:
        served[owner] += 1
        left[owner] -= 1
        behind = [served[other] for other in left if left[other]]
        most = max(most, served[owner] - min(behind, default=served[owner]))
    return most


def kills(args: argparse.Namespace) -> dict[str, Any]:
    """The server or its worker killed at random moments: every accepted song is made, finished ones stay intact."""
    chosen = random.Random(args.seed)
    sounds: dict[str, bytes] = {}
    told = {"server": 0, "worker": 0}
    with serving() as server:
        ids = []
        for number in range(args.songs):
            answer = httpx.post(
                f"{server.url}/v1/songs", json=SONG | {"length": 3, "seed": number}, timeout=60
            )
            ids.append(answer.json()["songs"][0]["id"])
        for _ in range(args.kills):
            time.sleep(chosen.uniform(0.5, args.pause))
            workers = server.workers()
            if chosen.random() < 0.3 and workers:
                told["worker"] += 1
                with contextlib.suppress(ProcessLookupError):
                    os.kill(workers[0], signal.SIGKILL)
                continue
            for song in finished(server.url, "local"):
                if song["id"] not in sounds:
                    path = f"{server.url}{song['links']['audio']}"
                    sounds[song["id"]] = httpx.get(path, timeout=60).content
            told["server"] += 1
            server.kill()
            server.start()
        end = time.monotonic() + WAIT_SECONDS
        songs: list[dict[str, Any]] = []
        while time.monotonic() < end:
            songs = httpx.get(f"{server.url}/v1/songs?limit=200", timeout=60).json()["songs"]
            if all(song["status"] not in ("waiting", "singing") for song in songs):
                break
            time.sleep(0.5)
        lengths = []
        changed = 0
        for song in songs:
            sound = httpx.get(f"{server.url}{song['links']['audio']}", timeout=60).content
            changed += song["id"] in sounds and sounds[song["id"]] != sound
            told_seconds = (song["result"] or {}).get("seconds", 0.0)
            lengths.append(_decoded_seconds(sound) - told_seconds)
        half = [path.name for path in server.data.rglob("*.part")]
    done = [song["id"] for song in songs if song["status"] == "done"]
    return {
        "songs": args.songs,
        "kills": told,
        "lost": len(set(ids) - set(done)),
        "doubled": len(done) - len(set(done)),
        "changed": changed,
        "damaged": sum(abs(off) > 0.1 for off in lengths),
        "half_files": len(half),
    }


def _decoded_seconds(sound: bytes) -> float:
    import io

    import soundfile

    wave, rate = soundfile.read(io.BytesIO(sound))
    return len(wave) / rate


def refusals(args: argparse.Namespace) -> dict[str, Any]:
    """Bad requests while a song is being made: their status, the slowest answer, memory before and after."""
    tests = Path(__file__).parent.parent / "tests" / "serving"
    sys.path.insert(0, str(tests))
    table = argparse.Namespace(**runpy.run_path(str(tests / "test_refusals.py")))

    with serving() as server:
        httpx.post(f"{server.url}/v1/songs", json=SONG | {"length": 40, "count": 4}, timeout=60)
        time.sleep(10)
        headers = {"Content-Type": "application/octet-stream"}
        asks: list[tuple[str, int, Callable[[httpx.Client], int]]] = []
        for name, body in table.BODIES.items():
            if name == "lyrics beyond the model":  # of the tests
                continue
            asks.append(
                (name, 422, lambda c, body=body: c.post("/v1/songs", json=body).status_code)
            )
        for method, path, more, status in table.REQUESTS:
            more = {k: v for k, v in more.items()}
            if more.get("json", {}).get("model") == "HeartMuLa-tiny":
                continue
            asks.append(
                (
                    f"{method} {path}",
                    status,
                    lambda c, m=method, p=path, k=more: c.request(m, p, **k).status_code,
                )
            )
        for name, (content, status) in table.UPLOADS.items():
            asks.append(
                (
                    name,
                    status,
                    lambda c, x=content: (
                        c.post("/v1/uploads", content=x, headers=headers).status_code
                    ),
                )
            )
        bomb = table.flac_bomb()
        asks.append(
            (
                "flac bomb",
                415,
                lambda c: c.post("/v1/uploads", content=bomb, headers=headers).status_code,
            )
        )
        for path in ("/v1/songs", "/v1/uploads"):
            asks.append((f"1 GB to {path}", 413, lambda c, p=path: _huge(server.url, p)))
        rows = []
        with httpx.Client(base_url=server.url, timeout=60) as client:
            for round in range(args.rounds):
                if round == 1:
                    before = server.memory()["server"]
                for name, expected, ask in asks:
                    start = time.perf_counter()
                    status = ask(client)
                    rows.append((name, expected, status, time.perf_counter() - start))
        after = server.memory()["server"]
    wrong = [(name, expected, status) for name, expected, status, _ in rows if status != expected]
    slowest = sorted(rows, key=lambda row: -row[3])[:5]
    for name, _, status, seconds in slowest:
        print(f"{seconds:6.3f} s  {status}  {name}")
    return {
        "requests": len(asks),
        "rounds": args.rounds,
        "wrong": wrong,
        "slowest_s": slowest[0][3],
        "over_1_s": sum(row[3] > 1 for row in rows),
        "memory_mb": [before, after],
    }


def _huge(url: str, path: str) -> int:
    """Announces a gigabyte and sends it until it is answered."""
    host, port = url.removeprefix("http://").split(":")
    kind = "audio/wav" if path.endswith("uploads") else "application/json"
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {2**30}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head.encode())
        connection.settimeout(0.005)
        for _ in range(2**14):
            with contextlib.suppress(TimeoutError):
                if answer := connection.recv(65536):
                    return int(answer.split()[1])
            connection.settimeout(5)
            with contextlib.suppress(OSError):
                connection.sendall(b" " * 65536)
            connection.settimeout(0.005)
    return 0


def first_sound(args: argparse.Namespace) -> dict[str, Any]:
    """Seconds from the request to the first bytes of sound: with nothing loaded, then with models loaded."""
    found = []
    lyrics = SONG["lyrics"] + "\nA little bird is calling me\nThe river sings a song to me"
    with serving() as server:
        for seed in range(args.songs):
            start = time.perf_counter()
            body = SONG | {"lyrics": lyrics, "length": 20, "seed": seed}
            answer = httpx.post(f"{server.url}/v1/songs", json=body, timeout=60)
            path = f"{server.url}{answer.json()['songs'][0]['links']['audio']}"
            with httpx.stream("GET", path, timeout=300) as sound:
                for number, _ in enumerate(sound.iter_bytes(4096)):
                    if number == 0:
                        found.append(time.perf_counter() - start)
    return {"cold_s": found[0], "warm_s": found[1:]}


def main() -> int:
    """Measures what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="what", required=True)
    many = commands.add_parser("clients")
    many.add_argument("--songs", type=int, default=200)
    many.add_argument("--clients", type=int, default=50)
    dying = commands.add_parser("kills")
    dying.add_argument("--songs", type=int, default=20)
    dying.add_argument("--kills", type=int, default=10)
    dying.add_argument("--pause", type=float, default=12.0)
    dying.add_argument("--seed", type=int, default=0)
    commands.add_parser("refusals").add_argument("--rounds", type=int, default=3)
    commands.add_parser("first-sound").add_argument("--songs", type=int, default=4)
    args = parser.parse_args()
    measure = {
        "clients": clients,
        "kills": kills,
        "refusals": refusals,
        "first-sound": first_sound,
    }[args.what]
    found = measure(args)
    print(json.dumps({"benchmark": f"serve {args.what}", **found}))
    return int(any(found.get(name) for name in ("lost", "doubled", "changed", "damaged", "wrong")))


if __name__ == "__main__":
    sys.exit(main())
