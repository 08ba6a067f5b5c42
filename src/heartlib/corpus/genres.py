"""The genres: how the rhythm section of each plays.

A drum pattern names the pieces of the kit (see `drums.py`), each followed by the sixteenths of one
bar: X an accent, x a stroke, o a ghost note.
"""

from dataclasses import dataclass

from heartlib.corpus import harmony


@dataclass(frozen=True)
class Genre:
    """`bass` names patterns of `bass.py`; `kit` is a GM drum program, heard with `drum_chance`;
    `swing` are the delays of off-beats to choose from, in beats, on a grid of `grid` beats (1 for
    eighths, 0.5 for sixteenths); `sevenths` the chance of four-note chords; `suits` the
    instruments and `tempi` the tempo classes that come more often."""

    bass_program: int
    bass: tuple[str, ...]
    kit: int
    drums: tuple[str, ...]
    drum_chance: float
    suits: tuple[str, ...]
    backing: str
    tempi: tuple[str, ...] = ("fast", "fast", "medium", "medium", "slow")
    swing: tuple[float, ...] = (0.0,)
    grid: float = 1.0
    sevenths: float = 0.0
    meter: int = 4
    pool: dict[str, tuple[str, ...]] | None = None

    @property
    def progressions(self) -> dict[str, tuple[str, ...]]:
        """Its own progressions, else the common ones, by mode."""
        return self.pool or harmony.COMMON


GENRES: dict[str, Genre] = {
    "pop": Genre(
        33,
        ("eighths", "fifths", "root", "octaves"),
        0,
        (
            "K x.......x.x..... S ....X.......X... H x.x.x.x.x.x.x.x.",
            "K x.....x.x....... S ....X.......X... H x.x.x.x.x.x.x.x.",
            "K x..x....x....... P ....x.......x... H ..x...x...x...x.",
            "K x..x..x...x..... S ....X.......X..o H xoxoxoxoxoxoxoxo",
            "K x...x...x...x... P ....X.......X... A x.x.x.x.x.x.x.x.",
        ),
        0.95,
        ("piano", "guitar", "synth", "strings"),
        "soft piano",
    ),
    "rock": Genre(
        34,
        ("eighths", "driving", "root"),
        16,
        (
            "K x.....x.x.x..... S ....X.......X... H x.x.x.x.x.x.x.x.",
            "K x.x.....x.x..... S ....X.......X... O x...x...x...x...",
            "K x......xx.x..... S ....X.......X... R x.x.x.x.x.x.x.x.",
            "K x.x.x.x.x.x.x.x. S ....X.......X... O x...x...x...x...",
            "K x.......x.x...x. S ....X..o.o..X... H X.x.X.x.X.x.X.x.",
        ),
        1.0,
        ("electric guitar", "organ", "piano"),
        "soft pad",
        tempi=("fast", "fast", "medium"),
    ),
    "folk": Genre(
        32,
        ("fifths", "root", "two"),
        40,
        (
            "K x.......x....... A x.x.x.x.x.x.x.x.",
            "K x.......x....... T ....x.......x... A ..x...x...x...x.",
            "K x.....x.x....... M ....x.......x...",
            "K x...x...x...x... S ..o...o...o...o. M ....x.......x...",
        ),
        0.6,
        ("guitar", "accordion", "violin", "flute", "banjo"),
        "soft guitar",
        tempi=("fast", "medium", "slow"),
    ),
    "electronic": Genre(
        38,
        ("offbeat", "eighths", "octaves", "sub"),
        25,
        (
            "K X...X...X...X... P ....x.......x... O ..x...x...x...x.",
            "K X...X...X...X... S ....X.......X... H x.x.x.x.x.x.x.x.",
            "K x..x..x...x..... S ....X.......X... H xxoxxxoxxxoxxxox",
            "K x.....x...x..... S ........X....... H x.x.x.x.x.x.x.xx",
            "K X...X...X...X..x P ....x..x....x... A xxxxxxxxxxxxxxxx O ..x...x...x...x.",
        ),
        1.0,
        ("synth", "bells", "electric piano"),
        "soft pad",
        tempi=("fast", "fast", "medium", "slow"),
    ),
    "ballad": Genre(
        33,
        ("root", "fifths", "long"),
        40,
        (
            "K x.......x....... T ....x.......x... H x...x...x...x...",
            "K x.......x....... T ........x.......",
            "K x.......x.x..... S ....x.......x... R x.x.x.x.x.x.x.x.",
            "K x..............x S ........X....... H x.x.x.x.x.x.x.x.",
        ),
        0.6,
        ("piano", "strings", "guitar", "cello"),
        "soft piano",
        tempi=("slow", "slow", "medium"),
    ),
    "jazz": Genre(
        32,
        ("walk", "two", "walkup"),
        32,
        (
            "K x.......x....... R x...x.x.x...x.x. C ....x.......x...",
            "R x...x.x.x...x.x. T ............x... C ....x.......x...",
            "K o..........o.... R x...x.x.x...x.x. S ...o......o..... C ....x.......x...",
            "K o...o...o...o... R X...x...X...x... T ......x.......x. C ....x.......x...",
        ),
        0.95,
        ("piano", "saxophone", "trumpet", "vibraphone", "clarinet"),
        "soft piano",
        swing=(0.14, 0.17),
        sevenths=0.95,
        pool=harmony.JAZZ,
    ),
    "latin": Genre(
        32,
        ("bossa", "fifths", "tresillo"),
        0,
        (
            "K x.....x.x.....x. T x.....x.....x... A xxxxxxxxxxxxxxxx",
            "K x.....x.x.....x. T ...x..x...x..x.. A x.x.x.x.x.x.x.x.",
            "K x...x...x...x... C ....x.......x... c ..o.x.xx..o.x.xx B x...x.x.x...x.x.",
            "K x.......x....... L x..x..x...x.x... c x.o.x.XXx.o.x.XX A x.x.x.x.x.x.x.x.",
            "K ...x..x....x..x. S x..o..x...x.o... G x.xxx.xxx.xxx.xx",
        ),
        0.95,
        ("guitar", "trumpet", "piano", "marimba"),
        "soft guitar",
        tempi=("fast", "medium"),
        sevenths=0.4,
    ),
    "blues": Genre(
        33,
        ("boogie", "walk", "shuffle"),
        8,
        (
            "K x.......x....... S ....X.......X... R x.x.x.x.x.x.x.x.",
            "K x.....x.x.....x. S ....X.......X... H x.x.x.x.x.x.x.x.",
            "K x...x...x...x... S ....X.......X..o H x.x.x.x.x.x.x.x.",
            "K x.......x.x..... S ..o.X.o...o.X.o. R x...x.x.x...x.x.",
        ),
        0.95,
        ("electric guitar", "organ", "piano", "saxophone"),
        "soft piano",
        swing=(0.13, 0.17),
        sevenths=0.5,
        pool=harmony.BLUES,
    ),
    "country": Genre(
        32,
        ("two", "fifths", "train"),
        8,
        (
            "K x.......x....... S ..o.X.o...o.X.o. H x...x...x...x...",
            "K x.......x....... S xoXoxoXoxoXoxoXo",
            "K x.....x.x....... T ....x.......x... H x.x.x.x.x.x.x.x.",
            "K x.......x.x..... S ....X.......X... M ..x...x...x...x.",
        ),
        0.9,
        ("guitar", "banjo", "violin", "piano"),
        "soft guitar",
        tempi=("fast", "medium"),
        swing=(0.0, 0.0, 0.1),
    ),
    "reggae": Genre(
        33,
        ("onedrop", "steppers", "dub"),
        0,
        (
            "K ........X....... T ........x....... H x.x.x.x.x.x.x.x.",
            "K x...x...x...x... T ........X....... H ..x...x...x...x.",
            "K x.......X....... T ....x..x..x.x... H x.xxx.x.x.xxx.x.",
            "K ........X.....x. S ........X..o.... R ..x...x...x...x. A x.x.x.x.x.x.x.x.",
        ),
        1.0,
        ("organ", "electric guitar", "electric piano", "trumpet"),
        "soft pad",
        tempi=("medium", "medium", "slow"),
        swing=(0.0, 0.08),
        pool=harmony.TWO_CHORDS,
    ),
    "hip hop": Genre(
        38,
        ("sub", "lazy", "root"),
        25,
        (
            "K x..x......x..... S ....X.......X... H x.x.x.x.x.x.x.x.",
            "K x.....xx..x..... P ....X.......X... H x.xxx.x.x.xxx.xx",
            "K x.......x.x....x S ....X..o....X... H x.x.x.x.x.x.xxxx",
            "K x..x..x......x.. P ........X....... H xxxxxxxxxxxxxxxx O ..............x.",
        ),
        1.0,
        ("electric piano", "synth", "bells", "strings"),
        "soft pad",
        tempi=("medium", "slow", "slow"),
        swing=(0.05, 0.08),
        grid=0.5,
        pool=harmony.VAMP,
    ),
    "funk": Genre(
        36,
        ("funk", "syncopated", "octaves"),
        8,
        (
            "K x.x....x..x..x.. S ....X..o.o..X..o H x.x.x.x.x.x.x.x.",
            "K x..x..x...x..... S ....X..o.o.oX... H xxxxxxxxxxxxxxxx",
            "K x.....x...x..x.. S ....X.o....oX.o. H x.x.x.x.x.x.x.x. B x...x...x...x...",
            "K x.x.......xx.... S ....X..o.oo.X..x R x.x.x.x.x.x.x.x.",
        ),
        1.0,
        ("electric guitar", "electric piano", "organ", "saxophone"),
        "soft pad",
        tempi=("medium", "fast"),
        swing=(0.0, 0.04),
        grid=0.5,
        sevenths=0.7,
        pool=harmony.VAMP,
    ),
    "waltz": Genre(
        32,
        ("waltz", "waltzfifth", "waltzwalk"),
        40,
        (
            "K x........... T ....x...x... H ....x...x...",
            "K x........... S ....o...o... R x...x...x...",
            "K x........... H x.x.x.x.x.x. T ........x...",
            "K x.........o. M ....x...x... R x...x.x.x...",
        ),
        0.8,
        ("accordion", "strings", "piano", "clarinet", "violin"),
        "soft piano",
        tempi=("fast", "medium"),
        meter=3,
        pool=harmony.CADENCES,
    ),
    "classical": Genre(
        43,
        ("long", "root", "pizzicato"),
        48,
        (
            "D X.......x.......",
            "D X.......x.x.x.x. Y x...............",
            "K x............... E ....x.......x...",
            "D x...x...x...x... S x..oooo.x..oooo.",
        ),
        0.45,
        ("strings", "harp", "violin", "cello", "flute", "choir", "piano"),
        "soft pad",
        tempi=("slow", "medium", "fast"),
        pool=harmony.CADENCES,
    ),
}
