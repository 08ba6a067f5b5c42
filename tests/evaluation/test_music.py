"""Tempo, key and pitch of synthetic music, with the judges that come with heartlib."""

import numpy as np
import pytest
from sounds import RATE, chords, drums, stereo, time_of, tone, vibrato

from heartlib.evaluation import harmony, pitch, rhythm
from heartlib.evaluation.judges import shipped
from heartlib.evaluation.spectra import FPS, Sound


@pytest.mark.parametrize("bpm", rhythm.TEMPI)
def test_the_tempo_of_a_beat(bpm: float):
    wave = drums(bpm, 20) + 0.3 * chords(0, minor=False, seconds=20)
    found, certainty = rhythm.tempo(Sound.of(stereo(wave), RATE), shipped().tempo)
    assert found == pytest.approx(bpm)
    assert certainty > 0.5


def test_classes_of_tempo():
    assert [rhythm.tempo_class(bpm) for bpm in (74, 84, 94, 108, 124, 160)] == [
        "slow",
        "slow",
        "medium",
        "medium",
        "fast",
        "fast",
    ]


@pytest.mark.parametrize("tonic", [0, 5, 9])
@pytest.mark.parametrize("mode", ["major", "minor"])
def test_the_key_of_a_cadence(tonic: int, mode: str):
    wave = stereo(chords(tonic, minor=mode == "minor"))
    found, found_mode, _ = harmony.key(Sound.of(wave, RATE), shipped().key)
    assert (found, found_mode) == (harmony.NAMES[tonic], mode)


def test_chroma_follows_a_semitone():
    sounds = [Sound.of(stereo(tone(hertz, 3, 3)), RATE) for hertz in (440, 466.16)]
    power = [sound.power(harmony.N_FFT, harmony.HOP) for sound in sounds]
    a, b_flat = (harmony.chroma(p, *harmony.TREBLE).mean(axis=0) for p in power)
    assert (a.argmax(), b_flat.argmax()) == (9, 10)
    assert np.allclose(harmony.chroma(power[0], *harmony.TREBLE).sum(axis=1)[:5], 1, atol=1e-3)


@pytest.mark.parametrize("hertz", [150.0, 220.0, 330.0, 440.0])
def test_the_pitch_of_a_voice_over_a_bass(hertz: float):
    voice = tone(vibrato(hertz, 4), 4, 14, 0.8)
    wave = voice + 0.5 * tone(65.4, 4, 3, 0.4) + 0.2 * drums(125, 4)
    sound = Sound.of(stereo(wave), RATE)
    found = pitch.voice_pitch(sound, np.ones(len(sound.mel), dtype=bool))
    assert abs(12 * np.log2(np.median(found) / hertz)) < 0.6
    assert np.ptp(found[20:-20]) / hertz < 0.2


def test_pitch_only_where_it_is_sung():
    glide = np.where(time_of(4) < 2, 200.0, 300.0)
    sound = Sound.of(stereo(tone(glide, 4)), RATE)
    sung = np.zeros(len(sound.mel), dtype=bool)
    sung[round(2.5 * FPS) :] = True
    found = pitch.voice_pitch(sound, sung)
    assert len(found) == pytest.approx(1.5 * 50, abs=2)
    assert abs(12 * np.log2(np.median(found) / 300)) < 0.5
