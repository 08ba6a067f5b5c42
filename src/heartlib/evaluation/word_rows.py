"""Rows about the words: how many are understood, of which songs, and where the sections are."""

from collections.abc import Sequence

from heartlib.evaluation.alignment import Count
from heartlib.evaluation.bars import Row, percent, rate_row, share_row
from heartlib.evaluation.heard import CODEC, MIX, SUNG, VOICE, Heard
from heartlib.evaluation.interval import ratio_interval
from heartlib.evaluation.pieces import KINDS
from heartlib.evaluation.structure import compare, ends_well, in_order

LYRICS, LANGUAGE, TRUE, RISE = 0.40, 0.50, 0.12, 0.10
"""The highest phoneme error rates allowed: of lyrics, of another language, of true songs; and the
most that the codec may add."""
LANGUAGES_NEEDED = 2


def word_rows(heard: Sequence[Heard]) -> list[Row]:
    """The phoneme error rates of the model's sets and of true songs; [] where nothing was written down."""
    rows: list[Row] = []
    others: list[bool] = []
    for group, kind in KINDS.items():
        songs = written(heard, SUNG, group)
        if not songs:
            continue
        limit = {"lyrics": LYRICS, "unseen": None}.get(group, LANGUAGE)
        rows.append(
            _rate_row(f"phoneme error rate, `{group}`", songs, limit, _true(heard, kind.language))
        )
        if kind.language != "en":
            others.append(bool(rows[-1].met))
    if others:
        count = sum(others)
        rows.append(
            Row(
                name=f"languages at most {LANGUAGE:.1f}, besides English",
                bar=f"≥ {LANGUAGES_NEEDED}",
                figure=f"{count} of {len(others)}",
                met=count >= LANGUAGES_NEEDED,
                true_songs="",
                values={"right": count, "languages": len(others)},
            )
        )
    return rows + _recogniser_rows(heard) + _codec_rows(heard)


def structure_rows(heard: Sequence[Heard]) -> list[Row]:
    """Sections and ending of the songs of `lyrics`."""
    songs = [song for song in heard if song.source == SUNG and song.group == "lyrics"]
    rows: list[Row] = []
    hear = written(songs, SUNG, "lyrics")
    if hear:
        true = [in_order(song) for song in written(heard, MIX, "en")]
        share = percent(sum(true) / len(true)) if true else "not measured"
        rows.append(share_row("sections in order", [in_order(song) for song in hear], share))
    if songs:
        rows.append(
            share_row("ends by itself, ±15 % of the length", [ends_well(s) for s in songs], "")
        )
    return rows


def written(heard: Sequence[Heard], source: str, group: str) -> list[Heard]:
    """The songs of a source and group that have words and were written down."""
    return [
        song
        for song in heard
        if (song.source, song.group) == (source, group)
        and song.text is not None
        and song.truth is not None
        and song.truth.words
    ]


def counts(songs: Sequence[Heard]) -> list[Count]:
    """Each song's errors and phonemes."""
    return [compare(song.truth, song.text or "").whole for song in songs if song.truth]


def _rate_row(name: str, songs: Sequence[Heard], most: float | None, true_songs: str) -> Row:
    found = counts(songs)
    return rate_row(name, [c.errors for c in found], [c.phonemes for c in found], true_songs, most)


def _rate(songs: Sequence[Heard]) -> float | None:
    found = counts(songs)
    return sum(c.errors for c in found) / sum(c.phonemes for c in found) if found else None


def _true(heard: Sequence[Heard], language: str) -> str:
    """The recogniser's rates on true songs of a language, in words."""
    mix, voice = (_rate(written(heard, source, language)) for source in (MIX, VOICE))
    if mix is None:
        return "not measured"
    return f"{mix:.3f}" + (f"; the voice alone {voice:.3f}" if voice is not None else "")


def _recogniser_rows(heard: Sequence[Heard]) -> list[Row]:
    songs = written(heard, MIX, "en")
    if not songs:
        return []
    voice = _rate(written(heard, VOICE, "en"))
    beside = f"the voice alone {voice:.3f}" if voice is not None else ""
    return [_rate_row("phoneme error rate of true English songs", songs, TRUE, beside)]


def _codec_rows(heard: Sequence[Heard]) -> list[Row]:
    """What the codec costs: the same true songs with and without it."""
    rows: list[Row] = []
    recoded = [song for song in heard if song.source == CODEC]
    coded = {song.name: song for song in written(heard, CODEC, "en")}
    plain = [song for song in written(heard, MIX, "en") if song.name in coded]
    if plain:
        before, after = counts(plain), counts([coded[song.name] for song in plain])
        more = [b.errors - a.errors for a, b in zip(before, after, strict=True)]
        sizes = [count.phonemes for count in before]
        rise = sum(more) / sum(sizes)
        low, high = ratio_interval(more, sizes)
        whole = sum(count.errors for count in after) / sum(sizes)
        rows.append(
            Row(
                name="phoneme error rate added by the codec",
                bar=f"≤ {RISE:.2f}",
                figure=f"{rise:+.3f} ({low:+.3f} to {high:+.3f}), {len(plain)} songs".replace(
                    "-", "−"
                ),
                met=rise <= RISE,
                true_songs=f"{whole:.3f} with it",
                values={"rise": rise, "low": low, "high": high, "rate": whole},
            )
        )
    distances = [song.mel_distance for song in recoded if song.mel_distance is not None]
    if distances:
        mean = sum(distances) / len(distances)
        low, high = ratio_interval(distances, [1.0] * len(distances))
        rows.append(
            Row(
                name="log-mel distance of the codec, dB",
                bar="",
                figure=f"{mean:.2f} ({low:.2f} to {high:.2f}), {len(distances)} songs",
                met=None,
                true_songs="",
                values={"mean": mean, "low": low, "high": high},
            )
        )
    return rows
