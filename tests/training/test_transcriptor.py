"""The transcriptor's recipe on songs whose words are tones."""

import dataclasses
import json
import shutil
from itertools import pairwise

import numpy as np
import pytest
import soundfile
import torch
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from heartlib.errors import CheckpointError, HeartlibError, UsageError
from heartlib.training.tokenizer import train_tokenizer

transformers = pytest.importorskip("transformers")

from heartlib.hearttranscriptor import HeartTranscriptor  # noqa: E402
from heartlib.hearttranscriptor.windows import windows  # noqa: E402
from heartlib.training import corpus_audio, transcriptor_corpus  # noqa: E402
from heartlib.training.corpus_audio import hash_of  # noqa: E402
from heartlib.training.transcriptor import (  # noqa: E402
    END,
    START,
    mel_filters,
    train,
    whisper_tokenizer,
)
from heartlib.training.transcriptor_corpus import Following  # noqa: E402
from heartlib.training.transcriptor_data import (  # noqa: E402
    Cutter,
    Lyrics,
    Recordings,
    log_mel,
    scaled,
)
from heartlib.training.transcriptor_hearing import (  # noqa: E402
    HIGHEST,
    LOWEST,
    hear,
    made_of_noise,
    noise_mel,
)
from heartlib.training.transcriptor_recipe import (  # noqa: E402
    TranscriptorOptions,
    TranscriptorRecipe,
)

CPU = torch.device("cpu")
TONES = {"low": 300.0, "middle": 900.0, "high": 2500.0}
TINY = TranscriptorRecipe(
    width=32,
    heads=2,
    encoder_layers=1,
    decoder_layers=1,
    dropout=0.1,
    steps=6,
    batch=2,
    most_tokens=24,
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Six songs of ten words of half a second, each word a tone; and a tokenizer."""
    folder = tmp_path_factory.mktemp("tones")
    (folder / "audio").mkdir()
    (folder / "truth").mkdir()
    rng, entries = np.random.default_rng(0), []
    for number in range(6):
        chosen = rng.choice(list(TONES), 10)
        clock = np.arange(24000) / 48000
        wave = np.concatenate([0.3 * np.sin(2 * np.pi * TONES[w] * clock) for w in chosen])
        name = f"tones-{number}"
        soundfile.write(folder / "audio" / f"{name}.flac", np.stack((wave, wave), 1), 48000)
        spans = [(w, 0.5 * i, 0.5 * i + 0.5) for i, w in enumerate(chosen)]
        truth = {
            "words": [{"word": w, "start": a, "end": b} for w, a, b in spans],
            "phonemes": [[w[0], a, b] for w, a, b in spans],
        }
        (folder / "truth" / f"{name}.json").write_text(json.dumps(truth))
        entries.append(json.dumps({"id": name, "lyrics": " ".join(chosen), "tags": "pop"}))
    (folder / "songs.jsonl").write_text("".join(f"{line}\n" for line in entries))
    train_tokenizer([*TONES] * 3).save(str(folder / "tokenizer.json"))
    return folder


def options(corpus, out, **more):
    file = corpus / "tokenizer.json"
    return TranscriptorOptions(data=(corpus,), tokenizer=file, out=out, device="cpu", **more)


@pytest.fixture(scope="module")
def songs(corpus):
    tokenizer = whisper_tokenizer(train_tokenizer([*TONES] * 3))
    ids = [f"tones-{number}" for number in range(6)]
    return Recordings.load(
        corpus, ids, ["_", "h", "l", "m"], tokenizer, mel_filters(CPU)
    ), tokenizer


def test_a_transcriptors_own_tokenizer_adds_no_marks_to_words(corpus, songs):
    mine, tokenizer = songs
    from_folder = Tokenizer.from_str(tokenizer.to_str())
    marks = [(name, tokenizer.token_to_id(name)) for name in (START, END)]
    from_folder.post_processor = TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=marks
    )
    assert len(from_folder.encode("low")) == len(tokenizer.encode("low")) + 2
    ids = [f"tones-{number}" for number in range(6)]
    theirs = Recordings.load(corpus, ids, ["_", "h", "l", "m"], from_folder, mel_filters(CPU))
    assert [song.tokens for song in theirs.songs] == [song.tokens for song in mine.songs]


def test_features_are_whispers(corpus):
    wave, _ = soundfile.read(corpus / "audio" / "tones-0.flac", dtype="float32")
    mono = np.ascontiguousarray(wave[::3, 0])
    mel = log_mel(torch.from_numpy(mono), mel_filters(CPU))
    padded = torch.nn.functional.pad(mel, (0, 0, 0, 3000 - len(mel)), value=-10.0)
    extractor = transformers.WhisperFeatureExtractor()
    expected = extractor(mono, sampling_rate=16000, return_tensors="pt").input_features
    found = scaled(padded[None])
    for kept in (slice(0, 498), slice(503, None)):  # the song's end: it is padded, ours is not
        torch.testing.assert_close(found[..., kept], expected[..., kept], atol=1e-3, rtol=0)


@pytest.mark.parametrize("spliced", [0.0, 1.0])
def test_crops_hold_the_words_that_are_heard(songs, spliced):
    recordings, tokenizer = songs
    rng = np.random.default_rng(0)
    words = {tuple(tokenizer.encode(word).ids): tone for word, tone in TONES.items()}
    for _ in range(10):
        crops = Cutter({"en": (1,)}, 2, 24, spliced)(recordings.songs, 8, rng)
        assert crops.spliced.all() if spliced else not crops.spliced.any()
        heard = hear(recordings, crops)
        assert heard.mel.shape == (8, 80, 3000) and heard.phonemes.shape == (8, 1500)
        for row, frames in enumerate(crops.frames):
            ids = [i for i in crops.tokens[row].tolist() if i >= 0]
            assert (ids[0], ids[-1]) == (1, 2)
            text = tokenizer.decode(ids[1:-1]).split()
            assert abs(len(text) * 50 - frames) <= 2  # half a second a word
            assert (heard.phonemes[row, : frames // 2] > 0).all()
            assert (heard.phonemes[row, frames // 2 + 1 :] == -100).all()
            for place, word in enumerate(text):
                band = heard.mel[row, :, 50 * place + 25].argmax().item()
                tone = (300.0, 900.0, 2500.0)[np.digitize(band, (15, 35))]
                assert tone == TONES[word] == words[tuple(tokenizer.encode(word).ids)]


def test_any_band_plays_behind_the_voices(songs):
    recordings, _ = songs
    noise = torch.full_like(recordings.mel, -2.0)  # a loud band, always the same
    everywhere = torch.arange(len(noise))
    with_band = dataclasses.replace(recordings, band=noise, behind=everywhere)
    crops = Cutter({"en": (1,)}, 2, 24)(recordings.songs, 8, np.random.default_rng(0))
    voices, both = (hear(source, crops).mel for source in (recordings, with_band))
    frames = int(crops.frames.min())
    quiet = voices[..., :frames] < -0.5
    assert (both[..., :frames][quiet] > voices[..., :frames][quiet]).all()  # the band fills them
    recipe = dataclasses.replace(
        TINY, alone=1.0, stretch=0.0, shift=0.0, tilt=0.0, masks=0, wear=0.0, noisy=0.0
    )
    heard = hear(with_band, crops, recipe, noise_mel(mel_filters(CPU))).mel
    torch.testing.assert_close(heard, voices, atol=1e-3, rtol=0)
    with pytest.raises(ValueError, match="needs noise"):
        hear(with_band, crops, recipe)


def test_songs_without_stems_are_heard_as_they_were_mixed(songs):
    mixed, _ = songs
    band = torch.full_like(mixed.mel, -2.0)
    parted = dataclasses.replace(mixed, band=band, behind=torch.arange(len(band)))
    both = Recordings.join([mixed, parted])
    assert len(both.band) == len(band) and len(both.mel) == 2 * len(mixed.mel)
    crops = Cutter({"en": (1,)}, 2, 24, 0.5)(mixed.songs, 8, np.random.default_rng(0))
    later = dataclasses.replace(crops, at=crops.at + len(mixed.mel))
    recipe = dataclasses.replace(
        TINY, alone=0.0, stretch=0.0, shift=0.0, tilt=0.0, masks=0, wear=0.0, noisy=0.0
    )
    noise = noise_mel(mel_filters(CPU))
    heard = hear(both, crops, recipe, noise).mel  # interpolated
    torch.testing.assert_close(heard, hear(mixed, crops).mel, atol=1e-3, rtol=0)
    torch.testing.assert_close(hear(both, later).mel, hear(parted, crops).mel)
    assert not torch.allclose(hear(both, later, recipe, noise).mel, hear(mixed, crops).mel)


def test_upper_bands_become_noise_as_loud():
    torch.manual_seed(0)
    noise = noise_mel(mel_filters(CPU))
    assert abs(float((10**noise).mean()) - 1) < 0.05 and noise.std() > 0.2
    rise = torch.linspace(-6, -2, 80).expand(8, 3000, 80)  # bands that differ
    made = made_of_noise(rise, noise, 1.0)
    changed = made != rise
    lowest = changed.any(1).int().argmax(-1)  # of each row
    assert lowest.min() >= LOWEST and lowest.max() <= HIGHEST and len(set(lowest.tolist())) > 1
    for row, band in enumerate(lowest.tolist()):
        assert changed[row, :, band:].float().mean() > 0.99 and not changed[row, :, :band].any()
        loudness = (10 ** made[row, :, band + 3 : 77]).mean(0).log10()
        torch.testing.assert_close(loudness, rise[row, 0, band + 3 : 77], atol=0.15, rtol=0)
    assert torch.equal(made_of_noise(rise, noise, 0.0), rise)


def test_pieces_of_several_songs_are_spliced(songs):
    recordings, _ = songs
    crops = Cutter({"en": (1,)}, 2, 24, 1.0)(recordings.songs, 8, np.random.default_rng(0))
    jumps = (np.diff(crops.at, axis=1) != 1) & (np.arange(1, 3000) < crops.frames[:, None])
    assert jumps.any()
    contiguous = Cutter({"en": (1,)}, 2, 24)(recordings.songs, 8, np.random.default_rng(0))
    steps = np.diff(contiguous.at, axis=1)[np.arange(1, 3000) < contiguous.frames[:, None]]
    assert (steps == 1).all()


@pytest.mark.parametrize("spliced", [0.0, 1.0])
def test_nothing_is_heard_beyond_the_songs(spliced):
    short = Lyrics(0, 200, np.array([0.5, 1.5]), np.array([1.5, 2.009]), ((3,), (4,)))
    draw = Cutter({"en": (1,)}, 2, 24, spliced)
    for seed in range(20):
        crops = draw([short], 4, np.random.default_rng(seed))
        assert crops.at.min() >= 0 and crops.at.max() < 200 and crops.frames.min() > 0


def test_a_corpus_in_the_making_is_followed(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(transcriptor_corpus, "FIRST_SONGS", 3)
    monkeypatch.setattr(corpus_audio, "LOOK_SECONDS", 0.0)
    folders = [tmp_path / "first", tmp_path / "second"]
    for part in ("audio", "truth"):
        (folders[0] / part).mkdir(parents=True)

    def make(numbers, folder=folders[0]):
        for number in numbers:
            for name in (f"audio/tones-{number}.flac", f"truth/tones-{number}.json"):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(corpus / name, folder / name)

    make((0, 1, 4))
    tokenizer = whisper_tokenizer(train_tokenizer([*TONES] * 3))
    followed = Following(folders, None, tokenizer, mel_filters(CPU), 2, 1.0)
    before = followed.learned.hours + followed.held.hours
    make((2, 3))
    make((5,), folders[1])  # which did not exist when the run began
    followed.grow()
    while any(arriving.reading for arriving in followed.arriving):
        followed.grow()
    followed.close()
    kept = [number for number in range(6) if hash_of(f"tones-{number}", 2)]
    assert before == pytest.approx(3 * 5 / 3600) and len(followed.learned.songs) == len(kept)
    assert followed.symbols[0] == "_" and followed.learned.hours > 0


def test_nobody_makes_the_corpus_that_is_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_audio, "PATIENCE_SECONDS", 0.3)
    tokenizer = whisper_tokenizer(train_tokenizer([*TONES] * 3))
    with pytest.raises(HeartlibError, match=r"0 songs in .* none new for 0.3 s; .* begins with 64"):
        Following([tmp_path], None, tokenizer, mel_filters(CPU), 2, 1.0)


def test_resumed_run_is_the_unbroken_run(corpus, tmp_path):
    train(TINY, options(corpus, tmp_path / "a"))
    for _ in range(2):
        train(TINY, options(corpus, tmp_path / "b", lot_steps=3))
    a, b = (
        HeartTranscriptor.from_pretrained(tmp_path / name / "HeartTranscriptor-oss").model
        for name in "ab"
    )
    for (name, x), y in zip(a.named_parameters(), b.parameters(), strict=True):
        assert torch.equal(x, y), name


def test_begins_with_trained_weights(corpus, tmp_path):
    train(dataclasses.replace(TINY, seed=3), options(corpus, tmp_path / "a"))
    folder = tmp_path / "a" / "HeartTranscriptor-oss"
    recipe = dataclasses.replace(TINY, steps=1, peak_lr=1e-9)
    train(recipe, options(corpus, tmp_path / "b", init=folder))
    a, b = (
        HeartTranscriptor.from_pretrained(tmp_path / name / "HeartTranscriptor-oss").model
        for name in "ab"
    )
    for x, y in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(x, y, atol=1e-2, rtol=1e-2)
    with pytest.raises(UsageError, match="another shape than the recipe: size mismatch"):
        train(dataclasses.replace(recipe, width=16), options(corpus, tmp_path / "c", init=folder))


def test_learns_and_writes_down(corpus, tmp_path):
    recipe = dataclasses.replace(TINY, steps=40, batch=2, dropout=0.0, ema_decay=0.9)
    recipe = dataclasses.replace(recipe, peak_lr=5e-3, masks=0, shift=0.0)
    found = train(recipe, options(corpus, tmp_path))
    assert found["held_phonemes"] > 0.6  # a third by chance
    transcriptor = HeartTranscriptor.from_pretrained(tmp_path / "HeartTranscriptor-oss")
    text = transcriptor.transcribe(np.zeros(8000, np.float32), max_new_tokens=8)
    assert isinstance(text, str)


def test_windows_end_where_it_is_quiet():
    wave = np.ones(16000 * 70, np.float32)
    wave[16000 * 27 : 16000 * 28] = 0
    found = windows(wave)
    assert found[0][0] == 0 and found[-1][1] == len(wave)
    assert all(a[1] == b[0] for a, b in pairwise(found))
    assert 27 * 16000 <= found[0][1] <= 28 * 16000
    assert all(0 < end - start <= 30 * 16000 for start, end in found)
    assert windows(np.ones(5, np.float32)) == [(0, 5)]


def test_stems_without_their_voice_are_refused(tmp_path):
    assert corpus_audio.read_voices(tmp_path, "song", 8, {}) is None
    (tmp_path / "stems" / "song").mkdir(parents=True)
    silence = corpus_audio.read_voices(tmp_path, "song", 8, {"words": [], "doubled": None})
    assert silence is not None and silence.shape == (2, 8) and not silence.any()
    with pytest.raises(HeartlibError, match=r"no voice\.flac: make the corpus with --stems voice"):
        corpus_audio.read_voices(tmp_path, "song", 8, {"words": [{"word": "la"}]})


@pytest.mark.gpu
def test_graphed_steps_are_plain_steps(corpus, tmp_path):
    recipe = dataclasses.replace(TINY, steps=24, dropout=0.0, token_noise=0.0, report_steps=1)
    found = []
    for graph in (False, True):
        out = tmp_path / str(graph)
        given = dataclasses.replace(options(corpus, out), device="cuda", graph=graph)
        train(recipe, given)
        lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
        found.append([line["loss"] for line in lines if "loss" in line])
    assert found[0] == pytest.approx(found[1], abs=0.05)


def test_not_a_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match="is not a HeartTranscriptor folder"):
        HeartTranscriptor.from_pretrained(tmp_path)
