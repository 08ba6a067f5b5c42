"""Rows about the tags: what the judges, and HeartCLAP, hear of what was told."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from heartlib.corpus.moods import MOODS
from heartlib.evaluation.bars import Row, percent, share_row
from heartlib.evaluation.heard import CODEC, MIX, SUNG, Heard
from heartlib.evaluation.likeness import recall
from heartlib.evaluation.measures import SongMeasures
from heartlib.evaluation.truth import Truth
from heartlib.heartclap import HeartCLAP

RECOVERED = 0.8

Wanted = Callable[[Truth], str | None]
"""What a judge must say of a song; None where the song does not count."""


def mode_told(truth: Truth) -> str | None:
    """The mode that a song's mood asks for; None for moods that leave it open."""
    return {0.0: "major", 1.0: "minor"}.get(MOODS[truth.tags["mood"]].minor)


JUDGED: dict[str, tuple[Callable[[SongMeasures], str], Wanted, str]] = {
    "tempo class": (lambda m: m.tempo_class, lambda t: t.tags["tempo"], "tempo_class"),
    "singer": (lambda m: m.singer, lambda t: t.tags["singer"], "singer"),
    "main instrument": (
        lambda m: m.main_instrument,
        lambda t: t.tags["instrument"],
        "main_instrument",
    ),
    "mode of the mood": (lambda m: m.mode, mode_told, "mode"),
}
"""Tag rows: what is judged, what it should be, and its name among the judges' rates."""


def tag_rows(heard: Sequence[Heard], calibration: Mapping[str, float]) -> list[Row]:
    """How often the judges hear what was told in the songs of `lyrics`."""
    songs = [song for song in heard if song.source == SUNG and song.group == "lyrics"]
    true = [song for song in heard if song.source == MIX and song.group == "en"]
    recoded = [song for song in heard if song.source == CODEC]
    rows: list[Row] = []
    for name, (judged, wanted, fact) in JUDGED.items():
        right = agreed(songs, judged, wanted)
        if not right:
            continue
        measured = agreed(true, judged, wanted)
        beside = percent(np.mean(measured).item() if measured else calibration.get(fact))
        coded = agreed(recoded, judged, wanted)
        if coded:
            beside += f"; {percent(np.mean(coded).item())} through the codec"
        rows.append(share_row(f"{name} as told, `lyrics`", right, beside, RECOVERED))
    return rows


def agreed(
    songs: Sequence[Heard], judged: Callable[[SongMeasures], str], wanted: Wanted
) -> list[bool]:
    """Whether each song that counts was judged to be what it should be."""
    return [
        judged(song.measures) == wanted(song.truth)
        for song in songs
        if song.measures and song.truth and wanted(song.truth) is not None
    ]


def likeness_rows(heard: Sequence[Heard], model: HeartCLAP | None) -> list[Row]:
    """How often the nearest tag is the one told, and how well texts find true songs; [] without HeartCLAP."""
    if model is None:
        return []
    songs = [song for song in heard if song.source == SUNG and song.group == "lyrics"]
    true = [song for song in heard if song.source == MIX and song.place is not None]
    rows: list[Row] = []
    for category in ("genre", "timbre", "singer", "mood", "instrument", "tempo"):
        right = _nearest(songs, category)
        if right:
            measured = _nearest([song for song in true if song.group == "en"], category)
            beside = percent(np.mean(measured).item() if measured else None)
            rows.append(share_row(f"{category} nearest by HeartCLAP", right, beside, None))
    if len(true) > 1:
        places = np.stack([song.place for song in true if song.place is not None])
        first, tenth = recall(
            model, [_known(song.truth) for song in true if song.truth], places, (1, 10)
        )
        rows.append(
            Row(
                name="text finds its true song by HeartCLAP, R@1 and R@10",
                bar="",
                figure=f"{percent(first)}, {percent(tenth)}",
                met=None,
                true_songs=f"among {len(true)}",
                values={"recall_1": first, "recall_10": tenth, "songs": len(true)},
            )
        )
    return rows


def _nearest(songs: Sequence[Heard], category: str) -> list[bool]:
    return [
        song.likest[category] == song.truth.tags[category]
        for song in songs
        if song.likest and song.truth and song.truth.tags[category] != "none"
    ]


def _known(truth: Truth) -> dict[str, str]:
    """A song's facts as HeartCLAP's texts name them."""
    names = {"instrument": "main_instrument", "tempo": "tempo_class"}
    known = {names.get(name, name): value for name, value in truth.facts}
    if truth.language:
        return known | {"language": truth.language}
    known.pop("timbre")
    return known
