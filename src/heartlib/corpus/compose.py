"""A seed becomes a score: key, tempo, form, harmony, words, melody, arrangement. Pure."""

import random
from dataclasses import replace

from heartlib.corpus.arrange import Bar, arrange
from heartlib.corpus.form import MARKERS, SUNG, bars_of, draw_form, lines_of
from heartlib.corpus.genres import GENRES
from heartlib.corpus.groove import Groove
from heartlib.corpus.harmony import NAMES, SCALES, chord_of, draw_progression
from heartlib.corpus.melody import Phrase, Singer
from heartlib.corpus.moods import MOODS
from heartlib.corpus.score import Score, Section, Style, SungWord
from heartlib.corpus.styles import (
    BEAT_FRAMES,
    FRAME,
    draw_language,
    draw_mode,
    draw_style,
    draw_tags,
)
from heartlib.corpus.words import Poet, written

PICKUP_BARS = 1
"""Bars played before the first line of a song without intro, which belong to its first section."""
LONG_WORDS = ("ja", "ko")
"""Languages whose lines need more notes."""
TAIL = 1.2
"""Seconds between the last chord's release and the end of the file, at most."""


def compose(
    seed: int, cast: str = "main", language: str | None = None, *, unseen: bool = False
) -> Score:
    """The song of a seed (any int); `cast` names the singers. Deterministic, no I/O.

    `language` None: drawn, English most often. With `unseen`, words that are held out of the corpus
    come wherever there are some.
    """
    rng = random.Random(f"heartlib song {seed}")
    style = draw_style(rng, cast)
    if style.singer != "none":
        style = replace(style, language=language or draw_language(seed))
    mode = draw_mode(rng, style.mood)
    genre = GENRES[style.genre]
    frames = rng.choice(BEAT_FRAMES[style.tempo_class])
    groove = Groove(frames * FRAME, genre.meter, rng.choice(genre.swing), genre.grid)
    tonic = rng.randrange(12)
    line_bars = _line_bars(rng, frames, genre.meter, style.language)
    form = draw_form(rng, style.singer != "none", line_bars, groove)
    poet = Poet(rng, MOODS[style.mood].tint, style.language, unseen, turn=seed)
    texts = _write(poet, form, _span(style, line_bars, genre.meter))
    lyrics = "\n\n".join(
        "\n".join((f"[{MARKERS[item[0]]}]", *(written(line, style.language) for line in lines)))
        for item, lines in zip(form, texts, strict=True)
    )
    bars, starts = _bars(rng, form, line_bars, style, tonic, mode)
    scale = [(tonic + step) % 12 for step in SCALES[mode]]
    words: list[SungWord] = []
    if style.voice != "none":
        lift = MOODS[style.mood].lift
        beats = line_bars * genre.meter
        singer = Singer(rng, style.voice, scale, groove, beats, lift, style.language)
        words = _sing(singer, form, texts, starts, bars, line_bars)
    hits, last_release = arrange(rng, style, bars, groove, scale)
    duration = round((last_release + TAIL) / FRAME) * FRAME
    bar_time = genre.meter * groove.beat
    edges = [start * bar_time for start in starts[1:]] + [duration]
    sections = tuple(
        Section(MARKERS[item[0]], start * bar_time, end, tuple(lines))
        for item, start, end, lines in zip(form, starts, edges, texts, strict=True)
    )
    return Score(
        seed=seed,
        style=style,
        tags=draw_tags(rng, style),
        lyrics=lyrics,
        beat=groove.beat,
        meter=genre.meter,
        swing=groove.swing,
        key=NAMES[tonic],
        mode=mode,
        duration=duration,
        sections=sections,
        words=tuple(words),
        hits=tuple(hits),
        chords=tuple((b.chord.name, i * bar_time, (i + 1) * bar_time) for i, b in enumerate(bars)),
        beats=tuple(i * groove.beat for i in range(len(bars) * genre.meter)),
    )


def _line_bars(rng: random.Random, frames: int, meter: int, language: str) -> int:
    """Bars that a line takes: two where one would be too short to sing."""
    if meter == 3 or frames <= 7 or language in LONG_WORDS:
        return 2
    return 2 if frames == 8 and rng.random() < 0.5 else 1


def _span(style: Style, line_bars: int, meter: int) -> tuple[int, int]:
    """The fewest and the most syllables of a line."""
    if style.language in LONG_WORDS:
        return (6, 10) if meter == 3 else (7, 12)
    if line_bars == 1 or (meter == 3 and style.tempo_class == "fast"):
        return 5, 7
    return (5, 8) if style.tempo_class == "fast" or meter == 3 else (6, 9)


def _write(poet: Poet, form: list[str], span: tuple[int, int]) -> list[list[str]]:
    """The lines of each section; a chorus of one size returns with the same words."""
    chorus: list[str] = []
    texts: list[list[str]] = []
    for item in form:
        count = lines_of(item)
        if item[0] == "C":
            if len(chorus) < count:
                chorus = chorus + poet.lines(count - len(chorus), *span)
            texts.append(chorus[:count])
        else:
            texts.append(poet.lines(count, *span))
    return texts


def _bars(
    rng: random.Random, form: list[str], line_bars: int, style: Style, tonic: int, mode: str
) -> tuple[list[Bar], list[int]]:
    """Every bar with its chord, a last tonic bar included, and each section's first bar."""
    genre = GENRES[style.genre]
    sevenths = rng.random() < max(genre.sevenths, MOODS[style.mood].sevenths)
    longest: dict[str, int] = {}
    for item in form:
        longest[item[0]] = max(longest.get(item[0], 0), bars_of(item, line_bars))
    pool = genre.progressions[mode]
    rows = {kind: draw_progression(rng, pool, longest.get(kind, 4)) for kind in "VPCBIN"}
    rows["O"] = rows["C"]
    bars: list[Bar] = []
    starts: list[int] = []
    for number, item in enumerate(form):
        tokens = rows[item[0]]
        row = [tokens[index % len(tokens)] for index in range(bars_of(item, line_bars))]
        starts.append(len(bars))
        if not bars and item[0] in SUNG:
            tonic_bar = chord_of(tokens[0], tonic, mode, sevenths)
            bars += [Bar("I", tonic_bar, 0, 2, item[0])] * PICKUP_BARS
        following = form[number + 1][0] if number + 1 < len(form) else "end"
        bars += [
            Bar(item[0], chord_of(token, tonic, mode, sevenths), place, len(row), following)
            for place, token in enumerate(row)
        ]
    bars.append(Bar("end", chord_of("1", tonic, mode, sevenths=False), 0, 1, ""))
    return bars, starts


def _sing(
    singer: Singer,
    form: list[str],
    texts: list[list[str]],
    starts: list[int],
    bars: list[Bar],
    line_bars: int,
) -> list[SungWord]:
    """The melody of every line, in order."""
    words: list[SungWord] = []
    for number, (item, lines, first) in enumerate(zip(form, texts, starts, strict=True)):
        pickup = PICKUP_BARS if number == 0 else 0
        for index, line in enumerate(lines):
            at = first + pickup + index * line_bars
            chords = [bar.chord.classes for bar in bars[at : at + line_bars]]
            phrase = Phrase(item[0], index, len(lines), at * singer.groove.meter, chords)
            words += singer.line(line, phrase)
    return words
