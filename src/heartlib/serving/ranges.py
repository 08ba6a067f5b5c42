"""A finished file, whole or in parts (RFC 9110), whose refusals are problem details."""

from __future__ import annotations

import json

from starlette.datastructures import Headers
from starlette.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from heartlib.serving.problems import MEDIA_TYPE, Problem

REASONS = {
    400: "the Range header is not of the form bytes=FIRST-LAST",
    416: "the file has no such range",
}


class RangedFile(FileResponse):
    """starlette's file, with `Range`, `If-Range`, `ETag` and 206, 400 and 416 as a client expects them."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the file."""
        refused = False

        async def tell(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and message["status"] in REASONS:
                refused = True
                body = json.dumps(Problem(message["status"], REASONS[message["status"]]).to_dict())
                kept = Headers(raw=message["headers"]).get("content-range")
                headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body))}
                headers |= {} if kept is None else {"content-range": kept}
                raw = [(name.encode(), value.encode()) for name, value in headers.items()]
                await send({**message, "headers": raw})
                await send({"type": "http.response.body", "body": body.encode()})
            elif not refused:
                await send(message)

        await super().__call__(scope, receive, tell)
