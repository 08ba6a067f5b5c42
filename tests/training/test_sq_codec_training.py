"""The scalar codec's recipe: its data, its losses, and a short run that learns, stops and goes on."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from heartlib import checkpoints
from heartlib.audio.mel import log_mel, mel_filterbank
from heartlib.errors import HeartlibError
from heartlib.heartcodec.configuration_heartcodec import HeartCodecConfig
from heartlib.heartcodec.models.analysis import Analysis
from heartlib.heartcodec.models.sq_codec import SQCodec, fold_weight_norm
from heartlib.training import run as running
from heartlib.training.audio_data import Crops, load_audio, song_files, split_songs
from heartlib.training.lapped import start_lapped
from heartlib.training.loop import set_learning_rate
from heartlib.training.losses import Discriminator, SpectralLoss, discriminator_loss, si_sdr
from heartlib.training.run import Run
from heartlib.training.sq_codec import mono_rows, train
from heartlib.training.sq_recipe import SQOptions, SQRecipe
from heartlib.training.sq_trainer import Training, disturb, with_weight_norm

TINY = SQRecipe(
    minutes=0.5,
    init_channel=12,
    batch=2,
    crop_latents=6,
    peak_lr=1e-3,
    adversarial_rows=2,
    discriminator_channels=4,
    ema_decay=0.8,
)


def options(data: Path, out: Path, lot: float = 0.0) -> SQOptions:
    return SQOptions(data=data, out=out, lot=lot, device="cpu")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three songs of chords, 1.5 to 2 seconds."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "audio").mkdir()
    random = np.random.default_rng(0)
    for index in range(3):
        time = np.arange(int(48000 * (1.5 + index / 4))) / 48000
        wave = sum(
            np.stack([np.sin(2 * np.pi * f * time), np.sin(2 * np.pi * f * time + 1)], 1)
            for f in random.uniform(100, 2000, 4)
        )
        soundfile.write(folder / "audio" / f"s{index}.flac", 0.1 * wave, 48000)
    return folder


def test_filters_are_triangles_on_the_mel_scale() -> None:
    filters = mel_filterbank(2048, 48000, 80, 0.0, 24000.0)
    bins = torch.linspace(0, 24000, 1025)
    peaks = 2595 * torch.log10(1 + bins[filters.argmax(1)] / 700)
    even = torch.arange(1, 81) * (2595 * np.log10(1 + 24000 / 700) / 81)
    assert (peaks - even).abs().max() < 20  # half a bin, in mel
    inside = (bins > bins[filters[0].argmax()]) & (bins < bins[filters[-1].argmax()])
    torch.testing.assert_close(filters.sum(0)[inside], torch.ones(int(inside.sum())))
    with pytest.raises(ValueError, match="hold no bin"):
        mel_filterbank(256, 48000, 128, 0.0, 20000.0)
    with pytest.raises(ValueError, match="do not fit"):
        mel_filterbank(256, 16000, 8, 0.0, 20000.0)


def test_log_mel_tells_level_and_pitch() -> None:
    time = torch.arange(48000) / 48000
    low, high = (0.5 * torch.sin(2 * torch.pi * f * time) for f in (440, 4400))
    spectrum = log_mel(torch.stack((low, high, low / 10)))[:, :, 40]  # [3, mels]
    assert spectrum[0].argmax() < spectrum[1].argmax()
    difference = spectrum[0].max() - spectrum[2].max()
    torch.testing.assert_close(difference, torch.tensor(20.0), atol=0.1, rtol=0)
    assert -8 < spectrum[0].max() < -4


def test_crops_lie_inside_their_songs(corpus: Path) -> None:
    songs = load_audio(song_files(corpus))
    crops = Crops(songs, samples=71040, align=1920)  # 1.48 s: the first song has one place
    starts = crops.starts(2000)
    ends = torch.tensor(songs.offsets)
    song = torch.searchsorted(ends[1:], starts, right=True)
    assert set(song.tolist()) == {0, 1, 2}
    assert ((starts - ends[song]) % 1920 == 0).all()
    assert (starts + 71040 <= ends[song + 1]).all()
    counts = [((length - 71040) // 1920) + 1 for length in (72000, 84000, 96000)]
    assert crops.places == sum(counts) == len(starts.unique())
    assert crops.batch(3).shape == (3, 2, 71040)
    with pytest.raises(HeartlibError, match="shorter"):
        Crops(songs, samples=10**6)


def test_audio_arrives_as_it_is_on_disk(corpus: Path) -> None:
    files = song_files(corpus)
    songs = load_audio(files, threads=2)
    wave, _ = soundfile.read(files[1], dtype="float32")
    torch.testing.assert_close(songs.song(1), torch.from_numpy(wave.T.copy()))


def test_the_split_hangs_on_the_id_alone() -> None:
    files = [Path(f"{i}.flac") for i in range(200)]
    train_files, held = split_songs(files)
    assert set(train_files) | set(held) == set(files) and not set(train_files) & set(held)
    assert 4 < len(held) < 30
    _, held_of_half = split_songs(files[:100])
    assert set(held_of_half) == set(held) & set(files[:100])


def test_wrong_audio_is_named(tmp_path: Path) -> None:
    with pytest.raises(HeartlibError, match="no audio"):
        song_files(tmp_path)
    soundfile.write(tmp_path / "a.wav", np.zeros((100, 2)), 44100)
    with pytest.raises(HeartlibError, match=r"a\.wav has 44100"):
        load_audio(song_files(tmp_path))
    with pytest.raises(HeartlibError, match="too few"):
        split_songs(song_files(tmp_path))


def test_mono_rows_are_mixes_of_the_channels() -> None:
    torch.manual_seed(0)
    stereo = torch.tensor([1.0, 10.0])[:, None].expand(4000, 2, 3)
    level = mono_rows(stereo, (0.0, 0.0))[:, 0, 0]
    kinds, counts = level.abs().unique(return_counts=True)
    assert kinds.tolist() == [1.0, 4.5, 5.5, 10.0]  # left, side, mid, right
    shares = counts / 4000
    torch.testing.assert_close(
        shares, torch.tensor([0.35, 0.1, 0.2, 0.35]), atol=0.03, rtol=0, check_dtype=False
    )
    assert 0.45 < (level < 0).float().mean() < 0.55 + 0.05
    gains = 20 * torch.log10(mono_rows(torch.ones(4000, 2, 1), (-6.0, 3.0)).abs().amax((1, 2)))
    assert gains.max() <= 3.001 and gains.max() > 2.5


def test_noise_moves_a_latent_by_half_a_level_at_most() -> None:
    moved = disturb(torch.zeros(400, 8, 8), 0.5).abs().amax((1, 2))
    assert moved.max() <= 0.5 / 9
    assert 0.4 < (moved > 0).float().mean() < 0.6


def test_spectral_loss_hears_level_and_phase() -> None:
    torch.manual_seed(0)
    loss, real = SpectralLoss(), 0.1 * torch.randn(2, 9600)
    assert all(v == 0 for v in loss(real, real).values())
    louder = loss(2 * real, real)
    for name in ("mel", "magnitude"):
        torch.testing.assert_close(louder[name], torch.tensor(2.0).log(), atol=0.02, rtol=0)
    flipped = loss(-real, real)
    assert flipped["mel"] < 1e-5 and flipped["spectrum"] > 1.8
    torch.testing.assert_close(
        si_sdr(3 * real + 0.1 * torch.randn(2, 9600), 3 * real).mean(),
        torch.tensor(9.5),
        atol=0.5,
        rtol=0,
    )


def test_the_discriminator_learns_to_tell_noise_from_tones() -> None:
    torch.manual_seed(0)
    critic = Discriminator(sizes=(512,), channels=4)
    optimizer = torch.optim.AdamW(critic.parameters(), lr=5e-3)
    tones = 0.1 * torch.sin(torch.arange(9600) * torch.tensor([[0.1], [0.2], [0.3], [0.4]]))
    noise = 0.1 * torch.randn(4, 9600)
    losses = []
    for _ in range(25):
        loss = discriminator_loss(critic(tones), critic(noise))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(("kind", "reach", "least"), [("analysis", 480, 11), ("learned", 600, 12)])
def test_a_new_codec_carries_low_sounds_with_their_phase(
    kind: str, reach: int, least: float, tmp_path: Path
) -> None:
    recipe = replace(TINY, scalar_encoder=kind)
    torch.manual_seed(0)
    time = torch.arange(16 * 1920) / 48000
    tones = torch.rand(8, 3, 1) * reach + 60
    wave = 0.1 * torch.sin(2 * torch.pi * (tones * time + torch.rand(8, 3, 1))).sum(1)[:, None]
    training = Training(Run("codec", recipe, options(tmp_path, tmp_path)), recipe)
    inside = slice(4 * 1920, -4 * 1920)
    with torch.no_grad():
        before = training.codec.decode(training.codec.encode(wave))
        training.start(wave)
        after = training.codec.decode(training.codec.encode(wave))
    assert si_sdr(before[:, 0, inside], wave[:, 0, inside]).mean() < -10
    assert si_sdr(after[:, 0, inside], wave[:, 0, inside]).mean() > least
    mean = training.mean_codec()
    assert torch.equal(mean.decoder[-1].weight, training.codec.decoder[-1].weight)
    assert (mean.encoder is None) == (kind == "analysis")


def test_levels_tell_band_and_time() -> None:
    """Noise of one octave for 20 ms in the third latent is heard in its parts and bands, and nowhere else."""
    torch.manual_seed(0)
    wave = torch.zeros(1, 1, 6 * 1920)
    spectrum = torch.fft.rfft(torch.randn(960))
    hertz = torch.fft.rfftfreq(960, 1 / 48000)
    octave = torch.fft.irfft(spectrum * ((hertz > 2000) & (hertz < 4000)), 960)
    wave[0, 0, 2 * 1920 + 960 : 3 * 1920] = 0.01 * octave
    latents = Analysis()(wave)
    levels = latents[0, 48:].unflatten(0, (40, 2))  # [band, part, latent]
    means = Analysis().means / 6.4
    heard = levels - (torch.tensor(1e-3).log() / 6.4 - means).clamp(-1, 1)[..., None]
    assert latents.shape == (1, 128, 6) and latents.abs().max() <= 1
    assert heard.sum((0, 1)).argmax() == 2 and heard[..., [0, 1, 4, 5]].abs().max() < 1e-4
    loud = heard[..., 2].mean(1).topk(8).indices
    assert loud.min() >= 11 and loud.max() <= 21
    assert heard[loud, 1, 2].mean() > heard[loud, 0, 2].mean() + 0.2


def test_a_codec_too_narrow_for_the_transform_is_refused() -> None:
    codec = SQCodec(HeartCodecConfig(init_channel=8))
    with pytest.raises(ValueError, match="init_channel 8 is too narrow"):
        start_lapped(codec, torch.randn(2, 1, 1920 * 4))


def test_weight_norm_is_put_back_as_it_was() -> None:
    codec = SQCodec(HeartCodecConfig(init_channel=2))
    wave = 0.1 * torch.randn(1, 1, 1920 * 3)
    with torch.no_grad():
        before = codec(wave)
        after = with_weight_norm(fold_weight_norm(codec))(wave)
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-4)


def test_training_learns_with_and_without_the_discriminator(corpus: Path, tmp_path: Path) -> None:
    training = Training(Run("codec", TINY, options(tmp_path, tmp_path)), TINY)
    crops = Crops(load_audio(song_files(corpus)), TINY.crop_latents * 1920)
    critic_before = [p.clone() for p in training.critic.parameters()]
    training.start(mono_rows(crops.batch(8), TINY.gain_db))
    for optimizer in training.run.optimizers.values():
        set_learning_rate(optimizer, 1e-4)
    losses = []
    for step in range(16):
        wave = mono_rows(crops.batch(TINY.batch), TINY.gain_db)
        values = training.learn(wave, adversarial=step >= 13)
        losses.append(values["mel"].item())
        assert ("critic" in values) == (step >= 13)
        assert all(torch.isfinite(v) for v in values.values())
    assert sum(losses[9:13]) < 0.9 * sum(losses[:4])
    assert any(
        not torch.equal(a, b)
        for a, b in zip(critic_before, training.critic.parameters(), strict=True)
    )
    assert all(p.requires_grad for p in training.critic.parameters())


def test_a_run_stops_goes_on_and_writes_a_codec(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    figures = train(TINY, options(corpus, out, 0.004))
    assert set(figures) == {"held_mel_db", "held_si_sdr_db"}
    train(TINY, options(corpus, out, 0.004))
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    starts = [line for line in lines if line.get("event") == "start"]
    assert starts[0]["begins_at"] == 0 < starts[1]["begins_at"] < lines[-1]["step"]
    assert lines[-1]["minutes"] >= 0.008
    codec = SQCodec(checkpoints.read_config(out / "sq_codec", HeartCodecConfig))
    codec.load_state_dict(load_file(out / "sq_codec" / "model.safetensors"), strict=True)
    assert codec.config.init_channel == 12
    sample, rate = soundfile.read(next((out / "samples").glob("*.ogg")))
    assert rate == 48000 and sample.shape == (6 * 2 * 48000 + 24000, 2)


def test_a_run_that_diverges_keeps_its_last_state(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    train(TINY, options(corpus, out, 0.002))
    before = (out / "state" / "state.json").read_bytes()
    monkeypatch.setattr(running, "learning_rate", lambda *_: float("nan"))
    with pytest.raises(HeartlibError, match="not finite"):
        train(TINY, options(corpus, out, 0.008))
    assert (out / "state" / "state.json").read_bytes() == before


def test_impossible_recipes_are_refused() -> None:
    with pytest.raises(ValueError, match="minutes"):
        SQRecipe(minutes=0)
    with pytest.raises(ValueError, match="batch"):
        SQRecipe(batch=0)
