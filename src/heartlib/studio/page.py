"""The studio's page: what is on it, and which handler every button has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from heartlib.serving.service import Service
from heartlib.serving.store import SongRow
from heartlib.studio import words
from heartlib.studio.editor import TEMPLATE, editor
from heartlib.studio.handlers import Handlers, told
from heartlib.studio.visitors import Visitors

TITLE = "heartlib studio"


def build(service: Service, visitors: Visitors) -> gr.Blocks:
    """The page of one service; nothing of a visitor is in it before `load`."""
    do = Handlers(service, visitors)
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as page:
        gr.Markdown(f"# {TITLE}", elem_id="title")
        with gr.Row(equal_height=False):
            with gr.Column(min_width=320, scale=5):
                form = editor(service.model.tags, service.model.longest)
                create = gr.Button("Create", variant="primary", elem_id="create")
            with gr.Column(min_width=320, scale=6):
                player = element(words.player(None), "player")
                with gr.Row():
                    cancel = gr.Button(
                        "Cancel or remove", size="sm", elem_id="cancel", min_width=80
                    )
                    reuse = gr.Button("Into the editor", size="sm", elem_id="reuse", min_width=80)
                with gr.Accordion("Go on, or sing again", open=False, elem_id="change"):
                    gr.Markdown(
                        "A song goes on with the lyrics of the editor, which are the whole song's."
                    )
                    with gr.Row(elem_classes="field-and-button"):
                        start = gr.Number(
                            label="Keep until (s), 0 for all",
                            value=0,
                            minimum=0,
                            elem_id="keep-until",
                        )
                        extend = gr.Button("Extend", elem_id="extend")
                    with gr.Row(elem_classes="field-and-button"):
                        section = gr.Dropdown([], label="From this section on", elem_id="section")
                        again = gr.Button("Sing again", elem_id="sing-again")
                songs = gr.Radio([], label="Your songs", elem_id="songs", elem_classes="songs")
                refresh = gr.Button("Update the list", size="sm", elem_id="refresh")
                with gr.Accordion("Compare two songs", open=False, elem_id="compare"):
                    with gr.Row():
                        to_a = gr.Button("This song is A", size="sm", elem_id="to-a")
                        to_b = gr.Button("This song is B", size="sm", elem_id="to-b")
                    side_a, side_b = gr.Textbox(visible=False), gr.Textbox(visible=False)
                    compared = element(words.compare(None, None), "compared")
                with gr.Accordion("Search your songs by words", open=False, elem_id="search"):
                    with gr.Row(elem_classes="field-and-button"):
                        text = gr.Textbox(
                            label="What it sounds like",
                            placeholder="slow sad piano",
                            max_length=1000,
                            elem_id="search-text",
                        )
                        search = gr.Button("Search", elem_id="search-button")
                    found = gr.Radio([], label="Found", elem_id="found", elem_classes="songs")

        async def listed(owner: str, chosen: SongRow | None) -> list[Any]:
            rows = await do.songs(owner)
            value = None if chosen is None else chosen.id
            return [gr.Radio(words.choices(rows), value=value)]

        async def chosen(owner: str, row: SongRow | None, *, play: bool = False) -> list[Any]:
            parts = [] if row is None else words.sections(row)
            first = parts[0][1] if parts else None
            return [
                words.player(row, play=play),
                *await listed(owner, row),
                gr.Dropdown(parts, value=first),
            ]

        shown = [player, songs, section]

        @told
        async def on_load(request: gr.Request) -> Any:
            owner = do.owner(request)
            await do.warm(owner)
            rows = await do.songs(owner)
            return await chosen(owner, rows[0] if rows else None)

        @told
        async def on_create(request: gr.Request, *values: Any) -> Any:
            owner = do.owner(request)
            rows = await do.create(owner, form.request(values))
            seed = rows[0].request["settings"]["seed"]
            return [*await chosen(owner, rows[0], play=True), seed]

        @told
        async def on_extend(request: gr.Request, id: str, start: float | None, *values: Any) -> Any:
            owner = do.owner(request)
            rows = await do.extend(owner, form.request(values), need(id), start or None)
            return await chosen(owner, rows[0], play=True)

        @told
        async def on_again(request: gr.Request, id: str, section: int, takes: float) -> Any:
            owner = do.owner(request)
            if section is None:
                raise gr.Error("choose a section", title="Please change this")
            rows = await do.sing_again(owner, need(id), int(section), int(takes))
            return await chosen(owner, rows[0], play=True)

        @told
        async def on_choose(request: gr.Request, id: str) -> Any:
            owner = do.owner(request)
            there, _, parts = await chosen(owner, await do.song(owner, need(id)))
            return there, parts  # the list stays as it is, and with it where the keyboard is

        @told
        async def on_found(request: gr.Request, id: str) -> Any:
            owner = do.owner(request)
            return await chosen(owner, await do.song(owner, need(id)))

        @told
        async def on_cancel(request: gr.Request, id: str) -> Any:
            owner = do.owner(request)
            row = await do.remove(owner, need(id))
            if row.status == "cancelled":
                return await chosen(owner, row)
            rows = await do.songs(owner)
            return await chosen(owner, rows[0] if rows else None)

        @told
        async def on_refresh(request: gr.Request, id: str | None) -> Any:
            owner = do.owner(request)
            rows = await do.songs(owner)
            return gr.Radio(words.choices(rows), value=id)

        @told
        async def on_reuse(request: gr.Request, id: str) -> Any:
            row = await do.song(do.owner(request), need(id))
            return form.of_song(row.request)

        @told
        async def on_a(request: gr.Request, id: str, b: str) -> Any:
            owner = do.owner(request)
            mine = await do.song(owner, need(id))
            return id, words.compare(mine, await do.song(owner, b) if b else None)

        @told
        async def on_b(request: gr.Request, id: str, a: str) -> Any:
            owner = do.owner(request)
            mine = await do.song(owner, need(id))
            return id, words.compare(await do.song(owner, a) if a else None, mine)

        @told
        async def on_search(request: gr.Request, text: str) -> Any:
            rows = [row for row, _ in await do.search(do.owner(request), text)]
            return gr.Radio(words.choices(rows), value=None, label=f"Found: {len(rows)}")

        on(page.load, on_load, None, shown)
        on(create.click, on_create, form.all, [*shown, form.seed])
        on(extend.click, on_extend, [songs, start, *form.all], shown)
        on(again.click, on_again, [songs, section, form.takes], shown, waits=True)
        on(songs.input, on_choose, songs, [player, section])
        on(found.input, on_found, found, shown)
        on(cancel.click, on_cancel, songs, shown)
        on(refresh.click, on_refresh, songs, songs)
        on(reuse.click, on_reuse, songs, form.all)
        on(form.template.click, lambda: TEMPLATE, None, form.lyrics)
        on(to_a.click, on_a, [songs, side_b], [side_a, compared])
        on(to_b.click, on_b, [songs, side_a], [side_b, compared])
        on(search.click, on_search, text, found, waits=True)
        on(text.submit, on_search, text, found, waits=True)
    return page


def on(
    event: Callable[..., object],
    handler: Callable[..., Any],
    given: Component | Sequence[Component] | None,
    changed: Component | Sequence[Component],
    *,
    waits: bool = False,
) -> None:
    """Wires one event, of which Gradio's own API tells nothing; waits: for something that takes a while, which is shown."""
    event(
        handler,
        given,
        changed,
        api_visibility="private",
        concurrency_limit=None,
        show_progress="minimal" if waits else "hidden",
    )


def element(html: str, id: str) -> gr.Markdown:
    """Elements of the page's own; `gr.HTML` would need a policy that lets text become program."""
    return gr.Markdown(html, sanitize_html=False, latex_delimiters=[], elem_id=id)


def need(id: str | None) -> str:
    """The song that is chosen; gr.Error where there is none."""
    if not id:
        raise gr.Error("make a song, or choose one of yours", title="No song is chosen")
    return id
