"""What is heard in songs: words, their times, songs by words; each owner's alone. With nano's own listeners."""

from __future__ import annotations

import pytest
from running import SONG, Running

pytest.importorskip("transformers")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sung(start, tmp_path_factory) -> tuple[Running, str]:
    server = start(tmp_path_factory.mktemp("nano") / "data", model="nano")
    (id,) = server.post(length=5, seed=3)
    server.wait(id)
    return server, id


def test_words_and_times(sung):
    server, id = sung
    heard = server.client.post("/v1/transcriptions", json={"song": id, "format": "txt"})
    assert heard.status_code == 200 and heard.json()["seconds"] == pytest.approx(5, abs=0.2)
    lyrics = server.client.get(f"/v1/songs/{id}/lyrics.lrc")
    assert lyrics.status_code == 200 and "morning" in lyrics.text and "[00:0" in lyrics.text
    again = server.client.get(f"/v1/songs/{id}/lyrics.lrc")
    assert again.text == lyrics.text
    sound = server.client.get(f"/v1/songs/{id}/audio").content
    sent = server.client.post("/v1/uploads", content=sound, headers={"Content-Type": "audio/mpeg"})
    same = {"upload": sent.json()["id"], "lyrics": SONG["lyrics"], "format": "srt"}
    timed = server.client.post("/v1/transcriptions", json=same)
    assert timed.status_code == 200 and "-->" in timed.json()["text"]
    silly = server.client.post("/v1/transcriptions", json={"song": id, "language": "xx"})
    assert silly.status_code == 422 and "xx" in silly.json()["detail"]


def test_search_finds_own_songs(sung):
    server, id = sung
    found = server.client.post("/v1/search", json={"text": "a woman sings pop"}).json()["found"]
    assert [one["song"]["id"] for one in found] == [id] and -1 <= found[0]["score"] <= 1
    theirs = {"X-Client-Id": "somebody"}
    none = server.client.post("/v1/search", json={"text": "pop"}, headers=theirs)
    assert none.json()["found"] == []
    like = server.client.post("/v1/search", json={"like": {"song": id}})
    assert like.status_code == 200 and like.json()["found"] == []


def test_goes_on_from_an_upload(sung):
    server, id = sung
    sound = server.client.get(f"/v1/songs/{id}/audio").content
    sent = server.client.post("/v1/uploads", content=sound, headers={"Content-Type": "audio/mpeg"})
    upload = sent.json()["id"]
    (further,) = server.post(length=6, extension={"upload": upload, "from": 4.0})
    assert server.wait(further)["result"]["frames"] <= 75


def test_takes_after_a_song(sung):
    """In the place of tags; what was heard is told."""
    server, id = sung
    (like,) = server.post(length=2, tags=None, reference={"song": id})
    song = server.wait(like)
    assert song["reference"]["song"] == id and song["tags"] == ""
    told = song["result"]
    assert told["settings"]["reference"]["tags"] == told["tags"] != ""
