"""Songs through the official client of OpenAI's speech API."""

from __future__ import annotations

import io

import pytest
import soundfile
from running import Running

openai = pytest.importorskip("openai")
LYRICS = "[Verse]\nThe morning light is on the sea"


@pytest.fixture
def speech(server: Running):
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    yield client.audio.speech
    client.close()


def ask(**more):
    return {
        "model": "HeartMuLa-tiny",
        "voice": "female",
        "input": LYRICS,
        "instructions": "pop",
    } | more


def test_a_whole_song(speech, server):
    answer = speech.create(**ask(response_format="wav", extra_body={"length": 2, "seed": 5}))
    wave, rate = soundfile.read(io.BytesIO(answer.content))
    assert len(wave) == 2 * rate == 96000
    song = server.wait(answer.response.headers["x-song-id"])
    assert song["tags"] == "pop,female" and song["seed"] == 5


def test_streamed(speech, server, tmp_path):
    more = {"length": 6}
    with speech.with_streaming_response.create(**ask(extra_body=more)) as answer:
        pieces = list(answer.iter_bytes(4096))
        id = answer.headers["x-song-id"]
    assert len(pieces) > 1 and soundfile.info(io.BytesIO(b"".join(pieces))).samplerate == 48000
    server.wait(id)
    with speech.with_streaming_response.create(
        **ask(response_format="pcm", extra_body={"length": 2})
    ) as answer:
        answer.stream_to_file(tmp_path / "song.pcm")
    assert (tmp_path / "song.pcm").stat().st_size == 2 * 24000 * 2


def test_flac_and_events(speech, server):
    answer = speech.create(**ask(response_format="flac", extra_body={"length": 1}))
    assert soundfile.info(io.BytesIO(answer.content)).frames == 12 * 3840
    heard = speech.create(**ask(stream_format="sse", extra_body={"length": 1}))
    assert b"speech.audio.delta" in heard.content and b"speech.audio.done" in heard.content


def test_errors_have_their_kind(speech):
    with pytest.raises(openai.UnprocessableEntityError, match="no model"):
        speech.create(**ask(model="tts-1"))
    with pytest.raises(openai.UnprocessableEntityError, match="kazoo"):
        speech.create(**ask(instructions="kazoo"))


def test_who_leaves_cancels(speech, server):
    with speech.with_streaming_response.create(**ask(extra_body={"length": 12})) as answer:
        next(answer.iter_bytes(1024))
        id = answer.headers["x-song-id"]
    song = server.client.get(f"/v1/songs/{id}").json()
    assert song["status"] in ("cancelled", "singing")
    if song["status"] == "singing":
        server.wait(id, "cancelled")
