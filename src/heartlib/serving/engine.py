"""Many songs on one GPU: they wait their turn, join between frames, and are told apart again.

Legend: K codebooks, T frames.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType

import torch
from torch import Tensor

from heartlib.errors import HeartlibError, UsageError
from heartlib.heartmula.frame_step import KERNELS, Operations
from heartlib.heartmula.generation import SamplingSettings, as_prefix, check_request
from heartlib.heartmula.modeling_heartmula import HeartMuLa
from heartlib.heartmula.paged_cache import count_pages, page_bytes
from heartlib.heartmula.prompt import Prompt
from heartlib.heartmula.song_batch import Readback, SongBatch

MEMORY_SHARE = (
    0.8  # of what is free, for the songs' keys and values, where nothing else is asked for
)


class SongCancelled(HeartlibError):
    """The song was cancelled; `SongHandle.codes` holds what was sung."""

    exit_status = 130


class SongHandle:
    """A song that was handed in: its frames as they come, from any thread."""

    def __init__(
        self,
        prompt: Prompt,
        prefix: Tensor,
        settings: SamplingSettings,
        max_frames: int,
        seed: int,
        on_frame: Callable[[Tensor], object] | None,
    ) -> None:
        self.prompt, self.prefix, self.settings = prompt, prefix, settings
        self.max_frames, self.seed = max_frames, seed
        self._on_frame = on_frame
        self._frames: list[Tensor] = []
        self._launched = prefix.shape[1]
        self._changed = threading.Condition()
        self._done = self._cancelled = False
        self._error: BaseException | None = None
        self.started = False

    @property
    def pages(self) -> int:
        """Pages of the cache that it takes."""
        return self.settings.rows * count_pages(len(self.prompt.tokens) + self.max_frames)

    @property
    def done(self) -> bool:
        """Whether nothing more comes."""
        return self._done

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked for its end."""
        return self._cancelled

    @property
    def error(self) -> BaseException | None:
        """What ended it too soon, if anything did."""
        return self._error

    @property
    def progress(self) -> tuple[int, int]:
        """Frames done, those that were given among them, and frames at most."""
        return self.prefix.shape[1] + len(self._frames), self.max_frames

    @property
    def codes(self) -> Tensor:
        """What there is of it so far: int64 [K, T] on the CPU, the given frames first."""
        with self._changed:
            frames = list(self._frames)
        return torch.cat((self.prefix, torch.stack(frames, 1)), 1) if frames else self.prefix

    def cancel(self) -> None:
        """Ends it after the frame that is being made; what was sung stays."""
        self._cancelled = True

    def result(self, timeout: float | None = None) -> Tensor:
        """The whole song's codes [K, T], waited for; raises what went wrong, `SongCancelled`, TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._done, timeout):
                raise TimeoutError(f"the song is not done after {timeout} s")
        if self._error is not None:
            raise self._error
        return self.codes

    def __iter__(self) -> Iterator[Tensor]:
        """Its new frames [K] as they come; raises what went wrong after the last of them."""
        index = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda at=index: self._done or len(self._frames) > at)
                coming = self._frames[index:]
            yield from coming
            index += len(coming)
            if self._done and index == len(self._frames):
                if self._error is not None:
                    raise self._error
                return

    def _add(self, frame: Tensor) -> None:
        with self._changed:
            self._frames.append(frame)
            self._changed.notify_all()
        if self._on_frame is not None:
            self._on_frame(frame)

    def _finish(self, error: BaseException | None = None) -> None:
        with self._changed:
            self._error = self._error or error
            self._done = True
            self._changed.notify_all()


class Engine:
    """Sings the songs that are handed in, at most `songs` at once, a frame of all of them at a time.

    A song that finds no place or too little memory waits; the first that came is the first to join. Its codes hang on its
    prompt, settings and seed alone, not on the others. `cache_bytes`: memory for keys and values, None for most of what is
    free. Close it, or leave its context, to stop; what is unfinished is cancelled then.
    """

    def __init__(
        self,
        model: HeartMuLa,
        *,
        audio_eos_id: int,
        songs: int = 16,
        cache_bytes: int | None = None,
        operations: Operations = KERNELS,
        graphs: bool = True,
    ) -> None:
        if songs < 1:
            raise UsageError(f"{songs} songs at once are not allowed: at least 1")
        self.model, self.audio_eos_id = model, audio_eos_id
        config = model.config.backbone
        one = page_bytes(config, model.dtype)
        if cache_bytes is None:
            cache_bytes = _free_bytes(model.device)
        wanted = 2 * songs * count_pages(config.max_seq_len)
        self.pages = wanted if cache_bytes is None else min(wanted, cache_bytes // one)
        if self.pages < 2:
            raise HeartlibError(
                f"too little memory for a song: its keys and values take {2 * one / 1e6:.1f} MB at least, "
                f"and there are {(cache_bytes or 0) / 1e6:.1f} MB"
            )
        self._batch = SongBatch(
            model,
            songs=songs,
            pages=self.pages,
            unknown=audio_eos_id - 1,
            operations=operations,
            graphs=graphs,
            weights=None if model.frame_loop is None else model.frame_loop.weights,
        )
        self._waiting: deque[SongHandle] = deque()
        self._singing: list[SongHandle] = []  # in the order of the batch's places
        self._coming: deque[list[SongHandle]] = deque()  # whose frames are on their way
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether it takes no more songs: it was closed, or failed."""
        return self._closed

    @property
    def singing(self) -> int:
        """Songs that are being sung."""
        return len(self._singing)

    @property
    def waiting(self) -> int:
        """Songs that wait for a place or for memory."""
        return len(self._waiting)

    def submit(
        self,
        prompt: Prompt,
        *,
        max_frames: int,
        prefix: Tensor | None = None,
        cfg_scale: float = 1.5,
        temperature: float = 1.0,
        topk: int = 50,
        seed: int = 0,
        on_frame: Callable[[Tensor], object] | None = None,
    ) -> SongHandle:
        """Hands in a song; arguments as of `generate`. on_frame(codes [K]) is called from the engine's thread.

        Raises UsageError for values that are not allowed and for a song that needs more memory than all songs together have.
        """
        settings = SamplingSettings(cfg_scale, temperature, topk, self.audio_eos_id)
        given = as_prefix(prefix, self.model.config, self.audio_eos_id)
        check_request(self.model, prompt, given, max_frames, seed)
        song = SongHandle(prompt, given, settings, max_frames, seed, on_frame)
        if song.pages > self.pages:
            raise UsageError(
                f"the song takes {song.pages} pages of memory and there are {self.pages}: ask for a shorter one"
            )
        with self._changed:
            if self._closed:
                raise HeartlibError("the engine is closed")
            self._waiting.append(song)
            self._changed.notify()
        return song

    def warm_up(self, songs: int | None = None) -> None:
        """Compiles and records the frames of up to `songs` songs now, so that none waits for it; before the first song."""
        self._batch.warm_up(songs)

    def close(self) -> None:
        """Stops after the frame that is being made; songs that are not done are cancelled."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        reading = Readback(self._batch.state.codes)
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(
                        lambda: self._closed or self._waiting or self._singing or len(reading)
                    )
                    if self._closed:
                        break
                self._drop_cancelled()
                self._admit()
                if self._singing and not reading.full:
                    self._launch(reading)
                elif len(reading):
                    self._read(reading.pop())
        except BaseException as error:
            self._stop(HeartlibError(f"the engine failed: {error}"))
            raise
        self._stop(SongCancelled("the engine was closed"))

    def _stop(self, error: HeartlibError) -> None:
        with self._changed:
            self._closed = True
            left = [*self._singing, *self._waiting, *(s for songs in self._coming for s in songs)]
        for song in left:
            if not song.done:
                song._finish(error)

    def _drop_cancelled(self) -> None:
        for song in [song for song in self._waiting if song.cancelled]:
            self._waiting.remove(song)
            song._finish(SongCancelled("cancelled before it began"))
        for song in [song for song in self._singing if song.cancelled]:
            self._end(song, SongCancelled("cancelled"))

    def _admit(self) -> None:
        """Lets the songs that came first join, as long as there is room."""
        while self._waiting:
            song = self._waiting[0]
            positions = len(song.prompt.tokens) + song.max_frames
            if not self._batch.has_room(positions, song.settings.rows):
                return
            self._waiting.popleft()
            try:
                self._batch.join(
                    song.prompt,
                    song.settings,
                    frames=song.max_frames,
                    seed=song.seed,
                    prefix=song.prefix,
                )
            except torch.OutOfMemoryError:
                song._finish(
                    HeartlibError("too little memory to read the prompt: shorten it, or try again")
                )
                continue
            song.started = True
            self._singing.append(song)

    def _launch(self, reading: Readback) -> None:
        try:
            self._batch.step()
        except torch.OutOfMemoryError:  # recording a frame of more songs than before
            self._end(
                self._singing[-1],
                HeartlibError("too little memory for one more song: try again later"),
            )
            return
        reading.push()
        self._coming.append(list(self._singing))
        for song in list(self._singing):
            song._launched += 1
            if song._launched == song.max_frames:
                self._leave(song)

    def _read(self, codes: Tensor) -> None:
        """One frame of the songs that were sung when it was launched; codes [S, K]."""
        for song, frame in zip(self._coming.popleft(), codes, strict=False):
            if song.done:
                continue
            if int(frame.max()) >= self.audio_eos_id:
                nothing = HeartlibError(
                    "nothing to sing: the model ended the song at its first frame; "
                    "try another seed, other tags or longer lyrics"
                )
                self._end(song, None if song._frames else nothing)
                continue
            try:
                song._add(frame)
            except Exception as error:  # whoever listens fails alone
                self._end(song, error)
                continue
            if song.progress[0] == song.max_frames:
                song._finish()

    def _end(self, song: SongHandle, error: BaseException | None) -> None:
        if song in self._singing:
            self._leave(song)
        song._finish(error)

    def _leave(self, song: SongHandle) -> None:
        """Gives its place to the last."""
        place = self._singing.index(song)
        self._batch.leave(place)
        last = self._singing.pop()
        if last is not song:
            self._singing[place] = last


def _free_bytes(device: torch.device) -> int | None:
    if device.type != "cuda":
        return None
    return int(torch.cuda.mem_get_info(device)[0] * MEMORY_SHARE)
