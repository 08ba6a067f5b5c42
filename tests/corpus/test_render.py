"""Rendering with the real tools; skipped where they are not installed."""

import ctypes.util
import json
import subprocess
import sys
import warnings
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("scipy")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pw = pytest.importorskip("pyworld", exc_type=ImportError)
pytest.importorskip("fluidsynth", exc_type=ImportError)

from heartlib.corpus.compose import compose
from heartlib.corpus.espeak import engine, is_vowel
from heartlib.corpus.instruments import find_font
from heartlib.corpus.make import index, make
from heartlib.corpus.mix import limit, loudness
from heartlib.corpus.render import render, render_stems
from heartlib.corpus.voices import VOICES
from heartlib.corpus.words import vocabulary
from heartlib.errors import HeartlibError, UsageError

if ctypes.util.find_library("espeak-ng") is None:
    pytest.skip("espeak-ng is not installed", allow_module_level=True)
try:
    find_font()
except HeartlibError as error:
    pytest.skip(str(error), allow_module_level=True)

SUNG, PLAYED = 3, 5


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
    first, second = render(PLAYED), render(PLAYED)
    assert np.array_equal(first[0], second[0])
    assert first[1] == second[1]


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
