"""One PNG of a song: title, sections, waveform, words and spectrogram over one axis of time."""

from __future__ import annotations

import io
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from heartlib.audio.mel import hertz_to_mel
from heartlib.hearttranscriptor.word_times import Word
from heartlib.picture.fonts import Lettering
from heartlib.picture.outline import BANDS, HIGHEST, LOWEST, Outline
from heartlib.picture.sections import Band
from heartlib.picture.theme import DARK, LIGHT, Theme, colour_of
from heartlib.picture.word_rows import Place, place

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 100
LEFT, RIGHT = 58, 24  # pixels beside everything
TITLE, STRIP, WAVE, MEL, FOOT = 78, 26, 140, 2 * BANDS, 40  # pixels of each part's height
ROW, MARGIN = 23, 9  # of a row of words, and above and below all of them
RANGE = 66.0  # decibels between the palest and the strongest
SHADES = 48  # of the spectrogram
COLOURS = 160  # of the whole picture: a third of the file's size, and no difference to be seen
TICKS = (100, 300, 1000, 3000, 10000)  # Hz
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)  # seconds between two times
ROOM = 90  # pixels a time on the axis wants


@dataclass(frozen=True)
class Sheet:
    """All that is in a picture. facts: the line below the title."""

    title: str
    facts: str
    outline: Outline
    bands: list[Band] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)


@dataclass(frozen=True)
class Picture:
    """A finished PNG; its size in pixels, how many words had no room, and the signs without a font."""

    png: bytes
    width: int
    height: int
    left_out: int
    unwritten: str


def columns(width: int) -> int:
    """How many columns of a sound a picture of this width can show."""
    return width - LEFT - RIGHT


def draw(sheet: Sheet, *, width: int, dark: bool = False) -> Picture:
    """Draw a sheet `width` pixels wide; as high as its words need."""
    return _Drawing(sheet, width, DARK if dark else LIGHT).picture()


class _Drawing:
    def __init__(self, sheet: Sheet, width: int, theme: Theme) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.sheet, self.width, self.theme = sheet, width, theme
        texts = [" ".join(text.split()) for text in (sheet.title, sheet.facts)]
        self.letters = Lettering([*texts, "…", *(word.text for word in sheet.words)])
        self.title, self.facts = (self.letters.spell(text) for text in texts)
        self.texts = [self.letters.spell(" ".join(word.text.split())) for word in sheet.words]
        self.figure: Figure = Figure(dpi=DPI, facecolor=theme.paper)
        self.canvas = FigureCanvasAgg(self.figure)
        self.scale = (width - LEFT - RIGHT) / sheet.outline.duration  # pixels a second
        self.places, rows = self._places()
        self.word_height = rows * ROW + 2 * MARGIN if rows else 0
        self.height = TITLE + STRIP + WAVE + self.word_height + MEL + FOOT
        self.figure.set_size_inches(width / DPI, self.height / DPI)

    def picture(self) -> Picture:
        top = TITLE
        self._heading()
        self._strip(self._axes(top, STRIP))
        top += STRIP
        self._wave(self._axes(top, WAVE))
        top += WAVE
        if self.word_height:
            self._words(self._axes(top, self.word_height))
            top += self.word_height
        self._mel(self._axes(top, MEL))
        return Picture(
            png=self._png(),
            width=self.width,
            height=self.height,
            left_out=len(self.texts) - len(self.places),
            unwritten="".join(sorted(self.letters.missing)),
        )

    def _png(self) -> bytes:
        from PIL import Image

        self.canvas.draw()
        drawn = Image.fromarray(np.asarray(self.canvas.buffer_rgba())[..., :3].copy())
        out = io.BytesIO()
        drawn.quantize(COLOURS, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
        return out.getvalue()

    def _axes(self, top: int, height: int) -> Axes:
        """Axes of the whole width: seconds to the right, 0...1 upwards, nothing around."""
        box = (
            LEFT / self.width,
            1 - (top + height) / self.height,
            1 - (LEFT + RIGHT) / self.width,
            height / self.height,
        )
        axes = self.figure.add_axes(box, facecolor="none")
        axes.set(xlim=(0, self.sheet.outline.duration), ylim=(0, 1), xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set_visible(False)
        return axes

    def _font(self, pixels: float, colour: str, *, bold: bool = False) -> dict[str, Any]:
        return {
            "family": self.letters.families,
            "fontsize": pixels * 72 / DPI,
            "color": colour,
            "weight": "bold"
            if bold and len(self.letters.families) == 1
            else "normal",  # few have it
            "parse_math": False,
            "usetex": False,
        }

    def _text_width(self, text: str, pixels: float, *, bold: bool = False) -> float:
        from matplotlib.text import Text

        probe = Text(0, 0, text, figure=self.figure, **self._font(pixels, "black", bold=bold))
        return probe.get_window_extent(self.canvas.get_renderer()).width

    def _cut(self, text: str, pixels: float, room: float, *, bold: bool = False) -> str:
        """The text, or as much of its beginning as there is room for."""
        begin = text[: max(0, int(room))]  # a sign is at least a pixel wide
        if begin == text and self._text_width(text, pixels, bold=bold) <= room:
            return text
        fits = bisect_right(
            range(len(begin)),
            room,
            key=lambda at: self._text_width(f"{begin[:at]}…", pixels, bold=bold),
        )
        return f"{begin[: fits - 1]}…" if fits > 1 else ""

    def _heading(self) -> None:
        room = self.width - LEFT - RIGHT
        lines = [
            (self.title, 23, 34, self.theme.ink, True),
            (self.facts, 13, 58, self.theme.faint, False),
        ]
        for text, size, base, colour, bold in lines:
            self.figure.text(
                LEFT / self.width,
                1 - base / self.height,
                self._cut(text, size, room, bold=bold),
                va="baseline",
                **self._font(size, colour, bold=bold),
            )

    def _strip(self, axes: Axes) -> None:
        """Each section's colour and name."""
        for band in self.sheet.bands:
            colour = colour_of(band.name, self.theme)
            axes.axvspan(
                band.start, band.end, 0.08, 1, facecolor=colour, edgecolor=self.theme.paper
            )
            room = (band.end - band.start) * self.scale - 14
            name = self._cut(self.letters.spell(band.name), 12.5, room, bold=True)
            axes.text(
                band.start + 8 / self.scale,
                0.52,
                name,
                va="center_baseline",
                **self._font(12.5, "#ffffff", bold=True),
            )

    def _tint(self, axes: Axes) -> None:
        for band in self.sheet.bands:
            colour = colour_of(band.name, self.theme)
            axes.axvspan(band.start, band.end, facecolor=colour, alpha=self.theme.tint, linewidth=0)

    def _wave(self, axes: Axes) -> None:
        """The peaks of each column, and over them its mean power, in the section's colour."""
        found = self.sheet.outline
        self._tint(axes)
        times = (np.arange(len(found.low)) + 0.5) * found.step
        colours = [self._colour_at(time) for time in times]
        most = max(float(np.abs([found.low, found.high]).max()), 1e-3) * 1.12
        axes.set_ylim(-most, most)
        for colour, run in groupby(range(len(times)), key=lambda at: colours[at]):
            places = list(run)
            part = slice(places[0], places[-1] + 2)  # up to the next run
            style: dict[str, Any] = {"facecolor": colour, "linewidth": 0}
            axes.fill_between(times[part], found.low[part], found.high[part], alpha=0.45, **style)
            axes.fill_between(times[part], -found.rms[part], found.rms[part], **style)

    def _colour_at(self, time: float) -> str:
        for band in self.sheet.bands:
            if band.start <= time < band.end:
                return colour_of(band.name, self.theme)
        return self.theme.unnamed

    def _places(self) -> tuple[list[Place], int]:
        starts = [word.start * self.scale for word in self.sheet.words]
        widths = [self._text_width(text, 12.5) for text in self.texts]
        return place(starts, widths, self.width - LEFT - RIGHT)

    def _words(self, axes: Axes) -> None:
        """Each word below a line from its start to its end."""
        self._tint(axes)
        axes.set_ylim(self.word_height, 0)  # pixels downwards
        for spot in self.places:
            word = self.sheet.words[spot.word]
            top = MARGIN + spot.row * ROW
            axes.plot(
                [word.start, max(word.end, word.start + 2 / self.scale)],
                [top, top],
                color=self._colour_at(word.start),
                linewidth=2.2,
                solid_capstyle="butt",
            )
            axes.text(
                spot.left / self.scale,
                top + 15,
                self.texts[spot.word],
                va="baseline",
                **self._font(12.5, self.theme.ink),
            )

    def _mel(self, axes: Axes) -> None:
        from matplotlib.colors import LinearSegmentedColormap

        found, theme = self.sheet.outline, self.theme
        top = max(float(np.percentile(found.mel, 99.8)), -60.0)
        axes.imshow(
            found.mel,
            origin="lower",
            aspect="auto",
            extent=(0, found.mel.shape[1] * found.step, 0, BANDS),
            cmap=LinearSegmentedColormap.from_list("heat", list(theme.heat), SHADES),
            interpolation="nearest",
            vmin=top - RANGE,
            vmax=top,
        )
        axes.set(xlim=(0, found.duration), ylim=(0, BANDS))
        for band in self.sheet.bands:
            for time in {band.start, band.end} - {0.0}:
                axes.axvline(time, color=theme.ink, alpha=0.25, linewidth=0.8)
        low, high = hertz_to_mel(LOWEST), hertz_to_mel(HIGHEST)
        heights = [(hertz_to_mel(f) - low) / (high - low) * (BANDS + 1) - 0.5 for f in TICKS]
        names = [f"{f // 1000} kHz" if f >= 1000 else f"{f} Hz" for f in TICKS]
        axes.set_yticks(heights, names, **self._font(11, theme.faint))
        times = _times(found.duration, self.scale)
        axes.set_xticks(times, [clock(time) for time in times], **self._font(11, theme.faint))
        axes.tick_params(length=4, color=theme.line, pad=4)


def _times(duration: float, scale: float) -> list[float]:
    """Even times for the axis, as close as they can be read."""
    step = next((step for step in STEPS if step * scale >= ROOM), STEPS[-1])
    return [float(time) for time in range(0, int(duration) + 1, step)]


def clock(seconds: float) -> str:
    """1:05, or 1:00:05."""
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
