"""The studio without a browser: its handlers against a real service, and what stands before it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.datastructures import Headers

from heartlib.serving.app import create_app
from heartlib.serving.guard import Access
from heartlib.serving.keys import Keys
from heartlib.serving.problems import Problem
from heartlib.serving.service import Service
from heartlib.serving.settings import ServiceSettings
from heartlib.studio.editor import Editor
from heartlib.studio.handlers import Handlers
from heartlib.studio.section_starts import section_starts, sung_sections
from heartlib.studio.visitors import COOKIE, Visitors

SONG = {"lyrics": "[Verse]\nThe morning light is on the sea", "tags": "pop,female", "length": 2}
LYRICS = "[Intro]\n\n[Verse]\none two\nthree\n\n[Chorus]\nfour"
LRC = "[00:01.50] <00:01.50> one <00:02.00> two <00:03.00>\n[00:04.00] <00:04.00> three <00:05.00>\n[01:02.25] <01:02.25> four <01:03.00>\n"
KEY = "a-key-of-sixteen-signs"


@pytest.fixture
def settings(tiny_checkpoint, tmp_path):
    return ServiceSettings(tmp_path / "data", str(tiny_checkpoint), device="cpu")


@asynccontextmanager
async def visiting(settings: ServiceSettings, keys: Keys | None = None):
    """A browser, as far as requests go, before a server with the studio."""
    service = Service(settings)
    await service.start()
    app = create_app(service, Access("127.0.0.1", keys), studio=True)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        yield client


def test_handlers(settings):
    """A song is asked for, made, listed, and sung again with another seed; another visitor has none of it."""

    async def run() -> None:
        service = Service(settings)
        await service.start()
        do = Handlers(service, Visitors(b"secret", None))
        (row,) = await do.create("visitor-1", SONG)
        assert (await service.finished("visitor-1", row.id)).status == "done"
        assert [row.id for row in await do.songs("visitor-1")] == [row.id]
        assert await do.songs("visitor-2") == []
        with pytest.raises(Problem, match="no such song"):
            await do.song("visitor-2", row.id)
        service._file(row, "lrc").write_text("[00:00.10] <00:00.10> The <00:00.30>\n")
        (again,) = await do.sing_again("visitor-1", row.id, 0, 1)
        assert again.request["lyrics"] == row.request["lyrics"]
        assert again.request["settings"]["seed"] != row.request["settings"]["seed"]
        (more,) = await do.extend("visitor-1", SONG | {"length": 3}, row.id, 1.0)
        assert more.request["kept"] == {"song": row.id, "format": "flac", "from": 1.0}
        copy = await service.copy("visitor-1", row.id, "wav")
        assert copy.read_bytes()[:4] == b"RIFF"
        for id in (again.id, more.id):
            await do.remove("visitor-1", id)
        await service.stop()

    asyncio.run(run())


def test_page(settings):
    """The page names a visitor, may load nothing from elsewhere, and has no more of Gradio's paths than it needs."""

    async def run() -> None:
        async with visiting(settings) as client:
            answer = await client.get("/")
            assert answer.status_code == 200 and COOKIE in answer.cookies
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe-eval" not in policy and "http" not in policy
            cookie = answer.headers["set-cookie"]
            assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
            script = await client.get("/studio/player.js")
            assert script.headers["content-type"].startswith("text/javascript")
            for path in (
                "file=/etc/passwd",
                "upload",
                "proxy=http://localhost",
                "file/x",
                "call/x",
            ):
                assert (await client.get(f"/gradio_api/{path}")).status_code == 404, path
                assert (await client.post(f"/gradio_api/{path}")).status_code == 404, path
            assert (await client.get("/studio/../site.py")).status_code == 404
            unknown = await client.get("/nothing")
            assert unknown.headers["content-type"] == "application/problem+json"
            assert (await client.put("/v1/songs", json={})).status_code == 405
            assert (await client.get("/v1/nothing")).status_code == 404
            assert "googleapis" not in (await client.get("/config")).text

    asyncio.run(run())


def test_keys(settings):
    """Where there are keys, the page asks for one, and its cookie is as good as the key."""

    async def run() -> None:
        async with visiting(settings, Keys({"ann": KEY})) as client:
            assert "API key" in (await client.get("/")).text and COOKIE not in client.cookies
            assert (await client.get("/config")).status_code == 401
            assert (await client.get("/v1/songs")).status_code == 401
            wrong = await client.post("/studio/key", data={"key": "wrong"})
            assert wrong.status_code == 401 and "not a key" in wrong.text
            assert (await client.post("/studio/key", data={"key": KEY})).status_code == 303
            assert (await client.get("/v1/songs")).status_code == 200
            assert "gradio" in (await client.get("/")).text
            header = {"Authorization": "Bearer nobody's"}
            assert (await client.get("/v1/songs", headers=header)).status_code == 401

    asyncio.run(run())


def test_editor():
    """What is asked for, from the values of the editor's fields."""
    nothing: Any = None
    editor = Editor(nothing, nothing, (nothing,), *[nothing] * 10, {"genre": ["pop", "rock"]})
    values = ("[Verse]\nla", ["pop"], "piano, ", 3, 2, 7, True, 1.0, 50, 1.5, 0, 0)
    asked = editor.request(values)
    assert (asked["tags"], asked["seed"], asked["count"], asked["steps"]) == (
        "pop,piano",
        7,
        2,
        None,
    )
    assert editor.request((*values[:6], False, *values[7:]))["seed"] is None


def test_cookies_are_signed():
    visitors = Visitors(b"secret", None)
    owner = visitors.new()
    cookie = visitors.cookie(owner, secure=True).partition(";")[0]
    assert visitors.owner(Headers({"cookie": cookie})) == owner
    for wrong in (cookie[:-1], cookie.replace("visitor-", "visitor-0"), f"{COOKIE}=local.", ""):
        assert visitors.owner(Headers({"cookie": wrong})) is None
    assert Visitors(b"another", None).owner(Headers({"cookie": cookie})) is None
    keyed = Visitors(b"secret", Keys({"ann": KEY}))
    cookie = keyed.cookie("ann", secure=False).partition(";")[0]
    assert keyed.owner(Headers({"cookie": cookie})) == "ann"
    changed = Visitors(b"secret", Keys({"ann": KEY + "2"}))
    assert changed.owner(Headers({"cookie": cookie})) is None


def test_section_starts():
    assert sung_sections(LYRICS) == [("Verse", 0), ("Chorus", 2)]
    assert section_starts(LYRICS, LRC) == [pytest.approx(1.2), pytest.approx(61.95)]
    assert section_starts(LYRICS, "") == [None, None]
