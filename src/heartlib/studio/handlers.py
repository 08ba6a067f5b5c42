"""What the page's buttons do: they ask the `Service` and tell the visitor what it says."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import gradio as gr
from pydantic import ValidationError

from heartlib.errors import HeartlibError
from heartlib.serving.problems import problem_of
from heartlib.serving.requests import SearchRequest, SongRequest
from heartlib.serving.service import Service
from heartlib.serving.store import SongRow
from heartlib.studio.section_starts import section_starts
from heartlib.studio.visitors import Visitors

FORMAT = "flac"  # of songs made here: what is downloaded in another is made from it
LISTED = 100


def told(handler: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """A handler whose errors the visitor reads, in heartlib's words."""

    @functools.wraps(handler)
    async def wrapped(*arguments: Any) -> Any:
        try:
            return await handler(*arguments)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the request"
            raise gr.Error(f"{where}: {first['msg']}", title="Please change this") from None
        except HeartlibError as error:
            raise gr.Error(problem_of(error).detail, title="That did not work") from None

    return wrapped


class Handlers:
    """Methods for every button; each takes the visitor's request, which tells whose songs are meant."""

    def __init__(self, service: Service, visitors: Visitors) -> None:
        self._service, self._visitors = service, visitors

    def owner(self, request: gr.Request) -> str:
        """The visitor. gr.Error for a page without one."""
        owner = self._visitors.owner(request.headers)  # pyright: ignore[reportArgumentType]
        if owner is None:
            raise gr.Error("load this page again", title="The server does not know this browser")
        return owner

    async def warm(self, owner: str) -> None:
        """Somebody is here: the models load while the lyrics are written."""
        await self._service.warm(owner)

    async def create(self, owner: str, asked: dict[str, Any]) -> list[SongRow]:
        """Asks for songs; the takes."""
        return await self._service.submit(owner, SongRequest(**asked, format=FORMAT))

    async def extend(
        self, owner: str, asked: dict[str, Any], id: str, start: float | None
    ) -> list[SongRow]:
        """Asks for a song that goes on from another one."""
        extension = {"song": id, **({} if start is None else {"from": start})}
        return await self.create(owner, asked | {"extension": extension})

    async def sing_again(self, owner: str, id: str, section: int, count: int) -> list[SongRow]:
        """Asks for a song with the same words that is another one from the begin of a section on."""
        row, _ = await self._service.song(owner, id)
        settings = row.request["settings"]
        length = settings["max_audio_length_ms"]
        asked = {
            "lyrics": row.request["lyrics"],
            "tags": row.request["tags"] or (row.result or {}).get("tags"),
            "length": None if length is None else length / 1000,
            "temperature": settings["temperature"],
            "topk": settings["topk"],
            "cfg_scale": settings["cfg_scale"],
            "steps": settings["num_steps"],
            "guidance": settings["guidance_scale"],
            "count": count,
        }
        start = await self.begin(owner, row, section)
        return await (
            self.create(owner, asked) if start is None else self.extend(owner, asked, id, start)
        )

    async def begin(self, owner: str, row: SongRow, section: int) -> float | None:
        """The second at which a section of a song begins, None for the song's own begin."""
        lrc = await self._service.lyrics(owner, row.id)
        starts = section_starts(row.request["lyrics"], lrc.read_text(encoding="utf-8"))
        return starts[section]

    async def songs(self, owner: str) -> list[SongRow]:
        """The visitor's songs, the newest first."""
        return [row for row, _ in await self._service.songs(owner, limit=LISTED)]

    async def song(self, owner: str, id: str) -> SongRow:
        """One of them."""
        return (await self._service.song(owner, id))[0]

    async def remove(self, owner: str, id: str) -> SongRow:
        """Cancels a song that is not finished, removes one that is."""
        return await self._service.remove(owner, id)

    async def search(self, owner: str, text: str) -> list[tuple[SongRow, float]]:
        """The visitor's songs that sound like a text, the best first."""
        return await self._service.search(owner, SearchRequest(text=text, count=LISTED))
