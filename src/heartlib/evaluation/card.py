"""The whole table of a model: from everything that was heard to its rows."""

from collections.abc import Mapping, Sequence

from heartlib.evaluation import bars
from heartlib.evaluation.bars import Row, pair_row, percent, share_row
from heartlib.evaluation.heard import SUNG, Heard
from heartlib.evaluation.measures import SongMeasures
from heartlib.evaluation.tag_rows import likeness_rows, tag_rows
from heartlib.evaluation.timbre import contrast
from heartlib.evaluation.trials import TAGS
from heartlib.evaluation.word_rows import structure_rows, word_rows
from heartlib.heartclap import HeartCLAP

LOUDNESS = (-24.0, -9.0)
SILENCE = 1.0


def card(
    heard: Sequence[Heard], calibration: Mapping[str, float], clap: HeartCLAP | None = None
) -> list[Row]:
    """Every row for which there are songs. calibration: the rates of the judges' own file.

    HeartlibError where words are to be counted without espeak-ng.
    """
    return [
        *word_rows(heard),
        *structure_rows(heard),
        *tag_rows(heard, calibration),
        *likeness_rows(heard, clap),
        *sound_rows(heard, calibration),
        *trial_rows(heard, calibration),
    ]


def sound_rows(heard: Sequence[Heard], calibration: Mapping[str, float]) -> list[Row]:
    """Levels, silences and joins of all the model's songs."""
    songs = [song.measures for song in heard if song.source == SUNG and song.measures]
    if not songs:
        return []
    return [
        bars.range_row("loudness, LUFS", [song.loudness for song in songs], *LOUDNESS),
        bars.most_row("clipped samples", [song.clipped for song in songs], 0),
        bars.most_row("longest silence inside, s", [song.silence for song in songs], SILENCE),
        bars.joins_row(songs, calibration.get("join_jumps", 0.0)),
        bars.most_row("clicks at joins", [song.join_clicks for song in songs], 0),
    ]


def trial_rows(heard: Sequence[Heard], calibration: Mapping[str, float]) -> list[Row]:
    """Whether there is a voice, and what changes with one tag."""
    rate = calibration
    found = {kind: _measures(heard, kind) for kind in TAGS}
    rows: list[Row] = []
    sung = [
        song.measures.sung
        for song in heard
        if song.source == SUNG and song.group != "instrumental" and song.measures
    ]
    if sung:
        rows.append(share_row("a voice in songs with lyrics", sung, percent(rate.get("voice"))))
    if found["instrumental"]:
        none = [not song.sung for song in found["instrumental"]]
        rows.append(
            share_row("no voice in [Instrumental]", none, percent(rate.get("voice_absent")))
        )
    pairs = [
        ("fast / slow: tempo, bpm", "fast", "slow", lambda song: song.tempo, "tempo"),
        (
            "female / male: voice pitch, Hz",
            "female",
            "male",
            lambda song: song.voice_pitch or 0.0,
            "singer",
        ),
        (
            "guitar / piano: timbre, nepers",
            "guitar",
            "female",
            lambda song: contrast(song.instruments, "guitar", "piano"),
            "main_instrument",
        ),
    ]
    for name, more, less, value, fact in pairs:
        if found[more] and found[less]:
            rows.append(pair_row(name, found[more], found[less], value, rate.get(fact)))
    told: list[tuple[str, list[bool], str]] = [
        (
            "tempo class as told, one tag changed",
            [song.tempo_class == name for name in ("fast", "slow") for song in found[name]],
            "tempo_class",
        ),
        (
            "singer as told, one tag changed",
            [song.singer == name for name in ("female", "male") for song in found[name]],
            "singer",
        ),
        (
            "main instrument as told, one tag changed",
            [song.main_instrument == "piano" for song in found["female"]]
            + [song.main_instrument == "guitar" for song in found["guitar"]],
            "main_instrument",
        ),
    ]
    for name, right, fact in told:
        if right:
            rows.append(share_row(name, right, percent(rate.get(fact))))
    return rows


def _measures(heard: Sequence[Heard], group: str) -> list[SongMeasures]:
    return [
        song.measures
        for song in heard
        if song.source == SUNG and song.group == group and song.measures
    ]
