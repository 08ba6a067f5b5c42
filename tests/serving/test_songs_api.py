"""A song from the request to the file: progress, sound while it is made, ranges, codes, removal."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import soundfile
from running import SONG, Running
from safetensors.numpy import load


def events(server: Running, id: str, last: int = 0) -> list[tuple[int, str, dict]]:
    headers = {"Last-Event-ID": str(last)} if last else {}
    found = []
    with server.client.stream("GET", f"/v1/songs/{id}/events", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for block in answer.read().decode().strip().split("\n\n"):
            lines = dict(line.split(": ", 1) for line in block.split("\n"))
            found.append((int(lines["id"]), lines["event"], json.loads(lines["data"])))
    return found


def test_round_trip(server):
    (id,) = server.post(seed=7, format="flac")
    told = events(server, id)
    kinds = [kind for _, kind, _ in told]
    assert kinds[-1] == "done" and "begun" in kinds and "frames" in kinds and "sound" in kinds
    assert [number for number, *_ in told] == sorted({number for number, *_ in told})
    frames = next(data for _, kind, data in told if kind == "frames")
    assert frames["section"] == "Verse" and 0 < frames["frames"] <= frames["most"] == 25
    song = server.wait(id)
    assert (song["seed"], song["result"]["frames"], song["result"]["seconds"]) == (7, 25, 2.0)
    answer = server.client.get(song["links"]["audio"])
    assert answer.headers["content-type"] == "audio/flac"
    assert len(answer.content) == song["result"]["bytes"]
    wave, rate = soundfile.read(io.BytesIO(answer.content))
    assert wave.shape == (2 * 48000, 2) and rate == 48000
    codes = server.client.get(song["links"]["codes"])
    assert load(codes.content)["codes"].shape == (8, 25)
    assert [kind for *_, kind, _ in events(server, id)] == ["done"]
    assert server.client.get("/v1/songs").json()["songs"][0]["id"] == id
    assert server.client.delete(f"/v1/songs/{id}").json()["id"] == id
    assert server.client.get(f"/v1/songs/{id}").status_code == 404
    assert not list(server.data.glob(f"*/*/{id}*"))


def test_the_stream_is_the_finished_song(server):
    """More than one window of sound: what was heard is the file, before it was turned down."""
    (id,) = server.post(length=6, format="wav")
    with server.client.stream("GET", f"/v1/songs/{id}/audio") as answer:
        assert answer.status_code == 200 and answer.headers["accept-ranges"] == "none"
        heard = answer.read()
    song = server.wait(id)
    assert song["result"]["settings"]["streamed"]
    live = np.frombuffer(heard[44:], "<i2").reshape(-1, 2) / 32767
    finished, _ = soundfile.read(io.BytesIO(server.client.get(f"/v1/songs/{id}/audio").content))
    assert live.shape == finished.shape == (288000, 2)
    gain = np.abs(finished).max() / np.abs(live).max()
    heard_whole = np.abs(live) < 0.999
    assert np.abs(live * gain - finished)[heard_whole].max() < 1e-3
    assert not list((server.data / "live").iterdir())


def test_mp3_grows_and_decodes(server):
    (id,) = server.post(length=6)
    heard = server.client.get(f"/v1/songs/{id}/audio")
    assert heard.headers["content-type"] == "audio/mpeg"
    wave, rate = soundfile.read(io.BytesIO(heard.content))
    assert rate == 48000 and abs(len(wave) / rate - 6) < 0.1


def test_takes_have_the_next_seeds(server):
    ids = server.post(seed=40, count=3)
    songs = [server.wait(id) for id in ids]
    assert [song["seed"] for song in songs] == [40, 41, 42]
    first, again = server.post(seed=41)[0], ids[1]
    server.wait(first)
    paths = [f"/v1/songs/{id}/codes" for id in (first, again)]
    codes = [load(server.client.get(path).content)["codes"] for path in paths]
    assert np.array_equal(codes[0], codes[1])


def test_ranges(server):
    (id,) = server.post(format="ogg")
    server.wait(id)
    path = f"/v1/songs/{id}/audio"
    whole = server.client.get(path)
    etag, size = whole.headers["etag"], len(whole.content)

    def part(range: str, **headers: str):
        return server.client.get(path, headers={"Range": range, **headers})

    some = part("bytes=10-19")
    assert some.status_code == 206 and some.content == whole.content[10:20]
    assert some.headers["content-range"] == f"bytes 10-19/{size}"
    assert part("bytes=-5").content == whole.content[-5:]
    assert part(f"bytes={size - 3}-").content == whole.content[-3:]
    assert part("bytes=0-9", **{"If-Range": etag}).status_code == 206
    assert part("bytes=0-9", **{"If-Range": '"another"'}).status_code == 200
    beyond = part(f"bytes={size}-")
    assert beyond.status_code == 416 and beyond.headers["content-range"] == f"bytes */{size}"
    assert beyond.headers["content-type"] == "application/problem+json"
    head = server.client.head(path)
    assert head.headers["content-length"] == str(size) and not head.content


def test_events_go_on_where_they_were_left(server):
    (id,) = server.post(length=6)
    first = events(server, id)
    rest = events(server, id, first[-1][0] - 1)
    assert [kind for _, kind, _ in rest] == ["done"]
    (id,) = server.post(length=13)
    with server.client.stream("GET", f"/v1/songs/{id}/events") as answer:
        line = next(line for line in answer.iter_lines() if line.startswith("id: "))
    after = events(server, id, int(line[4:]))
    assert after[0][0] > int(line[4:]) and after[-1][1] == "done"


def test_cancel_while_singing_and_while_waiting(server):
    long, waits = server.post(length=13)[0], server.post(length=13)[0]
    server.wait(long, "singing")
    for id in (waits, long):
        assert server.client.delete(f"/v1/songs/{id}").json()["status"] == "cancelled"
        assert server.client.get(f"/v1/songs/{id}").json()["status"] == "cancelled"
        assert server.client.get(f"/v1/songs/{id}/audio").status_code == 409
    (id,) = server.post()
    server.wait(id)


def test_a_song_goes_on_from_another(server):
    (first,) = server.post(format="wav", length=2)
    server.wait(first)
    (id,) = server.post(format="wav", length=4, extension={"song": first, "from": 1.2})
    song = server.wait(id)
    assert song["result"]["frames"] == 50 and song["extension"]["from"] == 1.2
    waves = [
        soundfile.read(io.BytesIO(server.client.get(f"/v1/songs/{which}/audio").content))[0]
        for which in (first, id)
    ]
    kept = int(1.1 * 48000)
    assert np.abs(waves[0][:kept] - waves[1][:kept]).max() < 1e-6
    none = server.client.post("/v1/songs", json=SONG | {"extension": {"song": "0" * 24}})
    assert none.status_code == 404


def test_neither_tags_nor_a_reference(server):
    neither = {name: value for name, value in SONG.items() if name != "tags"}
    assert server.client.post("/v1/songs", json=neither).status_code == 422
    none = server.client.post("/v1/songs", json=neither | {"reference": {"upload": "0" * 24}})
    assert none.status_code == 404


def test_models_health_metrics(server):
    (model,) = server.client.get("/v1/models").json()["data"]
    assert model["id"] == "HeartMuLa-tiny" and "female" in model["tags"]["gender"]
    assert server.client.get("/health").json()["status"] == "ok"
    (id,) = server.post(model=model["id"])
    server.wait(id)
    text = server.client.get("/metrics").text
    assert 'heartlib_songs_ended_total{status="done"}' in text
    assert "heartlib_worker_running 1.0" in text


@pytest.mark.parametrize("status", ["done", "cancelled"])
def test_lists_by_status(server, status):
    found = server.client.get("/v1/songs", params={"status": status, "limit": 2}).json()["songs"]
    assert all(song["status"] == status for song in found) and len(found) <= 2
