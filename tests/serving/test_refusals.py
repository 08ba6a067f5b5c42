"""What is not taken: the right status, problem details, at once, and the server goes on."""

from __future__ import annotations

import io
import socket
import struct
import time
import zlib

import numpy as np
import pytest
import soundfile
from running import SONG, Running

PROBLEM = "application/problem+json"
NO_ID = "0" * 24
BIG = 70 * 2**20


def wav(seconds: float = 1.0, rate: int = 16000, channels: int = 1) -> bytes:
    file = io.BytesIO()
    samples = np.random.default_rng(0).normal(0, 0.1, (round(seconds * rate), channels))
    soundfile.write(file, samples, rate, format="WAV")
    return file.getvalue()


def lying_wav() -> bytes:
    """Claims four gigabytes of samples, has none."""
    head = struct.pack(
        "<4sI4s4sIHHIIHH", b"RIFF", 2**32 - 1, b"WAVE", b"fmt ", 16, 1, 2, 48000, 192000, 4, 16
    )
    return head + struct.pack("<4sI", b"data", 2**32 - 36) + b"\0" * 64


def flac_bomb() -> bytes:
    """An hour of silence in a few kilobytes."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 48000, 1, format="FLAC", subtype="PCM_16") as sound:
        for _ in range(620):
            sound.write(np.zeros(48000, np.int16))
    return file.getvalue()


def check(answer, status: int) -> None:
    assert answer.status_code == status, (answer.status_code, answer.text[:300])
    assert answer.headers["content-type"] == PROBLEM
    body = answer.json()
    assert body["status"] == status and body["title"] and body["detail"]
    assert "Traceback" not in answer.text and "/src/" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


BODIES = {
    "no lyrics": {"tags": "pop"},
    "empty lyrics": SONG | {"lyrics": ""},
    "blank lyrics": SONG | {"lyrics": " \n"},
    "long lyrics": SONG | {"lyrics": "la " * 7000},
    "lyrics beyond the model": SONG | {"lyrics": "la la " * 400},
    "lyrics of zeros": SONG | {"lyrics": "a\0b"},
    "lyrics that are a list": SONG | {"lyrics": ["la"]},
    "unknown tag": SONG | {"tags": "kazoo"},
    "unknown field": SONG | {"path": "/etc/passwd"},
    "path as format": SONG | {"format": "../../x"},
    "other model": SONG | {"model": "../nano"},
    "negative length": SONG | {"length": -1},
    "endless length": SONG | {"length": 1e9},
    "too many": SONG | {"count": 9},
    "zero": SONG | {"count": 0},
    "no temperature": SONG | {"temperature": 0},
    "topk as text": SONG | {"topk": "many"},
    "guidance below one": SONG | {"cfg_scale": 0.5},
    "seed too high": SONG | {"seed": 2**63},
    "last seed of takes": SONG | {"seed": 2**63 - 1, "count": 2},
    "two sources": SONG | {"extension": {"song": NO_ID, "upload": NO_ID}},
    "source by path": SONG | {"extension": {"upload": "../../etc/passwd"}},
}


@pytest.mark.parametrize("name", BODIES)
def test_songs_that_cannot_be(server: Running, name):
    check(server.client.post("/v1/songs", json=BODIES[name]), 422)


REQUESTS = [
    ("POST", "/v1/songs", {"content": b"{", "headers": {"Content-Type": "application/json"}}, 422),
    (
        "POST",
        "/v1/songs",
        {"content": b"[" * 9000, "headers": {"Content-Type": "application/json"}},
        400,
    ),
    ("POST", "/v1/songs", {"content": b"{}", "headers": {"Content-Type": "text/plain"}}, 415),
    (
        "POST",
        "/v1/songs",
        {"content": b"\xff\xfe", "headers": {"Content-Type": "application/json"}},
        422,
    ),
    ("POST", "/v1/songs", {"json": SONG, "headers": {"X-Client-Id": "../x"}}, 422),
    ("POST", "/v1/songs", {"json": SONG, "headers": {"Host": "evil.example"}}, 421),
    ("POST", "/v1/songs", {"json": SONG, "headers": {"Origin": "http://evil.example"}}, 403),
    ("POST", "/v1/songs", {"json": SONG | {"lyrics": "la" * 2**18}}, 413),
    ("POST", "/v1/songs", {"json": SONG | {"extension": {"upload": NO_ID}}}, 404),
    ("PUT", "/v1/songs", {"json": SONG}, 405),
    ("GET", "/v1/songs/..%2f..%2fetc%2fpasswd", {}, 404),
    ("GET", "/v1/songs/../../../etc/passwd", {}, 404),
    ("GET", f"/v1/songs/{NO_ID}", {}, 404),
    ("GET", "/v1/songs/ABC", {}, 422),
    ("GET", "/v1/songs/%00", {}, 422),
    ("GET", f"/v1/songs/{NO_ID}/audio", {}, 404),
    ("GET", f"/v1/songs/{NO_ID}/codes", {}, 404),
    ("GET", f"/v1/songs/{NO_ID}/events", {}, 404),
    ("GET", f"/v1/songs/{NO_ID}/lyrics.lrc", {}, 404),
    ("DELETE", f"/v1/songs/{NO_ID}", {}, 404),
    ("GET", "/v1/songs?limit=0", {}, 422),
    ("GET", "/v1/songs?limit=many", {}, 422),
    ("GET", "/v1/songs?status=lost", {}, 422),
    ("GET", f"/v1/songs?before={NO_ID}", {}, 404),
    ("GET", "/nowhere", {}, 404),
    ("POST", "/v1/search", {"json": {}}, 422),
    ("POST", "/v1/search", {"json": {"text": " "}}, 422),
    ("POST", "/v1/search", {"json": {"like": {"song": NO_ID}}}, 404),
    ("POST", "/v1/transcriptions", {"json": {"upload": NO_ID}}, 404),
    ("POST", "/v1/transcriptions", {"json": {"upload": NO_ID, "language": "../en"}}, 422),
    ("POST", "/v1/audio/speech", {"json": {"model": "x", "input": "la"}}, 422),
    (
        "POST",
        "/v1/audio/speech",
        {"json": {"model": "HeartMuLa-tiny", "input": "la", "speed": 2}},
        422,
    ),
    ("DELETE", f"/v1/uploads/{NO_ID}", {}, 404),
]


@pytest.mark.parametrize("number", range(len(REQUESTS)))
def test_requests_that_cannot_be(server: Running, number):
    method, path, more, status = REQUESTS[number]
    check(server.client.request(method, path, **more), status)


UPLOADS = {
    "nothing": (b"", 415),
    "text": (b"#!/bin/sh\nrm -rf /\n" * 100, 415),
    "a picture": (b"\x89PNG\r\n\x1a\n" + b"\0" * 5000, 415),
    "a compressed bomb": (zlib.compress(b"\0" * 10**7), 415),
    "a wav that lies": (lying_wav(), 415),
    "a header alone": (wav()[:44], 415),
    "cut flac": (b"fLaC\0\0\0\x22" + b"\xff" * 500, 415),
    "noise as mp3": (b"ID3\4\0\0\0\0\0\0" + np.random.default_rng(1).bytes(9000), 415),
    "six channels": (wav(channels=6), 415),
    "too large": (b"RIFF\0\0\0\0WAVE" + b"\0" * BIG, 413),
}


@pytest.mark.parametrize("name", UPLOADS)
def test_uploads_that_cannot_be(server: Running, name):
    content, status = UPLOADS[name]
    headers = {"Content-Type": "application/octet-stream"}
    check(server.client.post("/v1/uploads", content=content, headers=headers), status)
    assert not list((server.data / "arriving").iterdir())


def test_a_long_silence_is_a_bomb(server: Running):
    answer = server.client.post(
        "/v1/uploads", content=flac_bomb(), headers={"Content-Type": "audio/flac"}
    )
    check(answer, 415)
    assert "longer than 600 s" in answer.json()["detail"]


def test_a_wrong_kind_by_name(server: Running):
    check(server.client.post("/v1/uploads", content=wav(), headers={"Content-Type": "text/x"}), 415)


def endless(server: Running, head: bytes, piece: bytes) -> tuple[int, int]:
    """Sends a chunked body without an end; the status, and bytes that were sent."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head)
        sent = 0
        try:
            while sent < 2**30:
                connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
                sent += len(piece)
        except OSError:
            pass
        answer = connection.recv(65536)
    return int(answer.split()[1]), sent


@pytest.mark.parametrize(
    ("path", "kind", "piece"),
    [
        ("/v1/songs", "application/json", b" " * 65536),
        ("/v1/uploads", "audio/wav", b"RIFF\0\0\0\0WAVE" + b"\0" * 65524),
        ("/v1/uploads", "audio/wav", b"\0" * 65536),
    ],
)
def test_endless_bodies(server: Running, path, kind, piece):
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
    status, sent = endless(server, head.encode(), piece)
    assert status in (413, 415) and sent < 2**29


def test_slow_bodies(start, tmp_path):
    server = start(tmp_path / "data", "--body-seconds", "0.5")
    host, port = server.url.removeprefix("http://").split(":")
    for path, kind in (("/v1/songs", "application/json"), ("/v1/uploads", "audio/wav")):
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: 90000\r\n\r\n"
            connection.sendall(head.encode() + wav()[:100])
            start_time = time.monotonic()
            assert b" 408 " in connection.recv(65536).split(b"\r\n")[0]
            assert time.monotonic() - start_time < 20
    assert server.stop() == 0


def test_quotas(start, tmp_path):
    limits = ("--waiting", "4", "--waiting-each", "2", "--stored-each", "6")
    server = start(tmp_path / "data", *limits)
    server.wait(server.post(length=13)[0], "singing")
    server.post(count=2)
    answer = server.client.post("/v1/songs", json=SONG)
    check(answer, 429)
    assert int(answer.headers["retry-after"]) > 0
    server.post(headers={"X-Client-Id": "other"}, count=2)
    full = server.client.post("/v1/songs", json=SONG, headers={"X-Client-Id": "third"})
    check(full, 429)
    assert "the queue is full" in full.json()["detail"]
    assert server.stop() == 0


def test_keys(start, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("# ours\nanna:0123456789abcdef\nben:fedcba9876543210\n")
    keys.chmod(0o600)
    server = start(tmp_path / "data", "--api-key-file", str(keys))
    anna, ben = (
        {"Authorization": f"Bearer {key}"} for key in ("0123456789abcdef", "fedcba9876543210")
    )
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic x"},
        {"X-Client-Id": "anna"},
    ):
        answer = server.client.get("/v1/songs", headers=headers)
        check(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"
    check(server.client.get("/metrics"), 401)
    assert server.client.get("/health").status_code == 200
    (id,) = server.post(headers=anna)
    server.wait(id, **anna)
    for path in ("", "/audio", "/codes", "/events"):
        check(server.client.get(f"/v1/songs/{id}{path}", headers=ben), 404)
    assert server.client.get("/v1/songs", headers=ben).json()["songs"] == []
    assert server.stop() == 0


def test_uploads_are_kept_as_flac(server: Running):
    answer = server.client.post(
        "/v1/uploads", content=wav(2), headers={"Content-Type": "audio/wav"}
    )
    assert answer.status_code == 201 and answer.json()["seconds"] == 2.0
    id = answer.json()["id"]
    assert soundfile.info(server.data / "uploads" / f"{id}.flac").frames == 32000
    listed = server.client.get("/v1/uploads").json()["uploads"]
    assert id in [upload["id"] for upload in listed]
    assert server.client.delete(f"/v1/uploads/{id}").status_code == 200
    assert not (server.data / "uploads" / f"{id}.flac").exists()


def test_refuses_to_start(tmp_path, capsys):
    from heartlib.cli import main

    assert main(["serve", "--host", "0.0.0.0", "--data", str(tmp_path)]) == 2
    assert "--api-key-file" in capsys.readouterr().err
    keys = tmp_path / "keys"
    for text, told in (
        ("", "holds no key"),
        ("an/na:0123456789abcdef", "name:key"),
        ("anna:short", "16 printable"),
    ):
        keys.write_text(text)
        assert main(["serve", "--data", str(tmp_path), "--api-key-file", str(keys)]) == 2
        assert told in capsys.readouterr().err


def test_cors_is_closed_unless_opened(server: Running, start, tmp_path):
    origin = {"Origin": "http://page.example", "Access-Control-Request-Method": "POST"}
    closed = server.client.options("/v1/songs", headers=origin)
    assert "access-control-allow-origin" not in closed.headers
    opened = start(tmp_path / "data", "--allow-origin", "http://page.example")
    allowed = opened.client.options("/v1/songs", headers=origin)
    assert allowed.headers["access-control-allow-origin"] == "http://page.example"
    song = opened.client.post("/v1/songs", json=SONG, headers={"Origin": "http://page.example"})
    assert song.status_code == 202
    assert opened.stop() == 0
