"""Rendering with the real tools; skipped where they are not installed."""

import ctypes.util
import json
import subprocess
import sys
import warnings
from itertools import pairwise

import numpy as np
import pytest
import soundfile

pytest.importorskip("scipy")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pw = pytest.importorskip("pyworld", exc_type=ImportError)
    mido = pytest.importorskip("mido", exc_type=ImportError)
pytest.importorskip("fluidsynth", exc_type=ImportError)

from heartlib.corpus.card import card
from heartlib.corpus.compose import compose
from heartlib.corpus.doubling import doubled_spans, sing_second, take_of
from heartlib.corpus.espeak import engine, is_vowel
from heartlib.corpus.instruments import find_font
from heartlib.corpus.make import STEMS, index, make
from heartlib.corpus.midi import write_midi
from heartlib.corpus.mix import limit, loudness
from heartlib.corpus.orchestra import INSTRUMENTS
from heartlib.corpus.render import perform, render, render_stems, voice_folder
from heartlib.corpus.styles import tags_by_category
from heartlib.corpus.voice_bank import VoiceBank
from heartlib.corpus.voices import VOICES
from heartlib.corpus.words import vocabulary
from heartlib.errors import HeartlibError, UsageError

if ctypes.util.find_library("espeak-ng") is None:
    pytest.skip("espeak-ng is not installed", allow_module_level=True)
try:
    find_font()
except HeartlibError as error:
    pytest.skip(str(error), allow_module_level=True)


def _first(wanted) -> int:
    """The first seed whose song is as wanted and short."""
    return next(s for s in range(1000) if compose(s).duration < 36 and wanted(compose(s)))


SUNG = _first(lambda score: score.words and score.style.doubling == "none")
PLAYED = _first(lambda score: not score.words)
DOUBLED = _first(lambda score: score.style.doubling == "third" and score.swing > 0)


def test_a_song_is_loud_enough_and_does_not_clip() -> None:
    wave, truth = render(SUNG)
    assert wave.dtype == np.float32
    assert wave.shape == (2, round(truth["duration"] * 48000))
    assert np.abs(wave).max() <= 0.95
    assert loudness(wave) == pytest.approx(-16.0, abs=1.0)
    seconds = wave[:, : wave.shape[1] // 48000 * 48000].reshape(2, -1, 48000).std(axis=(0, 2))
    assert seconds[:-2].min() > 0.01
    assert np.abs(wave[:, -480:]).max() < 0.01


def test_the_same_seed_is_the_same_sound() -> None:
    for seed in (PLAYED, DOUBLED):
        first, second = render(seed), render(seed)
        assert np.array_equal(first[0], second[0])
        assert first[1] == second[1]


def test_the_parts_sum_to_the_song_before_the_limiter() -> None:
    mixed = perform(DOUBLED).mix
    parts = mixed.stems()
    assert {"voice", "second", "main", "bass"} <= set(parts) <= {*parts, "backing", "drums"}
    total = sum(parts.values(), np.zeros_like(mixed.song))
    untouched = np.abs(mixed.song) < 0.7
    assert untouched.mean() > 0.99
    assert np.abs(total - mixed.song)[untouched].max() < 1e-3


def test_the_main_instrument_stands_in_front_of_the_band() -> None:
    instruments: set[str] = set()
    for seed in (s for s in range(2000, 3000) if compose(s).duration < 27):
        score = compose(seed)
        if score.style.instrument in instruments or len(instruments) == 4:
            continue
        instruments.add(score.style.instrument)
        mixed = perform(seed).mix
        level = {name: loudness(wave * mixed.gain) for name, wave in mixed.parts.items()}
        lift = INSTRUMENTS[score.style.instrument].lift
        assert level["main"] > loudness(mixed.song) - 9 + lift
        assert level["main"] > level["bass"] + 3
        assert level["main"] > level.get("backing", -99) + 8
    assert len(instruments) == 4


def test_the_second_take_is_a_third_above_and_only_in_the_chorus() -> None:
    score = compose(DOUBLED)
    wave = sing_second(score, VoiceBank(VOICES[score.style.voice], voice_folder()))
    assert wave is not None
    truth = render(DOUBLED)[1]["doubled"]
    assert truth["kind"] == "third"
    assert truth["spans"] == [pytest.approx(span, abs=1e-3) for span in doubled_spans(score)]
    take = take_of(score)
    f0, times = pw.dio(wave[::2].copy(), 24000, f0_floor=70.0, f0_ceil=900.0)
    errors = []
    for midi, start, end in truth["notes"]:
        inside = (times > start + take.late + 0.08) & (times < end - 0.08) & (f0 > 0)
        if inside.sum() > 5:
            errors.append(69 + 12 * np.log2(np.median(f0[inside]) / 440) - midi)
    assert len(errors) > 5
    assert np.median(errors) == pytest.approx(take.detune, abs=0.07)
    clock = np.arange(len(wave)) / 48000
    outside = np.ones(len(wave), bool)
    for start, end in doubled_spans(score):
        outside &= (clock < start - 0.3) | (clock > end + 0.4)
    assert outside.any() and np.abs(wave[outside]).max() < 1e-3


def test_a_midi_file_holds_the_score(tmp_path) -> None:
    score = compose(DOUBLED)
    write_midi(score, tmp_path / "song.mid")
    song = mido.MidiFile(tmp_path / "song.mid")
    assert song.length == pytest.approx(max(h.end for h in score.hits), abs=0.01)
    tracks = {track.name: track for track in song.tracks[1:]}
    for name in ("main", "bass"):
        now, played = 0, []
        for message in tracks[name]:
            now += message.time
            if message.type == "note_on":
                played.append((message.note, message.velocity, now / 480 * score.beat))
        hits = [hit for hit in score.hits if hit.part == name]
        assert len(played) == len(hits)
        for note, hit in zip(
            sorted(played, key=lambda n: (round(n[2], 2), n[0])),
            sorted(
                hits,
                key=lambda h: (
                    round(round(h.start / score.beat * 480) / 480 * score.beat, 2),
                    h.midi,
                ),
            ),
            strict=True,
        ):
            assert note[:2] == (hit.midi, hit.velocity)
            assert note[2] == pytest.approx(hit.start, abs=0.002)
    lyrics = [message.text for message in tracks["voice"] if message.type == "lyrics"]
    assert lyrics == [word.text for word in score.words]
    assert "second" in tracks
    markers = [message.text for message in song.tracks[0] if message.type == "marker"]
    assert markers == [section.name for section in score.sections]


def test_midi_and_stems_are_kept_when_asked_for(tmp_path) -> None:
    make(tmp_path, songs=1, seed=PLAYED, jobs=1)
    assert not (tmp_path / "midi").exists() and not (tmp_path / "stems").exists()
    make(tmp_path, songs=1, seed=PLAYED, jobs=1, midi=True, stems=STEMS)
    name = f"main-{PLAYED:07d}"
    assert (tmp_path / "midi" / f"{name}.mid").is_file()
    song, _ = soundfile.read(tmp_path / "audio" / f"{name}.flac")
    files = sorted((tmp_path / "stems" / name).iterdir())
    assert {"main", "bass"} <= {path.stem for path in files}
    total = np.sum([soundfile.read(path)[0] for path in files], axis=0)
    assert np.abs(total - song)[np.abs(song) < 0.7].max() < 2e-3


def test_the_card_has_a_row_for_every_tag() -> None:
    truths = [render(PLAYED)[1], render(DOUBLED)[1]]
    text = card(truths)
    for category, tags in tags_by_category().items():
        assert f"| {category} | share of songs | told by a tag |" in text
        assert all(f"\n| {tag} | " in text for tag in tags)
    assert "| instrumental | 50.0 % |" in text and "| third | 50.0 % |" in text


def test_the_voice_sings_the_notes() -> None:
    score = compose(SUNG)
    voice, _ = render_stems(score)
    assert voice is not None
    f0, times = pw.dio(voice.wave[::2].copy(), 24000, f0_floor=70.0, f0_ceil=800.0)
    errors = []
    for note in (note for word in score.words for note in word.notes):
        inside = (times > note.start + 0.06) & (times < note.end - 0.06) & (f0 > 0)
        if inside.sum() > 3:
            errors.append(69 + 12 * np.log2(np.median(f0[inside]) / 440) - note.midi)
    assert len(errors) > 0.8 * sum(len(word.notes) for word in score.words)
    assert np.median(np.abs(errors)) < 0.1
    assert np.mean(np.abs(errors) < 0.5) > 0.95


def test_phonemes_are_in_order_and_inside_their_words() -> None:
    _, truth = render(SUNG)
    spans = [(start, end) for _, start, end in truth["phonemes"]]
    assert all(a[1] <= b[0] + 1e-3 for a, b in pairwise(spans))
    vowels = [start for name, start, _ in truth["phonemes"] if is_vowel(name)]
    assert vowels == pytest.approx([start for _, start, _ in truth["notes"]], abs=1e-3)
    assert truth["words"][0]["start"] == spans[0][0] and truth["words"][-1]["end"] == spans[-1][1]


def test_an_instrumental_has_no_words() -> None:
    _, truth = render(PLAYED)
    assert truth["singer"] == "none"
    assert not truth["words"] and not truth["phonemes"] and not truth["notes"]


@pytest.mark.slow
@pytest.mark.parametrize("voice", sorted(VOICES))
def test_every_word_has_its_syllables_in_every_voice(voice: str) -> None:
    for word in vocabulary().values():
        _, phonemes = engine().say(word.says, VOICES[voice].espeak)
        assert sum(is_vowel(name) for name, _, _ in phonemes) == word.syllables, word.text


def test_a_folder_continues_where_it_was(tmp_path) -> None:
    made = make(tmp_path, songs=2, seed=4, jobs=1)
    assert made["songs"] == 2 and made["complete"]
    kept = tmp_path / "audio" / "main-0000004.flac"
    stamp = kept.stat().st_mtime_ns
    (tmp_path / "truth" / "main-0000005.json").unlink()
    make(tmp_path, songs=2, seed=4, jobs=1)
    assert kept.stat().st_mtime_ns == stamp
    lines = [json.loads(line) for line in (tmp_path / "songs.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == ["main-0000004", "main-0000005"]
    assert "2 songs" in (tmp_path / "card.md").read_text()
    assert len(index(tmp_path)) == 2
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def test_bad_amounts_and_fonts_are_refused(tmp_path) -> None:
    with pytest.raises(UsageError, match="either"):
        make(tmp_path)
    with pytest.raises(UsageError, match="above zero"):
        make(tmp_path, songs=0)
    with pytest.raises(HeartlibError, match="fluid-soundfont-gm"):
        make(tmp_path, songs=1, font=tmp_path / "none.sf2")


def test_the_limiter_bends_only_peaks() -> None:
    wave = np.array([[-3.0, -0.7, 0.0, 0.5, 0.8]])
    bent = limit(wave)
    assert bent[0, 1:4].tolist() == [-0.7, 0.0, 0.5]
    assert -0.95 <= bent[0, 0] < -0.9 and 0.7 < bent[0, 4] < 0.8


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
def test_a_worker_keeps_the_memory_of_its_songs() -> None:
    program = """
import numpy as np, resource
from heartlib.corpus.make import keep_memory
keep_memory()
def song():
    for _ in range(8):
        np.ones(2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
song(), song()
before = song()
print(song() - before)
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert int(found.stdout) < 2048  # pages of one of the eight arrays
