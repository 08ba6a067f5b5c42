"""A score as a standard MIDI file: tempo, key, section markers, the voice with its words, the parts."""

from pathlib import Path

from heartlib.corpus.doubling import second_words
from heartlib.corpus.genres import GENRES
from heartlib.corpus.score import PARTS, Hit, Score, SungWord
from heartlib.errors import HeartlibError

TICKS = 480
"""Ticks a beat."""
CHANNELS = {"voice": 0, "second": 1, "main": 2, "backing": 3, "bass": 4, "drums": 9}
CHOIR, SUNG_VELOCITY = 52, 90


def write_midi(score: Score, path: Path) -> None:
    """Writes the score; HeartlibError without `mido`."""
    try:
        import mido  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise HeartlibError(
            f"MIDI files need mido ({error}): pip install 'heartlib[corpus]'"
        ) from error
    song = mido.MidiFile(type=1, ticks_per_beat=TICKS)
    song.tracks.append(_conductor(mido, score))
    for name, words in (("voice", list(score.words)), ("second", second_words(score))):
        if words:
            song.tracks.append(_track(mido, score, name, CHOIR, _sung(words), words))
    programs = programs_of(score)
    for part in PARTS:
        hits = [hit for hit in score.hits if hit.part == part]
        if hits:
            song.tracks.append(_track(mido, score, part, programs[part], hits, []))
    song.save(path)


def programs_of(score: Score) -> dict[str, int]:
    """The General MIDI program of each part; of the drums, the kit."""
    style, genre = score.style, GENRES[score.style.genre]
    return {
        "main": style.program,
        "backing": style.backing_program,
        "bass": genre.bass_program,
        "drums": genre.kit,
    }


def _conductor(mido, score: Score):
    key = score.key + ("m" if score.mode == "minor" else "")
    events = [
        (0, mido.MetaMessage("set_tempo", tempo=round(score.beat * 1e6))),
        (0, mido.MetaMessage("time_signature", numerator=score.meter, denominator=4)),
        (0, mido.MetaMessage("key_signature", key=key)),
    ]
    for part in score.sections:
        events.append((_tick(score, part.start), mido.MetaMessage("marker", text=part.name)))
    return _in_order(mido, events)


def _track(mido, score: Score, name: str, program: int, hits: list[Hit], words: list[SungWord]):
    channel = CHANNELS[name]
    events = [
        (0, mido.MetaMessage("track_name", name=name)),
        (0, mido.Message("program_change", channel=channel, program=program)),
    ]
    for word in words:
        at = _tick(score, word.notes[0].start)
        events.append((at, mido.MetaMessage("lyrics", text=word.text)))
    notes = [(hit, _tick(score, hit.start), _tick(score, hit.end)) for hit in hits]
    for hit, _, end in notes:
        events.append((end, mido.Message("note_off", channel=channel, note=hit.midi)))
    for hit, start, _ in notes:
        message = mido.Message("note_on", channel=channel, note=hit.midi, velocity=hit.velocity)
        events.append((start, message))
    return _in_order(mido, events)


def _sung(words: list[SungWord]) -> list[Hit]:
    notes = (note for word in words for note in word.notes)
    return [Hit("voice", note.midi, SUNG_VELOCITY, note.start, note.end) for note in notes]


def _tick(score: Score, seconds: float) -> int:
    return round(seconds / score.beat * TICKS)


def _in_order(mido, events: list):
    """A track of (tick, message); at one tick the messages keep their order, ends before starts."""
    track = mido.MidiTrack()
    now = 0
    for at, message in sorted(events, key=lambda event: event[0]):
        track.append(message.copy(time=at - now))
        now = at
    return track
