"""What stands before every request: host, origin, key, the size of its body and how long it takes to come."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from heartlib.serving.keys import NAME, Keys
from heartlib.serving.limits import Limits
from heartlib.serving.problems import MEDIA_TYPE, Problem

if TYPE_CHECKING:
    from heartlib.studio.visitors import Visitors

LOCAL = "local"  # who uses a server without keys
DRAIN_SECONDS = 0.3  # that a refused body is still read, so that its sender reads the answer
STREAMED = ("/v1/uploads",)  # whose bodies are read as they come
SPOKEN_TO = ("/v1/songs", "/v1/transcriptions", "/v1/search", "/v1/audio/speech")  # in JSON
PLAIN = ("/health", "/openapi.json")  # without a key, and no page either
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
API_POLICY = "default-src 'none'; frame-ancestors 'none'"


@dataclass(frozen=True)
class Access:
    """Who may come. keys: None for anybody on this machine. hosts: names that a server on loopback answers to, beside its own.

    visitors: whose browser it is, where there is a studio.
    """

    host: str = "127.0.0.1"
    keys: Keys | None = None
    hosts: Collection[str] = ()
    origins: Collection[str] = ()
    visitors: Visitors | None = None

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches the server."""
        return is_loopback(self.host)

    def check_host(self, headers: Headers) -> None:
        """Against pages of others that let their name point here: Problem 421."""
        name = _host_name(headers.get("host", ""))
        if self.loopback and not (is_loopback(name) or name in self.hosts):
            raise Problem(421, "this server does not answer to that name")

    def check_origin(self, method: str, headers: Headers) -> None:
        """Against pages of others that make a visitor's browser send something: Problem 403."""
        origin = headers.get("origin")
        if origin is None or method in ("GET", "HEAD", "OPTIONS") or origin in self.origins:
            return
        if urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
            raise Problem(403, "pages of other sites may not use this server")

    def owner(self, headers: Headers) -> str:
        """Who asks, by key or the studio's cookie, or on this machine by X-Client-Id; Problem 401, 422."""
        visitor = None if self.visitors is None else self.visitors.owner(headers)
        if self.keys is None:
            name = headers.get("x-client-id", visitor or LOCAL)
            if not NAME.fullmatch(name):
                raise Problem(422, "X-Client-Id is 1 to 64 letters, digits, dots, _ and -")
            return name
        scheme, _, key = headers.get("authorization", "").partition(" ")
        owner = self.keys.owner(key.strip()) if scheme.lower() == "bearer" else None
        if owner is None and not scheme:
            owner = visitor
        if owner is None:
            raise Problem(401, "give an API key of this server: Authorization: Bearer KEY")
        return owner


class Guard:
    """An ASGI application before another one; `scope["state"]["owner"]` tells who asks."""

    def __init__(self, app: ASGIApp, access: Access, limits: Limits) -> None:
        self._app, self._access, self._limits = app, access, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, headers = scope["path"], Headers(scope=scope)
        ours = path == "/metrics" or path.startswith("/v1/")
        plain = ours or path in PLAIN

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = MutableHeaders(scope=message)
                for name, value in SECURITY.items():
                    told.setdefault(name, value)
                if plain:
                    told.setdefault("Content-Security-Policy", API_POLICY)
                    told.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            self._access.check_host(headers)
            self._access.check_origin(scope["method"], headers)
            if ours and scope["method"] != "OPTIONS":
                scope.setdefault("state", {})["owner"] = self._access.owner(headers)
            if scope["method"] == "POST" and path in SPOKEN_TO:
                check_json(headers)
            if path not in STREAMED:
                receive = await self._whole(headers, receive)
        except Problem as problem:
            await _refuse(problem, receive, send_secured)
            return
        except Gone:
            return
        await self._app(scope, receive, send_secured)

    async def _whole(self, headers: Headers, receive: Receive) -> Receive:
        """The body, read to its end within its limits, to be received once more. Problem 408, 413."""
        most, pieces, size = self._limits.body_bytes, [], 0
        too_long = Problem(413, f"a body has at most {most} bytes")
        length = headers.get("content-length", "0")
        if length.isascii() and length.isdecimal() and int(length[:20]) > most:
            raise too_long

        async def read() -> None:
            nonlocal size
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                size += len(message.get("body", b""))
                if size > most:
                    raise too_long
                pieces.append(message.get("body", b""))
                if not message.get("more_body"):
                    return

        try:
            await asyncio.wait_for(read(), self._limits.body_seconds)
        except asyncio.TimeoutError:
            seconds = self._limits.body_seconds
            raise Problem(408, f"a request takes at most {seconds:g} s to come") from None
        body = [b"".join(pieces)]

        async def again() -> Message:
            if body:
                return {"type": "http.request", "body": body.pop(), "more_body": False}
            return await receive()

        return again


class Gone(Exception):
    """Whoever asked is not there any more."""


async def _refuse(problem: Problem, receive: Receive, send: Send) -> None:
    body = json.dumps(problem.to_dict()).encode()
    headers = {
        "Content-Type": MEDIA_TYPE,
        "Content-Length": str(len(body)),
        "Connection": "close",
        **problem.headers,
    }
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": raw})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    await drain(receive)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def drain(receive: Receive) -> None:
    """Reads what still comes, for a moment."""
    end = time.monotonic() + DRAIN_SECONDS

    async def read() -> None:
        while time.monotonic() < end:
            message = await receive()
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                return

    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(read(), DRAIN_SECONDS)


def check_json(headers: Headers) -> None:
    """A body is JSON and says so, which pages of others cannot without being asked first: Problem 415."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(415, "send JSON, with Content-Type: application/json")


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _host_name(host: str) -> str:
    host = host.lower()
    if host.startswith("["):
        return host.partition("]")[0].lstrip("[")
    return host.partition(":")[0]
