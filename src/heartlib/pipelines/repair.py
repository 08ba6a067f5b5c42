"""A song that corrects itself: what is not understood is sung again from the section where that begins.

The song is sung whole and heard once. The earliest section whose errors are above a bar is sung again
from its beginning, to the song's end, on every code before it; of all tries of a section the best is kept, and
the next section above the bar is looked for behind it.

Why whole songs: nothing in the codes tells that a section is over, and a recogniser finds the borders of
sections best where both ends of the lyrics are there to hold on to. So a try costs the rest of the song,
not a section, but it is a finished song: the best understood of all is what is returned, whatever is
stopped and when, and never worse understood than a single take. Why it gains more than as many takes:
sections are chosen one by one, and the errors of a section differ more from try to try than those of a song.

K: codebooks, T: frames of 80 ms.
"""

from __future__ import annotations

import math
import secrets
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import torch

from heartlib import audio
from heartlib.errors import UsageError
from heartlib.evaluation.adherence import Adherence, sections
from heartlib.heartmula.generation import NothingSung
from heartlib.pipelines.listening import Hearing, Listeners, SongScore
from heartlib.pipelines.music_generation import Cancelled, HeartMuLaGenPipeline, Progress
from heartlib.pipelines.section_times import section_starts
from heartlib.pipelines.settings import FRAME_MS, SEEDS, GenerationSettings
from heartlib.pipelines.song import Song
from heartlib.pipelines.splices import Splice, spliced

TRIES, MOST_TRIES = 8, 32
ABOVE = 0.2
"""The share of errors above which a section is sung again."""


@dataclass(frozen=True)
class Heard:
    """A finished song, what was heard of it, and where it left the first take.

    starts: the frame at which each section with words begins.
    """

    song: Song
    hearing: Hearing
    starts: tuple[int, ...]
    splices: tuple[Splice, ...] = ()

    @property
    def errors(self) -> int:
        """Of the whole song."""
        return self.hearing.lyrics.whole.errors


@dataclass(frozen=True)
class Try:
    """One time that the rest of a song was sung again.

    section: its place among those with words, from 0, and its `name`. frames: kept before it;
    sung: new ones. before, after: the section's share of errors in the song kept so far and in this one, which
    took its place if `kept`. after None: the model ended the song there.
    """

    section: int
    name: str
    frames: int
    seed: int
    sung: int
    before: float
    after: float | None
    kept: bool


@dataclass(frozen=True)
class Repaired:
    """The song that was kept and its score, the first take's score, and all finished tries in order.

    No scores: the first take was stopped, and `song` is what there was of it. stopped: whether it was
    cancelled; frames: all that were sung, those of the first take among them.
    """

    song: Song
    score: SongScore | None = None
    first: SongScore | None = None
    tries: tuple[Try, ...] = ()
    stopped: bool = False
    frames: int = 0


def check_budget(tries: int, above: float, seed: int | None = None) -> None:
    """UsageError for a number of tries, a bar or a seed that is not allowed."""
    if not 1 <= tries <= MOST_TRIES:
        raise UsageError(f"repair takes 1 to {MOST_TRIES} tries, not {tries}")
    if not 0 <= above <= 1:
        raise UsageError(f"the errors above which a section is sung again are 0 to 1, not {above}")
    if seed is not None and seed + tries >= SEEDS:
        raise UsageError(f"the seeds of {tries} tries must be below 2**63; {seed} is too high")


def earliest_above(lyrics: Adherence, above: float, begin: int = 0) -> int | None:
    """The first section from `begin` on with a share of errors above the bar; None where there is none."""
    rates = [count.rate for _, count in lyrics.parts]
    return next((at for at in range(begin, len(rates)) if rates[at] > above), None)


def outlook(lyrics: Adherence, section: int, above: float, *, more: bool) -> float:
    """How many errors a song may end with, by which tries of `section` are compared.

    While there are more tries, those after it that are above the bar will be sung again and count as if at the bar.
    """
    later = [count for _, count in lyrics.parts[section + 1 :]]
    spared = sum(max(0.0, count.errors - above * count.phonemes) for count in later)
    return lyrics.whole.errors - (spared if more else 0.0)


class Repairs:
    """A pipeline that sings and the listeners that judge it, loaded once for any number of songs."""

    def __init__(self, pipe: HeartMuLaGenPipeline, listeners: Listeners | None = None) -> None:
        self.pipe = pipe
        self.listeners = listeners or Listeners(pipe.paths.root, pipe.placement.codec_device)

    def __call__(
        self,
        lyrics: str,
        tags: str,
        *,
        tries: int = TRIES,
        above: float = ABOVE,
        settings: GenerationSettings | None = None,
        language: str | None = None,
        progress: Progress | None = None,
        cancel: threading.Event | None = None,
        finished: Callable[[Try], None] | None = None,
    ) -> Repaired:
        """Sing a song, and its badly understood sections again: at most `tries` times (1 to 32) in all.

        above: the share of errors (phonemes, or characters where those cannot be read) above which a
        section is sung again, 0 to 1. Tries are shared out among the sections above it. Try n has
        the seed `settings.seed` + n. The same seed, settings and machine give the same song, and
        `splices.sing_again` sings it without listening. language: of the lyrics, None guesses it.
        progress("singing again from 0:12, try 2 of 4", done, total), also decoding and listening.
        finished(try) after each. A set `cancel` ends it: the best finished song is returned, or
        where there is none, what was sung of the first. Raises as `HeartMuLaGenPipeline.generate` and
        `Listeners.prepare`, and UsageError for lyrics without words, before anything is sung.
        """
        settings = settings or GenerationSettings()
        check_budget(tries, above, settings.seed)
        if settings.seed is None:
            settings = replace(settings, seed=secrets.randbelow(2**31))
        lyrics, tags, settings = self.pipe.checked(lyrics, tags, settings)
        self.pipe.prepare(lyrics, tags, settings)
        known = self.listeners.prepare(lyrics, language)
        if known is None:
            raise UsageError(
                "the lyrics have no words that could be heard, so there is nothing to repair; "
                "--best-of chooses songs without words by their tags"
            )
        work = _Work(self, lyrics, tags, tries, above, settings, known, progress, cancel, finished)
        return work.run()


@dataclass
class _Work:
    """One song being repaired."""

    owner: Repairs
    lyrics: str
    tags: str
    tries: int
    above: float
    settings: GenerationSettings
    language: str
    progress: Progress | None
    cancel: threading.Event | None
    finished: Callable[[Try], None] | None

    def run(self) -> Repaired:
        song = self._sing(self.settings.seed or 0, None, self.progress)
        if not song.complete:
            return Repaired(song, stopped=True, frames=song.codes.shape[1])
        first = best = current = self._heard(song, (), self.progress)
        done: list[Try] = []
        begin = 0
        while len(done) < self.tries and not self._cancelled():
            section = earliest_above(current.hearing.lyrics, self.above, begin)
            if section is None:
                break
            current, tried = self._section(current, section, len(done))
            for each, heard in tried:
                done.append(each)
                if heard is not None and heard.errors < best.errors:
                    best = heard
            begin = section + 1
        return self._result(first, best, done)

    def _section(
        self, kept: Heard, section: int, done: int
    ) -> tuple[Heard, list[tuple[Try, Heard | None]]]:
        """The song with the best of the tries of one section, and all of them."""
        above = self.above
        left = self.tries - done
        waiting = [count.rate > above for _, count in kept.hearing.lyrics.parts[section:]]
        share = math.ceil(left / sum(waiting))
        prefix = kept.song.codes[:, : kept.starts[section]]  # [K, T]
        splices = tuple(each for each in kept.splices if each.frames < prefix.shape[1])
        found: list[tuple[Try, Heard | None]] = []
        for number in range(done + 1, done + share + 1):
            name, before = kept.hearing.lyrics.parts[section]
            if before.rate <= above or self._cancelled():
                break
            seed = (self.settings.seed or 0) + number
            told = _told(self.progress, prefix.shape[1], number, self.tries)
            heard, sung = None, 0
            try:
                song = self._sing(seed, prefix, told)
            except Cancelled:
                break
            except NothingSung:
                pass
            else:
                if not song.complete:
                    break
                sung = song.codes.shape[1] - prefix.shape[1]
                heard = self._heard(song, (*splices, Splice(prefix.shape[1], seed)), told)
            better = heard is not None and self._outlook(heard, section, number) < self._outlook(
                kept, section, number
            )
            after = None if heard is None else heard.hearing.lyrics.parts[section][1].rate
            each = Try(section, name, prefix.shape[1], seed, sung, before.rate, after, kept=better)
            found.append((each, heard))
            if heard is not None and better:
                kept = heard
            if self.finished is not None:
                self.finished(each)
        return kept, found

    def _outlook(self, heard: Heard, section: int, number: int) -> float:
        return outlook(heard.hearing.lyrics, section, self.above, more=number < self.tries)

    def _sing(self, seed: int, prefix: torch.Tensor | None, progress: Progress | None) -> Song:
        return self.owner.pipe.generate(
            self.lyrics,
            self.tags,
            **asdict(replace(self.settings, seed=seed)),
            prefix_codes=prefix,
            progress=progress,
            cancel=self.cancel,
        )

    def _heard(self, song: Song, splices: tuple[Splice, ...], progress: Progress | None) -> Heard:
        frames = song.codes.shape[1]
        if progress:
            progress("listening", 0, frames)
        wave = audio.limit_peak(song.waveform.numpy())  # as it will be in the file
        hearing = self.owner.listeners.hear(wave, song.sample_rate, song.lyrics, self.language)
        starts = section_starts(sections(self.lyrics, self.language), hearing.words, song.duration)
        if progress:
            progress("listening", frames, frames)
        at = tuple(min(int(start * 1000 / FRAME_MS), frames - 1) for start in starts)
        return Heard(song, hearing, at, splices)

    def _cancelled(self) -> bool:
        return self.cancel is not None and self.cancel.is_set()

    def _result(self, first: Heard, best: Heard, done: list[Try]) -> Repaired:
        score, at_first = (
            SongScore(each.hearing.lyrics, None, each.hearing.text, self.language)
            for each in (best, first)
        )
        song = spliced(best.song, self.settings.seed or 0, best.splices, self.tries, self.above)
        song.repaired = (song.repaired or {}) | {
            "tried": len(done),
            "first_error": round(at_first.value, 4),
        }
        song.scores = score.to_dict()
        return Repaired(
            song,
            score,
            at_first,
            tuple(done),
            self._cancelled(),
            first.song.codes.shape[1] + sum(each.sung for each in done),
        )


def clock(seconds: float) -> str:
    """0:12 for 12.3 seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _told(progress: Progress | None, frames: int, number: int, tries: int) -> Progress | None:
    """The same progress with what is being tried in the stage."""
    if progress is None:
        return None
    since = f" again from {clock(frames * FRAME_MS / 1000)}"
    return lambda stage, done, total: progress(
        f"{stage}{since if stage == 'singing' else ''}, try {number} of {tries}", done, total
    )
