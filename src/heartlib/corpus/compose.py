"""A seed becomes a score: key, tempo, form, harmony, words, melody, arrangement. Pure."""

import random

from heartlib.corpus.arrange import Bar, arrange
from heartlib.corpus.melody import Singer, pitches_of
from heartlib.corpus.score import Score, Section, SungWord
from heartlib.corpus.styles import (
    BEAT_FRAMES,
    FRAME,
    GENRES,
    draw_mode,
    draw_style,
    draw_tags,
)
from heartlib.corpus.words import Poet

NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
PROGRESSIONS = {
    "major": ("1564", "1645", "1465", "1345", "1415", "1625", "1264", "1454"),
    "minor": ("1637", "1465", "1767", "1645", "1475", "1364", "1657"),
}
SUNG_FORMS = (
    "I V4 C4 O",
    "I V2 C2 V2 C2 O",
    "I V4 C4 B2 C2 O",
    "V4 C4 O",
    "I V4 C2 N C2 O",
    "I V4 C4 V4 C4 O",
    "C4 V4 C4",
    "I V2 C4 O",
    "I V4 N C4 O",
    "V2 C2 N V2 C2",
    "I V4 V4 C4 O",
    "I C2 V4 C2 O",
)
PLAYED_FORMS = ("N N", "I N N O", "I N O", "I N N N O", "I N N")
MARKERS = {
    "I": "Intro",
    "V": "Verse",
    "C": "Chorus",
    "B": "Bridge",
    "O": "Outro",
    "N": "Instrumental",
}
PICKUP_BARS = 1
"""Bars played before the first line of a song without intro, which belong to its first section."""
TAIL = 1.2
"""Seconds between the last chord's release and the end of the file, at most."""


def compose(seed: int, cast: str = "main") -> Score:
    """The song of a seed (any int); `cast` names the singers. Deterministic, no I/O."""
    rng = random.Random(f"heartlib song {seed}")
    style = draw_style(rng, cast)
    mode = draw_mode(rng, style.mood)
    frames = rng.choice(BEAT_FRAMES[style.tempo_class])
    beat = frames * FRAME
    tonic = rng.randrange(12)
    scale = [(tonic + step) % 12 for step in SCALES[mode]]
    line_bars = 2 if frames <= 7 or (frames == 8 and rng.random() < 0.5) else 1
    form = _draw_form(rng, style.singer != "none", line_bars, beat)
    poet = Poet(rng, style.mood, turn=seed)
    span = (5, 7) if line_bars == 1 else ((5, 8) if style.tempo_class == "fast" else (6, 9))
    texts = _write(poet, form, span)
    lyrics = "\n\n".join(
        "\n".join((f"[{MARKERS[item[0]]}]", *lines))
        for item, lines in zip(form, texts, strict=True)
    )

    progressions = {kind: rng.choice(PROGRESSIONS[mode]) for kind in "VCBIN"}
    progressions["O"] = progressions["C"]
    bars, starts = _bars(rng, form, line_bars, progressions, scale, style.genre)
    singer = Singer(rng, style.voice, scale, beat, line_bars * 4) if style.voice != "none" else None
    words: list[SungWord] = []
    for number, (item, lines, first) in enumerate(zip(form, texts, starts, strict=True)):
        pickup = PICKUP_BARS if number == 0 else 0
        for index, line in enumerate(lines):
            at = first + pickup + index * line_bars
            chords = [bar.pitch_classes for bar in bars[at : at + line_bars]]
            if singer:
                words += singer.line(line, item[0], index, len(lines), at * 4, chords)
    hits, last_release = arrange(rng, style, bars, beat, scale)
    duration = round((last_release + TAIL) / FRAME) * FRAME
    edges = [start * 4 * beat for start in starts[1:]] + [duration]
    sections = tuple(
        Section(MARKERS[item[0]], start * 4 * beat, end, tuple(lines))
        for item, start, end, lines in zip(form, starts, edges, texts, strict=True)
    )
    bar_time = 4 * beat
    return Score(
        seed=seed,
        style=style,
        tags=draw_tags(rng, style),
        lyrics=lyrics,
        beat=beat,
        key=NAMES[tonic],
        mode=mode,
        duration=duration,
        sections=sections,
        words=tuple(words),
        hits=tuple(hits),
        chords=tuple((b.name, i * bar_time, (i + 1) * bar_time) for i, b in enumerate(bars)),
        beats=tuple(i * beat for i in range(len(bars) * 4)),
    )


def _draw_form(rng: random.Random, sung: bool, line_bars: int, beat: float) -> list[str]:
    """A form of 20 to 62 seconds, the shorter of the usual lengths more often."""
    forms = [list[str](form.split()) for form in (SUNG_FORMS if sung else PLAYED_FORMS)]
    lengths = [(_count_bars(form, line_bars) + 1) * 4 * beat for form in forms]
    fits = [(f, s) for f, s in zip(forms, lengths, strict=True) if 20 <= s <= 62]
    weights = [1.0 / (1.0 + ((seconds - 32.0) / 7.0) ** 2) for _, seconds in fits]
    return rng.choices([form for form, _ in fits], weights)[0]


def _section_bars(item: str, line_bars: int) -> int:
    if item[0] in "VCB":
        return int(item[1]) * line_bars
    if item == "N":
        return 4 * line_bars
    return line_bars if line_bars == 2 else 2


def _count_bars(form: list[str], line_bars: int) -> int:
    return sum(_section_bars(item, line_bars) for item in form)


def _write(poet: Poet, form: list[str], span: tuple[int, int]) -> list[list[str]]:
    """The lines of each section; a chorus of one size returns with the same words."""
    chorus: list[str] = []
    texts: list[list[str]] = []
    for item in form:
        count = int(item[1]) if item[0] in "VCB" else 0
        if item[0] == "C":
            if len(chorus) < count:
                chorus = chorus + poet.lines(count - len(chorus), *span)
            texts.append(chorus[:count])
        else:
            texts.append(poet.lines(count, *span))
    return texts


def _bars(
    rng: random.Random,
    form: list[str],
    line_bars: int,
    progressions: dict[str, str],
    scale: list[int],
    genre: str,
) -> tuple[list[Bar], list[int]]:
    """Every bar with its chord, a last tonic bar included, and each section's first bar."""
    sevenths = rng.random() < GENRES[genre].sevenths
    bars: list[Bar] = []
    starts: list[int] = []
    for item in form:
        count = _section_bars(item, line_bars)
        degrees = progressions[item[0]]
        starts.append(len(bars))
        if not bars and item[0] in "VCB":
            tonic = _bar("I", scale, int(degrees[0]) - 1, sevenths, last=False)
            bars += [tonic] * PICKUP_BARS
        for index in range(count):
            degree = int(degrees[index % 4]) - 1
            bars.append(_bar(item[0], scale, degree, sevenths, last=index == count - 1))
    bars.append(_bar("end", scale, 0, sevenths=False, last=False))
    return bars, starts


def _bar(kind: str, scale: list[int], degree: int, sevenths: bool, last: bool) -> Bar:
    classes = pitches_of(scale, degree, sevenths)
    third = (classes[1] - classes[0]) % 12
    name = NAMES[classes[0]] + ("m" if third == 3 else "")
    if sevenths:
        name += "maj7" if (classes[3] - classes[0]) % 12 == 11 else "7"
    return Bar(kind, name, tuple(classes), last)
