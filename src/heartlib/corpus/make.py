"""A folder of songs, rendered in parallel, resumable: DIR/songs.jsonl, audio/ID.flac, truth/ID.json.

On request midi/ID.mid and stems/ID/PART.flac as well.
"""

import ctypes
import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from tqdm import tqdm

from heartlib.corpus.card import write_card
from heartlib.corpus.compose import compose
from heartlib.corpus.instruments import find_font
from heartlib.corpus.lexicon import LANGUAGES
from heartlib.corpus.midi import write_midi
from heartlib.corpus.mix import Mix
from heartlib.corpus.render import perform, song_id
from heartlib.errors import HeartlibError, UsageError

RATE = 48000
STEMS = ("voice", "second", "main", "backing", "bass", "drums")
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of glibc's mallopt
_LINE = ("id", "seed", "tags", "lyrics", "language", "duration", "tempo_class", "mode", "singer")


@dataclass(frozen=True)
class Job:
    """One song to render into a folder."""

    out: Path
    seed: int
    cast: str
    font: Path
    midi: bool = False
    stems: tuple[str, ...] = ()
    language: str | None = None

    def made(self) -> bool:
        """Whether all that is asked for is there already.

        HeartlibError where the folder has this song in another language, or as an earlier corpus had it.
        """
        name = song_id(self.seed, self.cast)
        path = _truth_path(self.out, name)
        if not path.exists():
            return False
        truth = json.loads(path.read_text())
        if missing := set(_LINE) - set(truth):
            raise HeartlibError(
                f"{path} is of an earlier corpus, without {', '.join(sorted(missing))}: use a new folder"
            )
        if self.language and truth["singer"] != "none" and truth["language"] != self.language:
            raise HeartlibError(
                f"{path} is sung in {truth['language']}, not {self.language}: use a new folder"
            )
        has = {"voice": truth["words"], "second": truth["doubled"], **truth["programs"]}
        parts = [part for part in self.stems if has.get(part) not in (None, [])]
        stems = [_stems_path(self.out, name) / f"{part}.flac" for part in parts]
        midi = [_midi_path(self.out, name)] if self.midi else []
        return all(wanted.exists() for wanted in (*stems, *midi))


def make(
    out: str | Path,
    *,
    songs: int | None = None,
    hours: float | None = None,
    seed: int = 1,
    jobs: int = 2,
    cast: str = "main",
    font: str | Path | None = None,
    midi: bool = False,
    stems: Sequence[str] = (),
    language: str | None = None,
) -> dict:
    """Renders seeds `seed`, `seed` + 1, … until there are `songs` of them or `hours` of music.

    `midi` keeps the score beside it, `stems` the parts of the mix that it names (STEMS); `language` None: each
    song's own. Songs whose files exist are kept. Ctrl-C stops after the songs in work and leaves a
    folder that can be used and continued. Returns {"songs", "hours", "complete"}.
    UsageError for a bad amount, HeartlibError when a tool is missing.
    """
    if (songs is None) == (hours is None):
        raise UsageError("give either a number of songs or a number of hours")
    if jobs < 1 or (songs is not None and songs < 1) or (hours is not None and not hours > 0):
        raise UsageError("songs, hours and jobs must be above zero")
    if language is not None and language not in LANGUAGES:
        raise UsageError(f"no language {language!r}; there are {', '.join(LANGUAGES)}")
    if unknown := set(stems) - set(STEMS):
        raise UsageError(f"no stem {', '.join(unknown)}; there are {', '.join(STEMS)}")
    folder = Path(out)
    for part in ("audio", "truth"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    found = find_font(font)
    complete = True
    form: dict[str, Any] = (
        {"total": songs, "unit": "song"}
        if songs
        else {"total": hours, "unit": "h", "unit_scale": True}
    )
    plan = (
        (Job(folder, number, cast, found, midi, tuple(stems), language), amount)
        for number, amount in _plan(seed, songs, hours, cast, language)
    )
    with tqdm(**form) as bar:
        try:
            _render_all(plan, jobs, bar)
        except KeyboardInterrupt:
            complete = False
            bar.write("stopped; the same command continues from here")
    entries = index(folder)
    seconds = write_card(folder, entries)
    return {"songs": len(entries), "hours": seconds / 3600, "complete": complete}


def index(out: str | Path) -> list[dict]:
    """Writes songs.jsonl anew from the truth files, and returns all truths in order of name."""
    folder = Path(out)
    truths = [json.loads(path.read_text()) for path in sorted((folder / "truth").glob("*.json"))]
    lines = (json.dumps({key: truth[key] for key in _LINE}) for truth in truths)
    _replace(folder / "songs.jsonl", "".join(f"{line}\n" for line in lines))
    return truths


def _plan(
    first: int, songs: int | None, hours: float | None, cast: str, language: str | None
) -> Iterator[tuple[int, float]]:
    """Every seed, and what its song adds to the bar: itself, or its hours."""
    if songs is not None:
        yield from ((first + number, 1) for number in range(songs))
        return
    assert hours is not None
    made = 0.0
    while made < hours:
        amount = compose(first, cast, language).duration / 3600
        yield first, amount
        first, made = first + 1, made + amount


def _render_all(plan: Iterator[tuple[Job, float]], jobs: int, bar: tqdm) -> None:
    """Keeps a few songs ahead in the pool, so that an interruption loses little."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_prepare_worker) as pool:
        running: dict[Future, float] = {}
        try:
            while True:
                while len(running) < 2 * jobs and (item := next(plan, None)) is not None:
                    job, amount = item
                    if job.made():
                        bar.update(amount)
                    else:
                        running[pool.submit(render_job, job)] = amount
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    bar.update(running.pop(future))
                    future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _prepare_worker() -> None:
    """Ctrl-C is the parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_memory()


def keep_memory() -> None:
    """Let this process keep the memory that a song frees, since the next one asks for as much.

    Else glibc gives large arrays back at once, and every song has tens of thousands of page faults,
    for which many processes wait together. Nothing happens where the C library has no `mallopt`.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for option, value in ((_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 2**27), (_MMAP_MAX, 0)):
        mallopt(option, value)


def render_job(job: Job) -> str:
    """Renders one song into its folder: sound first, truth last; returns its name."""
    performance = perform(job.seed, job.cast, job.font, language=job.language)
    name = performance.truth["id"]
    if job.midi:
        _keep(_midi_path(job.out, name), lambda draft: write_midi(performance.score, draft))
    if job.stems:
        _keep_stems(_stems_path(job.out, name), performance.mix, job.stems)
    _keep(job.out / "audio" / f"{name}.flac", lambda draft: _flac(draft, performance.mix.song))
    _replace(_truth_path(job.out, name), json.dumps(performance.truth))
    return name


def _keep_stems(folder: Path, mixed: Mix, parts: Sequence[str]) -> None:
    """A folder of those parts that the song has, and of those kept before, appears when it is whole."""
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    draft.mkdir(parents=True, exist_ok=True)
    try:
        kept = {*parts, *(path.stem for path in folder.glob("*.flac"))}
        for part, wave in mixed.stems(kept).items():
            _flac(draft / f"{part}.flac", wave)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(draft, folder)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise HeartlibError(f"cannot write {folder}: {error}") from error


def _keep(path: Path, write: Callable[[Path], None]) -> None:
    """A file appears when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        write(draft)
        os.replace(draft, path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise HeartlibError(f"cannot write {path}: {error}") from error


def _flac(path: Path, wave: np.ndarray) -> None:
    soundfile.write(path, wave.T, RATE, format="FLAC", subtype="PCM_16", compression_level=0.2)


def _midi_path(folder: Path, name: str) -> Path:
    return folder / "midi" / f"{name}.mid"


def _stems_path(folder: Path, name: str) -> Path:
    return folder / "stems" / name


def _truth_path(folder: Path, name: str) -> Path:
    return folder / "truth" / f"{name}.json"


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text)
    os.replace(draft, path)
