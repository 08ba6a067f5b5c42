"""The process that listens: it writes down words, times lyrics and finds songs; models load when first needed."""

from __future__ import annotations

import json
import os
import sys
from functools import cached_property
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from heartlib.errors import HeartlibError, UsageError
from heartlib.serving.channel import Channel
from heartlib.serving.messages import Message, without_paths

if TYPE_CHECKING:
    from heartlib.heartclap import HeartCLAP
    from heartlib.pipelines.lyrics_transcription import HeartTranscriptorPipeline

NICE = 2


class Listener:
    """Tasks come by messages, are done one at a time, and are answered by messages."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._next: SimpleQueue[Message] = SimpleQueue()
        self.channel = Channel(self._next.put)

    @cached_property
    def _transcriptor(self) -> HeartTranscriptorPipeline:
        from heartlib.cli.transcribe import need_transformers
        from heartlib.pipelines.lyrics_transcription import HeartTranscriptorPipeline

        need_transformers()
        return HeartTranscriptorPipeline.from_pretrained(
            self._settings["listener"], self._settings["device"]
        )

    @cached_property
    def _clap(self) -> HeartCLAP:
        from heartlib.heartclap import HeartCLAP
        from heartlib.heartclap.index import clap_folder
        from heartlib.pipelines.placement import parse_device

        device = parse_device(self._settings["device"])
        return HeartCLAP.from_pretrained(clap_folder(self._settings["listener"]), device=device)

    def run(self) -> None:
        """Works until the server is gone."""
        self.channel.listen()
        self.channel.send("ready")
        tasks = {
            "transcribe": self._transcribe,
            "align": self._align,
            "search": self._search,
            "copy": self._copy,
        }
        while True:
            task = self._next.get()
            try:
                value = tasks[task["do"]](task)
                self.channel.send("result", id=task["id"], value=value)
            except Exception as error:
                self.channel.send("error", id=task["id"], **told(error, task))

    def _transcribe(self, task: Message) -> dict[str, Any]:
        heard = self._transcriptor(task["sound"], language=task["language"])
        return {"text": heard.write(task["format"]), "seconds": heard.duration}

    def _align(self, task: Message) -> dict[str, Any]:
        found = self._transcriptor.align(task["sound"], task["lyrics"], language=task["language"])
        return {"text": found.write(task["format"]), "seconds": found.duration}

    def _copy(self, task: Message) -> dict[str, Any]:
        """A sound in another format, with what its file tells."""
        from heartlib import audio

        wave, rate = audio.read(task["sound"])
        tags = audio.read_tags(task["sound"])
        audio.write(task["to"], wave, rate, tags=tags, overwrite=True)
        return {}

    def _search(self, task: Message) -> dict[str, Any]:
        from heartlib.heartclap.index import MusicIndex

        folder = Path(task["folder"])
        if not any(path.suffix != ".safetensors" for path in folder.iterdir()):
            return {"songs": []}
        index = MusicIndex(
            folder, file=task["index"], model=self._settings["listener"], loaded=self._clap
        )
        index.update()
        found = index.search(task["text"], task["like"], task["count"])
        return {"songs": [{"id": song.path.stem, "score": round(song.score, 6)} for song in found]}


def told(error: Exception, task: Message) -> dict[str, Any]:
    """What the server is told of a task that failed."""
    if isinstance(error, HeartlibError):
        paths = (task.get(name) for name in ("sound", "like", "index", "folder"))
        return {"error": without_paths(str(error), paths), "usage": isinstance(error, UsageError)}
    reason = f"{type(error).__name__}: {error}"
    print(f"heartlib: a task failed: {reason}", file=sys.stderr, flush=True)
    return {"error": None, "usage": False}


if __name__ == "__main__":
    if hasattr(os, "nice"):
        os.nice(NICE)
    Listener(json.loads(sys.argv[1])).run()
