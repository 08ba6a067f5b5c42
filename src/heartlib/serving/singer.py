"""The process that sings: it loads the models once and takes one song after another, or many at once on a GPU.

The song is the only thing it takes from a message; where files lie is decided by the server.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from heartlib.errors import HeartlibError
from heartlib.serving.channel import Channel
from heartlib.serving.messages import Message, without_paths

if TYPE_CHECKING:
    from heartlib.pipelines.music_generation import HeartMuLaGenPipeline
    from heartlib.pipelines.song import Song

TOLD_SECONDS = 0.2  # between two messages about frames
SONGS_ON_GPU = 16
NICE = 2  # on a CPU: whoever only asks is answered first


@dataclass
class Job:
    """A song to be made: its request, and the files it becomes."""

    id: str
    request: dict[str, Any]
    song: Path
    codes: Path
    live: Path
    kept: dict[str, str] | None = None
    reference: str | None = None
    cancel: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def of(cls, message: Message) -> Job:
        """The job of a message of the server."""
        song, codes, live = (Path(message[name]) for name in ("song", "codes", "live"))
        sounds = message.get("kept"), message.get("reference")
        return cls(message["id"], message["request"], song, codes, live, *sounds)


class Told:
    """A pipeline's progress, as messages of one song: not more often than is of use."""

    def __init__(self, channel: Channel, id: str) -> None:
        self._channel, self._id, self._last = channel, id, 0.0

    def __call__(self, stage: str, done: int, most: int) -> None:
        now = time.monotonic()
        if stage == "singing" and (now - self._last >= TOLD_SECONDS or done == most):
            self._last = now
            self._channel.send("frames", id=self._id, frames=done, most=most)

    def sound(self, seconds: float) -> None:
        """So much of it can be heard."""
        self._channel.send("sound", id=self._id, seconds=round(seconds, 3))


def sing(pipe: HeartMuLaGenPipeline, job: Job, told: Told) -> Song:
    """Makes a song while its live file grows; raises as `generate`."""
    from heartlib.heartcodec.streaming import NEW_FRAMES
    from heartlib.pipelines.settings import FRAME_MS
    from heartlib.serving.live import LiveFile

    request = job.request
    if job.reference is not None and not Path(job.reference).exists():
        raise HeartlibError("the sound to take after was removed")
    settings = request["settings"] | {"reference": job.reference}
    given = {"lyrics": request["lyrics"], "tags": request["tags"], **settings}
    asked = {"progress": told, "cancel": job.cancel}
    length = given["max_audio_length_ms"]
    rate = pipe._load_both().config.sample_rate
    with LiveFile(job.live, request["live"], rate) as live:
        if job.kept is not None:
            from heartlib.serving.going_on import go_on

            song = go_on(pipe, job.kept, request | {"settings": settings}, **asked)
            live.add(song.waveform.numpy())
        elif length is not None and length <= NEW_FRAMES[0] * FRAME_MS:
            # one window of sound: no sooner heard by streaming, and more to compute
            song = pipe.generate(**given, **asked)
            live.add(song.waveform.numpy())
        else:
            with pipe.stream(**given, **asked) as stream:
                for piece in stream:
                    live.add(piece.numpy())
                    told.sound(live.seconds)
                    if job.cancel.is_set():
                        break
            if stream.song is None:
                raise HeartlibError("cancelled")
            song = stream.song
    told.sound(song.duration)
    return song


def keep(song: Song, job: Job, codec_hash: str) -> dict[str, Any]:
    """Writes a song's files, on the disk when this returns; what is to be known of it."""
    from heartlib.heartcodec.codes import Codes, save_codes

    save_codes(job.codes, Codes(song.codes, song.duration, codec_hash), overwrite=True)
    song.save(job.song, overwrite=True)
    for path in (job.codes, job.song, job.song.parent):
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
    return {
        "seconds": round(song.duration, 3),
        "frames": song.codes.shape[1],
        "seed": song.seed,
        "ended": song.ended,
        "bytes": job.song.stat().st_size,
        "tags": song.tags,
        "model": song.model,
        "settings": song.settings,
        "timings": {stage: round(seconds, 3) for stage, seconds in song.timings.items()},
    }


def reason_of(error: BaseException, job: Job) -> str:
    """What a client is told of a song that failed."""
    if isinstance(error, HeartlibError) or job.cancel.is_set():
        sounds = [*(job.kept or {}).values(), *([job.reference] if job.reference else [])]
        return without_paths(str(error), [job.song, job.codes, job.live, *sounds])
    print(f"heartlib: a song failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    return "the server failed to make this song; its log says why"


class Singer:
    """Songs come by messages, are made one at a time, or together on a GPU, and are told of by messages."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._jobs: dict[str, Job] = {}
        self._next: SimpleQueue[Job] = SimpleQueue()
        self.channel = Channel(self._handle)

    def run(self) -> None:
        """Loads the models and sings until the server is gone."""
        self.channel.listen()
        songs = self._songs()
        try:
            self._pipe = self._load(songs)
        except HeartlibError as error:
            self.channel.send("unable", error=str(error))
            raise SystemExit(1) from error
        self.channel.send("ready", capacity=songs)
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(songs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _songs(self) -> int:
        """How many at once: as told, else many on a GPU and one on a CPU."""
        if self._settings["songs"] is not None:
            return self._settings["songs"]
        from heartlib.pipelines.placement import Placement

        place = Placement.resolve(self._settings["device"], None, self._settings["quantization"])
        return SONGS_ON_GPU if place.mula_device.type == "cuda" else 1

    def _load(self, songs: int) -> HeartMuLaGenPipeline:
        from heartlib.pipelines.music_generation import HeartMuLaGenPipeline

        settings = self._settings
        if songs > 1:
            from heartlib.serving.batched import batched

            return batched(settings, songs)
        return HeartMuLaGenPipeline.from_pretrained(
            settings["model"],
            device=settings["device"],
            version=settings["version"],
            quantization=settings["quantization"],
        )

    def _work(self) -> None:
        """Makes one song after another, in a thread for each that is made at once."""
        from heartlib import checkpoints

        codec = checkpoints.weights_hash(self._pipe.paths.codec)
        while True:
            job = self._next.get()
            message: dict[str, Any]
            try:
                song = sing(self._pipe, job, Told(self.channel, job.id))
                message = {"is": "done", "result": keep(song, job, codec)}
            except Exception as error:
                if self._broken(error):
                    os._exit(1)  # its songs are begun again by another process
                message = {"is": "failed", "error": reason_of(error, job)}
            self._jobs.pop(job.id, None)
            if job.cancel.is_set():
                message = {"is": "cancelled"}
            self.channel.send(message.pop("is"), id=job.id, **message)

    def _broken(self, error: Exception) -> bool:
        """Whether no further song can be made here: the device or the engine is lost."""
        engine = getattr(self._pipe, "engine", None)
        ended = engine is not None and engine.closed
        return ended or (isinstance(error, RuntimeError) and "CUDA error" in str(error))

    def _handle(self, message: Message) -> None:
        if message["do"] == "sing":
            job = Job.of(message)
            self._jobs[job.id] = job
            self._next.put(job)
        elif message["do"] == "cancel" and (job := self._jobs.get(message["id"])) is not None:
            job.cancel.set()


if __name__ == "__main__":
    if hasattr(os, "nice"):
        os.nice(NICE)
    Singer(json.loads(sys.argv[1])).run()
