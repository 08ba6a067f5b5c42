"""Songs examined one after the other, or by many processes at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import partial
from typing import Any, TypeVar

import torch

from heartlib.evaluation.examiner import Examiner, Setup
from heartlib.evaluation.heard import Heard
from heartlib.evaluation.pieces import Piece
from heartlib.evaluation.true_songs import TrueSong

Song = Piece | TrueSong
Asked = TypeVar("Asked")
Found = TypeVar("Found")


def examine(songs: Sequence[Song], setup: Setup, jobs: int) -> Iterator[tuple[int, list[Heard]]]:
    """Each song's number and what was heard, as they are done; with one job in this process.

    Raises what an examiner raises. Whoever stops iterating waits for the songs in work.
    """
    return each(songs, partial(Examiner, setup), jobs)


def each(
    songs: Sequence[Asked], make: Callable[[], Callable[[Asked], Found]], jobs: int
) -> Iterator[tuple[int, Found]]:
    """Each song's number and what is found, as they are done; `make` makes who finds it, in each process.

    Raises what that raises. Whoever stops iterating waits for the songs in work.
    """
    if jobs == 1:
        examiner = make()
        yield from ((number, examiner(song)) for number, song in enumerate(songs))
        return
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with ProcessPoolExecutor(jobs, context, _prepare, (make, threads)) as pool:
        waiting = iter(enumerate(songs))
        running: dict[Future[Found], int] = {}
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


_EXAMINER: list[Callable[[Any], Any]] = []
"""The examiner of a worker process."""


def _prepare(make: Callable[[], Callable[[Any], Any]], threads: int) -> None:
    """Ctrl-C is the parent's business; the cores are shared."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    _EXAMINER.append(make())


def _examine(song: Any) -> Any:
    return _EXAMINER[0](song)
