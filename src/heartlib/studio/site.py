"""The studio as an application behind the API: who may see it, which of Gradio's paths it has, and what a page may load."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs

import gradio
from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from heartlib.serving.problems import MEDIA_TYPE, Problem
from heartlib.serving.service import Service
from heartlib.studio.look import theme
from heartlib.studio.page import build
from heartlib.studio.visitors import Visitors

STATIC = Path(__file__).parent / "static"
TYPES = {".css": "text/css", ".js": "text/javascript"}
HEAD = '<link rel="stylesheet" href="/studio/studio.css">' + "".join(
    f'<script type="module" src="/studio/{name}"></script>'
    for name in ("editor.js", "player.js", "compare.js")
)
GRADIO = re.compile(
    r"/|/config|/theme\.css|/favicon\.ico|/(assets|static|svelte)/[\w./-]+"
    r"|/gradio_api/(info|startup-events|cancel|reset|queue/(join|data))/?"
)
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self'; media-src 'self'; img-src 'self' data:; font-src 'self'; manifest-src 'self'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
KEY_POLICY = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'"
LONGEST_KEY = 1000


class Studio:
    """An ASGI application: the page at `/`, its files under `/studio/`, and those of Gradio's paths that it needs."""

    def __init__(self, service: Service, visitors: Visitors) -> None:
        self._visitors = visitors
        self._files = {file.name for file in STATIC.iterdir() if file.suffix in TYPES}
        self._shell = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
        gradio.mount_gradio_app(
            self._shell,
            build(service, visitors),
            path="/",
            allowed_paths=[],
            footer_links=[],
            run_history=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            enable_monitoring=False,
            show_error=True,
            theme=theme(),
            head=HEAD,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Around the time in which pages are served."""
        async with self._shell.router.lifespan_context(self._shell):
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        folder, _, name = path.rpartition("/")
        if folder == "/studio" and name in self._files:
            app: ASGIApp = _file(STATIC / name)
        elif path == "/studio/key" and scope["method"] == "POST" and self._visitors.ask_for_key:
            app = await self._take_key(Request(scope, receive))
        elif not GRADIO.fullmatch(path) or ".." in path:
            app = _problem(Problem(404, "Not Found"))
        elif (instead := self._for_visitor(scope)) is not None:
            app = instead
        else:
            app = self._shell
            scope = dict(scope)  # Gradio's routes are no routes of the API
        await app(scope, receive, self._secured(scope, send))

    def _for_visitor(self, scope: Scope) -> ASGIApp | None:
        """What a browser gets that has no name yet: one, or the question for a key. None for one that has."""
        if self._visitors.owner(Headers(scope=scope)) is not None:
            return None
        if scope["path"] != "/":
            return _problem(Problem(401, "open the studio's page first"))
        if self._visitors.ask_for_key:
            return _key_page()
        scope["heartlib.cookie"] = self._cookie(scope, self._visitors.new())
        return None

    def _cookie(self, scope: Scope, owner: str) -> str:
        return self._visitors.cookie(owner, secure=scope["scheme"] == "https")

    async def _take_key(self, request: Request) -> Response:
        """The key of a form: a cookie for its owner."""
        given = parse_qs((await request.body())[:LONGEST_KEY].decode("utf-8", "replace"))
        owner = self._visitors.of_key(given.get("key", [""])[0])
        if owner is None:
            return _key_page("This is not a key of this server.")
        headers = {"Set-Cookie": self._cookie(request.scope, owner)}
        return RedirectResponse("/", 303, headers)

    def _secured(self, scope: Scope, send: Send) -> Send:
        cookie = scope.get("heartlib.cookie")

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", POLICY)
                if scope["path"] == "/":
                    headers["Cache-Control"] = "no-store"
                if cookie is not None:
                    headers.append("Set-Cookie", cookie)
            await send(message)

        return secured


def _file(path: Path) -> Response:
    headers = {"Cache-Control": "no-cache"}
    return FileResponse(path, media_type=TYPES[path.suffix], headers=headers)


def _problem(problem: Problem) -> Response:
    return JSONResponse(problem.to_dict(), problem.status, problem.headers, MEDIA_TYPE)


def _key_page(why: str = "") -> Response:
    """The form that asks for a key; no word of a visitor's is in it."""
    page = (STATIC / "key.html").read_text(encoding="utf-8").replace("{{why}}", why)
    headers = {"Content-Security-Policy": KEY_POLICY, "Cache-Control": "no-store"}
    return HTMLResponse(page, 401 if why else 200, headers)
