"""The left side of the studio: lyrics, tags, length, takes and sampling, and what is asked for with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import gradio as gr
from gradio.components import Component

from heartlib.serving.requests import LONGEST_LYRICS, LONGEST_TAGS, MOST_SONGS

SECTIONS = ("Intro", "Verse", "Prechorus", "Chorus", "Bridge", "Instrumental", "Outro")
TEMPLATE = """[Intro]

[Verse]
the morning light is on the tree
a little bird will sing to me

[Chorus]
sing with me, the sky is new
the road is wide, the sea is blue

[Outro]
"""
CHOSEN = ("pop", "female", "piano", "happy")  # of the chips, at first
SONG_SECONDS = 20.0


@dataclass(frozen=True)
class Editor:
    """The components; `all` in the order in which handlers get their values, `request` reads those."""

    lyrics: Component
    template: gr.Button
    chips: tuple[Component, ...]
    more_tags: Component
    length: Component
    takes: Component
    seed: Component
    lock: Component
    temperature: Component
    topk: Component
    cfg_scale: Component
    steps: Component
    guidance: Component
    known: Mapping[str, list[str]]

    @property
    def all(self) -> list[Component]:
        """What handlers are given."""
        found: list[Component] = []
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple):
                found.extend(value)
            elif isinstance(value, Component) and value is not self.template:
                found.append(value)
        return found

    def request(self, values: tuple[Any, ...]) -> dict[str, Any]:
        """What `SongRequest` takes, from the values of `all`."""
        lyrics, chips, rest = (
            values[0],
            values[1 : 1 + len(self.chips)],
            values[1 + len(self.chips) :],
        )
        more, length, takes, seed, lock, temperature, topk, cfg_scale, steps, guidance = rest
        chosen = [tag for group in chips for tag in group or ()]
        written = [tag.strip() for tag in (more or "").split(",") if tag.strip()]
        return {
            "lyrics": lyrics or "",
            "tags": ",".join(dict.fromkeys(chosen + written)),
            "length": length,
            "count": int(takes),
            "seed": int(seed) if lock and seed is not None else None,
            "temperature": temperature,
            "topk": int(topk),
            "cfg_scale": cfg_scale,
            "steps": int(steps) or None,
            "guidance": guidance or None,
        }

    def of_song(self, request: Mapping[str, Any]) -> list[Any]:
        """Values of `all` that ask for a song again, from what it was asked with."""
        tags = [tag.strip() for tag in request["tags"].split(",")]
        settings = request["settings"]
        length = settings["max_audio_length_ms"]
        chips = [[tag for tag in group if tag in tags] for group in self.known.values()]
        found = {tag for group in chips for tag in group}
        return [
            request["lyrics"],
            *chips,
            ", ".join(tag for tag in tags if tag not in found),
            SONG_SECONDS if length is None else length / 1000,
            1,
            settings["seed"],
            True,
            settings["temperature"],
            settings["topk"],
            settings["cfg_scale"],
            settings["num_steps"] or 0,
            settings["guidance_scale"] or 0,
        ]


def editor(known: Mapping[str, list[str]], longest: float) -> Editor:
    """Builds it; known: the model's tags by category; longest: seconds."""
    lyrics = gr.Textbox(
        label="Lyrics",
        info="lines to be sung, with sections such as [Verse] between them",
        placeholder="[Verse]\nthe morning light is on the tree",
        lines=11,
        max_lines=24,
        max_length=LONGEST_LYRICS,
        elem_id="lyrics",
    )
    with gr.Row(elem_classes="sections", elem_id="section-buttons"):
        for name in SECTIONS:
            gr.Button(f"[{name}]", size="sm", min_width=40, elem_classes="insert-section")
        template = gr.Button("Template", size="sm", min_width=40, elem_id="template")
    chips = tuple(
        gr.CheckboxGroup(
            group,
            label=kind.capitalize(),
            value=[tag for tag in CHOSEN if tag in group],
            elem_classes="chips",
            elem_id=f"tags-{number}",
        )
        for number, (kind, group) in enumerate(known.items())
    )
    more = gr.Textbox(
        label="More tags",
        info="with commas between them",
        value="" if known else ",".join(CHOSEN),
        max_length=LONGEST_TAGS,
        elem_id="more-tags",
    )
    with gr.Row():
        length = gr.Slider(
            1,
            longest,
            min(SONG_SECONDS, longest),
            step=0.5,
            label="Length, at most (s)",
            elem_id="length",
        )
        takes = gr.Slider(1, MOST_SONGS, 1, step=1, label="Takes", elem_id="takes")
    with gr.Accordion("Advanced", open=False, elem_id="advanced"):
        with gr.Row():
            seed = gr.Number(label="Seed", precision=0, minimum=0, elem_id="seed")
            lock = gr.Checkbox(label="Keep this seed", elem_id="lock")
        with gr.Row():
            temperature = gr.Slider(0.1, 2, 1, step=0.05, label="Temperature")
            topk = gr.Slider(1, 500, 50, step=1, label="Top k")
        with gr.Row():
            cfg_scale = gr.Slider(1, 5, 1.5, step=0.1, label="Guidance by the prompt")
            steps = gr.Slider(0, 50, 0, step=1, label="Steps of the codec (0: its own)")
            guidance = gr.Slider(0, 5, 0, step=0.05, label="Guidance of the codec (0: its own)")
    return Editor(
        lyrics,
        template,
        chips,
        more,
        length,
        takes,
        seed,
        lock,
        temperature,
        topk,
        cfg_scale,
        steps,
        guidance,
        known,
    )
