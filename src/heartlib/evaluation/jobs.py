"""Songs examined one after the other, or by many processes at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

import torch

from heartlib.evaluation.examiner import Examiner, Setup
from heartlib.evaluation.heard import Heard
from heartlib.evaluation.pieces import Piece
from heartlib.evaluation.true_songs import TrueSong

Song = Piece | TrueSong


def examine(songs: Sequence[Song], setup: Setup, jobs: int) -> Iterator[tuple[int, list[Heard]]]:
    """Each song's number and what was heard, as they are done; with one job in this process.

    Raises what an examiner raises. Whoever stops iterating waits for the songs in work.
    """
    if jobs == 1:
        examiner = Examiner(setup)
        yield from ((number, examiner(song)) for number, song in enumerate(songs))
        return
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with ProcessPoolExecutor(jobs, context, _prepare, (setup, threads)) as pool:
        waiting = iter(enumerate(songs))
        running: dict[Future[list[Heard]], int] = {}
        try:
            while True:
                while len(running) < 2 * jobs and (item := next(waiting, None)) is not None:
                    running[pool.submit(_examine, item[1])] = item[0]
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    number = running.pop(future)
                    yield number, future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


_EXAMINER: list[Examiner] = []
"""The examiner of a worker process."""


def _prepare(setup: Setup, threads: int) -> None:
    """Ctrl-C is the parent's business; the cores are shared."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    _EXAMINER.append(Examiner(setup))


def _examine(song: Song) -> list[Heard]:
    return _EXAMINER[0](song)
