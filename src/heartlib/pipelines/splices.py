"""A song that was sung in stretches, each with a seed of its own, and how it is sung once more.

K: codebooks, T: frames of 80 ms.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from heartlib.errors import HeartlibError
from heartlib.pipelines.music_generation import HeartMuLaGenPipeline, Progress
from heartlib.pipelines.settings import GenerationSettings
from heartlib.pipelines.song import Song


@dataclass(frozen=True)
class Splice:
    """From frame `frames` on, a song is sung with another seed."""

    frames: int
    seed: int


def spliced(song: Song, seed: int, splices: Sequence[Splice], tries: int, above: float) -> Song:
    """The song under the first take's seed, with where it left it."""
    song.seed = seed
    song.settings = song.settings | {"seed": seed}
    song.extended = None
    song.repaired = {
        "tries": tries,
        "above": above,
        "splices": [asdict(splice) for splice in splices],
    }
    return song


def sing_again(
    pipe: HeartMuLaGenPipeline,
    lyrics: str,
    tags: str,
    settings: GenerationSettings,
    repaired: Mapping[str, Any],
    *,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Song:
    """A repaired song once more, from what its file tells, without listening to it.

    settings: the first take's, with its seed; repaired: the song's `repaired`. Every stretch is sung with its own seed
    up to the frame where the next begins. HeartlibError where `repaired` is damaged, or
    the song is another here. Raises and stops
    as `HeartMuLaGenPipeline.generate`.
    """
    try:
        splices = tuple(Splice(int(x["frames"]), int(x["seed"])) for x in repaired["splices"])
        tries, above = int(repaired["tries"]), float(repaired["above"])
    except (KeyError, TypeError, ValueError) as error:
        raise HeartlibError(
            "the file does not say where its song was sung again: damaged"
        ) from error
    seed, prefix, song = settings.seed or 0, None, None
    for at, splice in enumerate((Splice(0, seed), *splices)):
        last = at == len(splices)
        if not last and splices[at].frames == 0:
            continue
        song = _up_to(
            pipe,
            lyrics,
            tags,
            replace(settings, seed=splice.seed),
            prefix,
            None if last else splices[at].frames,
            progress,
            cancel,
        )
        if cancel is not None and cancel.is_set():
            break
        if last:
            continue
        prefix = song.codes[:, : splices[at].frames]
        if prefix.shape[1] < splices[at].frames:
            raise HeartlibError(
                "the song ended here before the place where it was sung again: this machine, or these "
                "versions, sing other codes than those that repaired it; --repair repairs it anew"
            )
    assert song is not None
    song = spliced(song, seed, splices, tries, above)
    song.repaired = dict(repaired)
    return song


def _up_to(
    pipe: HeartMuLaGenPipeline,
    lyrics: str,
    tags: str,
    settings: GenerationSettings,
    prefix: torch.Tensor | None,
    frames: int | None,
    progress: Progress | None,
    cancel: threading.Event | None,
) -> Song:
    """A song after `prefix`, stopped as soon as it has `frames`, None for its end.

    Stopped, not limited: the model is asked for the same song as when it was listened to.
    """
    if frames is None:
        return pipe.generate(
            lyrics, tags, **asdict(settings), prefix_codes=prefix, progress=progress, cancel=cancel
        )
    stop = threading.Event()

    def watch(stage: str, done: int, total: int) -> None:
        if progress is not None:
            progress(stage, done, total)
        if (stage == "singing" and done >= frames) or (cancel is not None and cancel.is_set()):
            stop.set()

    return pipe.generate(
        lyrics, tags, **asdict(settings), prefix_codes=prefix, progress=watch, cancel=stop
    )
