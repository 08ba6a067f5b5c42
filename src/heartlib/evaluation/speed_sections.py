"""The benchmark's sections, the most important first."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import torch

from heartlib.evaluation import speed
from heartlib.evaluation.speed_report import Bench, Note, Section, free_memory
from heartlib.pipelines.request import on_threads


def sections(kinds: Sequence[str], songs: Sequence[int], *, kernels: bool) -> list[Section]:
    """Those of a model with a frame loop of kernels, and the quantized `kinds` of it; or of one without.

    songs: how many at once, one section each.
    """
    plain = [
        Section("machine", machine, 2),
        Section("language model", language_model, 20),
        Section("codec", codec, 25),
        Section("song", song, 20),
        Section("stream", stream, 8),
    ]
    if not kernels:
        return plain
    plain.insert(1, Section("ready", ready, 10))
    plain.append(Section("song, memory low", song_in_little_memory, 20))
    for index, kind in enumerate(kinds):
        plain.append(Section(kind, partial(quantized, kind=kind, whole=index == 0), 15))
        name = f"song, {kind}, memory low"
        plain.append(Section(name, partial(song_in_little_memory, kind=kind), 15))
    plain += [Section(f"{n} at once", partial(many_songs, songs=n), 8) for n in songs]
    return [
        *plain,
        Section("engine", engine, 12),
        Section("agreement", agreement, 12),
        Section("draws", draws, 3),
    ]


def machine(bench: Bench, note: Note) -> None:
    """What is measured on, and the ceiling."""
    found = speed.machine(bench.device)
    bench.ceiling = 1e9 * float(found["copy_gb_s"])
    note(found)


def ready(bench: Bench, note: Note) -> None:
    """From weights to the first frame."""
    start = time.perf_counter()
    model = bench.mula()
    speed.synchronise(bench.device)
    note({"weights_s": time.perf_counter() - start})
    positions = len(bench.prompt.tokens) + bench.amounts.frames
    note(speed.ready(model, bench.make_ready, positions, bench.eos))


def language_model(bench: Bench, note: Note) -> None:
    """One song's frames, as they are sung and in slower ways."""
    model, few = bench.mula(), bench.amounts.few_frames
    note({"prompt_positions": len(bench.prompt.tokens)})
    with on_threads(bench.models.pipeline()._singing_threads()):
        speed.sing(model, bench.prompt, min(4, bench.amounts.frames), bench.eos)
        note(speed.sing(model, bench.prompt, bench.amounts.frames, bench.eos, bench.ceiling))
    if bench.operations is None:
        return
    from heartlib.evaluation.speed_batches import without_graphs

    note(without_graphs(model, bench.prompt, few, bench.eos, bench.alone))
    note(speed.sing_plainly(model, bench.prompt, few, bench.eos))
    bench.free_song()


def codec(bench: Bench, note: Note) -> None:
    """A song's sound; against float32 where it is not computed so."""
    made, amounts, noise = bench.codec(), bench.amounts, bench.models.noise
    note(speed.decode(made, amounts.frames, noise=noise, repeats=amounts.codec_repeats))
    if made.decoder() is None:
        return
    exact = bench.models.codec(torch.float32)
    note(speed.codec_agreement(made, exact, amounts.frames, noise))


def song(bench: Bench, note: Note) -> None:
    """Lyrics and tags to a file, both models loaded and warm."""
    free_memory()
    pipe = bench.models.pipeline()
    pipe.mula, pipe.codec = bench.mula(), bench.codec()
    if bench.amounts.warm:
        speed.whole_song(pipe, bench.text, min(25, bench.amounts.frames), bench.device)
    note(speed.whole_song(pipe, bench.text, bench.amounts.frames, bench.device))


def stream(bench: Bench, note: Note) -> None:
    """When the first sound comes, and whether the rest is in time."""
    pipe, amounts = bench.models.pipeline(), bench.amounts
    pipe.mula, pipe.codec = bench.mula(), bench.codec()
    frames, until = max(70, amounts.frames), amounts.stream_seconds
    note(speed.stream(pipe, bench.text, frames, until, warm=amounts.warm))


def song_in_little_memory(bench: Bench, note: Note, kind: str | None = None) -> None:
    """The whole song where each model leaves for the other; their loading is in it."""
    bench.drop()
    pipe = bench.models.pipeline("low", kind)
    try:
        note(speed.whole_song(pipe, bench.text, bench.amounts.frames, bench.device))
    finally:
        del pipe
        free_memory()


def quantized(bench: Bench, note: Note, kind: str, whole: bool) -> None:
    """Speed of a quantized model, over a third of the song unless `whole`, and how near it is to the other."""
    from heartlib.evaluation.frame_agreement import distance, forced_logits

    sung = bench.free_song()
    start = time.perf_counter()
    model = bench.mula(kind)
    speed.synchronise(bench.device)
    note({"weights_s": time.perf_counter() - start})
    frames = bench.amounts.frames if whole else max(1, bench.amounts.frames // 3)
    positions = len(bench.prompt.tokens) + bench.amounts.frames
    note(speed.ready(model, bench.make_ready, positions, bench.eos))
    note(speed.sing(model, bench.prompt, frames, bench.eos, bench.ceiling))
    logits = forced_logits(model, bench.prompt, sung.codes, bench.eos, bench.alone)
    note(distance(logits, sung.logits))


def many_songs(bench: Bench, note: Note, songs: int) -> None:
    """Frames of many songs at once."""
    from heartlib.evaluation.speed_batches import many_songs

    amounts = bench.amounts
    free_memory()  # of the batch before
    note(
        many_songs(
            bench.mula(),
            songs,
            bench.eos,
            bench.kernels,
            steps=amounts.steps,
            span=amounts.span,
            ceiling=bench.ceiling,
        )
    )


def engine(bench: Bench, note: Note) -> None:
    """Songs that are served together."""
    from heartlib.evaluation.speed_batches import engine

    amounts = bench.amounts
    note(
        engine(
            bench.mula(),
            bench.prompt,
            bench.eos,
            bench.kernels,
            songs=amounts.engine_songs,
            frames=amounts.engine_frames,
        )
    )


def agreement(bench: Bench, note: Note) -> None:
    """The graphed frame against the eager one, and both loops against a float32 model of the same weights."""
    from heartlib.evaluation.frame_agreement import (
        against_float32,
        graphed_and_eager,
        plain_logits,
    )

    model, sung = bench.mula(), bench.free_song()
    song = bench.prompt, sung.codes, bench.eos
    found, graphed = graphed_and_eager(model, bench.prompt, sung, bench.eos, bench.alone)
    note(found)
    plain = plain_logits(model, *song)
    exact = plain_logits(bench.models.mula(dtype=torch.float32), *song)
    note(against_float32("kernels", graphed, exact) | against_float32("plain", plain, exact))


def draws(bench: Bench, note: Note) -> None:
    """Whether codes are drawn as their probabilities say."""
    from heartlib.evaluation.frame_agreement import draws

    vocab, count = bench.models.config.audio_vocab_size, bench.amounts.draws
    note(draws(bench.device, bench.kernels, count=count, vocab=vocab))
