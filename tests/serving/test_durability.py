"""What is accepted survives: a killed server, a killed worker, a stop, the same request twice."""

from __future__ import annotations

import io
import os
import signal

import pytest
import soundfile
from running import SONG, Running

from heartlib.errors import HeartlibError
from heartlib.serving.folder import DataFolder


def test_kill_the_server_and_start_again(start, tmp_path):
    """Every accepted song is made once, finished ones stay as they are, half files go."""
    data = tmp_path / "data"
    first = start(data)
    done = first.post(format="wav")[0]
    first.wait(done)
    before = first.client.get(f"/v1/songs/{done}/audio").content
    waiting = [first.post(format="wav", length=length, seed=length)[0] for length in (6, 1)]
    first.wait(waiting[0], "singing")
    worker = first.worker()
    assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    (data / "live" / "half.mp3").write_bytes(b"half")
    (data / "songs" / "nobody").mkdir()
    (data / "songs" / "nobody" / ".heartlib-00.part").write_bytes(b"half")
    again = start(data)
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
    assert not (data / "live" / "half.mp3").exists()
    assert not (data / "songs" / "nobody" / ".heartlib-00.part").exists()
    songs = [again.wait(id) for id in waiting]
    assert [song["seed"] for song in songs] == [6, 1]
    assert [song["attempts"] for song in songs] == [0, 0]
    assert again.client.get(f"/v1/songs/{done}/audio").content == before
    listed = again.client.get("/v1/songs").json()["songs"]
    assert [song["id"] for song in listed] == [*reversed(waiting), done]
    assert again.stop() == 0


@pytest.mark.slow
def test_kill_the_worker(start, tmp_path):
    """The song is sung again, whoever listens notices nothing; the third death is the last."""
    server = start(tmp_path / "data")
    (id,) = server.post(length=12.96, format="wav")
    with server.client.stream("GET", f"/v1/songs/{id}/audio") as answer:
        pieces = answer.iter_bytes()
        heard = next(pieces)
        os.kill(server.worker(), signal.SIGKILL)
        heard += b"".join(pieces)
    song = server.wait(id)
    assert song["attempts"] == 1 and len(heard) == 44 + 1296 * 480 * 4
    wave, _ = soundfile.read(io.BytesIO(server.client.get(f"/v1/songs/{id}/audio").content))
    assert len(wave) == 1296 * 480
    (id,) = server.post(length=13)
    for _ in range(3):
        server.wait(id, "singing")
        os.kill(server.worker(), signal.SIGKILL)
        while server.client.get(f"/v1/songs/{id}").json()["status"] == "singing":
            pass
    song = server.client.get(f"/v1/songs/{id}").json()
    assert song["status"] == "failed" and "3 times" in song["error"]
    assert server.client.get(f"/v1/songs/{id}/audio").status_code == 409
    (id,) = server.post()
    server.wait(id)
    assert server.stop() == 0


@pytest.mark.slow
def test_stop_leaves_what_is_unfinished(start, tmp_path):
    """SIGTERM: open streams end, the worker ends, the next start goes on."""
    server = start(tmp_path / "data")
    ids = server.post(length=13, count=2)
    server.wait(ids[0], "singing")
    with server.client.stream("GET", f"/v1/songs/{ids[1]}/events") as answer:
        lines = answer.iter_lines()
        next(lines)
        worker = server.worker()
        server.process.send_signal(signal.SIGTERM)
        assert not any("done" in line for line in lines)
    assert server.stop() == 0
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
    again = start(tmp_path / "data")
    for id in ids:
        again.wait(id)
    assert again.stop(signal.SIGINT) == 0


def test_one_server_a_folder(tmp_path):
    held = DataFolder(tmp_path)
    with pytest.raises(HeartlibError, match="another heartlib serve"):
        DataFolder(tmp_path)
    held.close()
    DataFolder(tmp_path).close()


def test_idempotency_keys(server: Running):
    body, key = SONG | {"length": 1}, {"Idempotency-Key": "first"}
    answers = [server.client.post("/v1/songs", json=body, headers=key) for _ in range(3)]
    ids = {song["id"] for answer in answers for song in answer.json()["songs"]}
    assert len(ids) == 1 and {answer.status_code for answer in answers} == {202}
    other = server.client.post("/v1/songs", json=body | {"length": 2}, headers=key)
    assert other.status_code == 422 and "Idempotency-Key" in other.json()["detail"]
    theirs = {**key, "X-Client-Id": "somebody"}
    assert (
        server.client.post("/v1/songs", json=body, headers=theirs).json()["songs"][0]["id"]
        not in ids
    )


@pytest.mark.slow
def test_models_leave_the_memory_when_idle(start, tmp_path):
    server = start(tmp_path / "data", "--idle", "0.2")
    (id,) = server.post()
    server.wait(id)
    for _ in range(1000):
        if "heartlib_worker_running 0.0" in server.client.get("/metrics").text:
            break
    else:
        raise AssertionError("the worker stays")
    (id,) = server.post()
    server.wait(id)
    assert server.stop() == 0
