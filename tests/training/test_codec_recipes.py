"""The recipes of HeartCodec-nano on a tiny corpus: codebooks, codes, flow, and the folder they make."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from heartlib import checkpoints
from heartlib.errors import CheckpointError, HeartlibError, UsageError
from heartlib.heartcodec import HeartCodec
from heartlib.heartcodec.configuration_heartcodec import HeartCodecConfig
from heartlib.heartcodec.models.query_transformer import LogMel, MelEncoder
from heartlib.heartcodec.models.residual_vq import ResidualVQ
from heartlib.heartcodec.models.sq_codec import SQCodec
from heartlib.training import assemble, corpus_audio, encode, flow, flow_data, refine, rvq
from heartlib.training import run as running
from heartlib.training.alignment import inventory, phoneme_frames, pitch_frames
from heartlib.training.loop import Clock, GraphedStep, learning_rate
from heartlib.training.rvq_data import Songs, has_stems
from heartlib.training.rvq_model import quantise, update_codebooks
from heartlib.training.rvq_recipe import RVQRecipe

RECIPE = RVQRecipe(
    n_mels=16,
    width=32,
    heads=2,
    layers=1,
    dim=16,
    minutes=0.08,
    batch=8,
    crop_frames=12,
    codebook_size=16,
    codebook_dim=8,
    held_out=3,
    ema_decay=0.95,
    peak_lr=4e-3,
)
NOTES = 13  # of half a second in a song
SECONDS = NOTES / 2
SONG_FRAMES = 82
WINDOW_FRAMES = 200  # of the flow here: three songs are one window, sampled and heard at every look
ENCODER = RECIPE.encoder
FLOW = flow.FlowRecipe(
    minutes=0.03,
    batch=1,
    ema_decay=0.9,
    num_heads=2,
    head_dim=8,
    num_layers=1,
    num_layers_2=1,
    held_out=3,
    voice_lift=0.0,
    num_steps=4,
    guidance_scale=1.5,
)
DECODER = refine.DecoderRecipe(
    batch=2,
    crop_latents=10,
    adversarial_rows=1,
    discriminator_channels=2,
    held_out=3,
    voice_lift=0.0,
)


@pytest.fixture(scope="module", autouse=True)
def short_windows():
    with pytest.MonkeyPatch.context() as patch:
        for module in (flow, flow_data, refine):
            patch.setattr(module, "WINDOW_FRAMES", WINDOW_FRAMES)
        patch.setattr(refine, "WINDOW_LATENTS", 2 * WINDOW_FRAMES)
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Six songs of 6.5 s, three of them held out: one sung note after another, high ones "a", low ones "o"."""
    folder, random = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0)
    (folder / "audio").mkdir()
    (folder / "truth").mkdir()
    lines = []
    for song in range(6):
        pitches = random.integers(50, 70, NOTES)
        hertz = 440 * 2 ** ((pitches - 69) / 12)
        phase = 2 * np.pi * np.cumsum(np.repeat(hertz, 24000)) / 48000
        soundfile.write(
            folder / "audio" / f"s{song}.flac", 0.2 * np.sin(phase)[:, None].repeat(2, 1), 48000
        )
        times = [(i / 2, i / 2 + 0.5) for i in range(NOTES)]
        truth = {
            "phonemes": [["a" if p > 60 else "o", *t] for p, t in zip(pitches, times, strict=True)],
            "notes": [[int(p), *t] for p, t in zip(pitches, times, strict=True)],
            "words": [
                {"word": "la", "start": 0.1234, "end": 0.5},
                {"word": str(song), "start": 0.5, "end": 1.0},
            ],
        }
        (folder / "truth" / f"s{song}.json").write_text(json.dumps(truth))
        lines.append(json.dumps({"id": f"s{song}", "tags": "pop", "lyrics": f"[Verse]\nla {song}"}))
    (folder / "songs.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """The codebooks' run: its folder."""
    out = tmp_path_factory.mktemp("runs") / "rvq"
    rvq.train(RECIPE, rvq.RVQOptions(data=corpus, out=out))
    return out


def test_truth_becomes_frames():
    truth = {"phonemes": [["a", 0.0, 0.1], ["o", 0.2, 0.24]], "notes": [[60, 0.04, 0.2]]}
    assert inventory([truth]) == ["_", "a", "o"]
    assert phoneme_frames(truth, ["_", "a", "o"], 7).tolist() == [1, 1, 0, 0, 0, 2, 0]
    assert pitch_frames(truth, 7).tolist() == [0, 60, 60, 60, 60, 0, 0]


def test_codebooks_move_to_what_they_code():
    torch.manual_seed(0)
    vq = ResidualVQ(4, 8, 4, 2)
    corners = torch.randn(8, 4)
    points = corners[torch.randint(8, (16, 20))] + 0.01 * torch.randn(16, 20, 4)
    for _ in range(60):
        _, total, loss, seen = quantise(vq, points, torch.full((16,), 2))
        update_codebooks(vq, seen, RECIPE)
    assert (total - points).abs().mean() < 0.05
    assert loss < 0.05
    first, total, _, _ = quantise(vq, points, torch.ones(16))
    assert torch.equal(first, total)  # one level alone


def test_quantising_passes_the_gradient_straight_through():
    vq = ResidualVQ(4, 8, 4, 2)
    points = torch.randn(2, 3, 4, requires_grad=True)
    _, total, _, _ = quantise(vq, points, torch.full((2,), 2))
    total.sum().backward()
    assert torch.equal(points.grad, torch.ones_like(points))


def test_the_encoder_is_the_same_wherever_a_sound_stands():
    torch.manual_seed(0)
    encoder = MelEncoder(ENCODER).eval()
    sound = torch.randn(1, 2, 3840 * 8)
    lead = torch.zeros(1, 2, 3840 * 30)
    with torch.inference_mode():
        early = encoder(torch.cat((lead, sound, lead, lead), -1))
        late = encoder(torch.cat((lead, lead, sound, lead), -1))
    torch.testing.assert_close(early[:, 30:38], late[:, 60:68], atol=2e-4, rtol=0)
    assert encoder(torch.zeros(1, 2, 3841)).shape == (1, 2, ENCODER.dim)


def test_codebooks_learn_what_is_sung(trained):
    lines = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    assert (
        lines[-1]["held_mel"] < 0.8
    )  # of phonemes so few steps learn no more than how common they are
    folder = trained / "HeartCodec-oss-encoder"
    encoder = encode.load_encoder(folder, torch.device("cpu"))
    assert encoder.config == ENCODER


def test_a_run_goes_on_where_it_stopped(corpus, tmp_path):
    out = tmp_path / "rvq"
    rvq.train(RECIPE, rvq.RVQOptions(data=corpus, out=out, lot=0.01))
    rvq.train(RECIPE, rvq.RVQOptions(data=corpus, out=out, lot=0.01))
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if "held_mel" in line]
    assert 0 < steps[0] < steps[1]


def test_a_run_begins_with_an_earlier_ones_weights(corpus, trained, tmp_path):
    recipe = replace(RECIPE, minutes=0.0, steps=1, peak_lr=1e-9, weight_decay=0.0)
    rvq.train(recipe, rvq.RVQOptions(data=corpus, out=tmp_path / "a", init=trained))
    before, after = (
        load_file(folder / "HeartCodec-oss-encoder" / "encoder.safetensors")
        for folder in (trained, tmp_path / "a")
    )
    for name, value in before.items():
        torch.testing.assert_close(after[name], value)
    for other in (replace(recipe, width=16), replace(recipe, codebook_size=8)):
        with pytest.raises(UsageError, match="of another shape than the recipe's"):
            rvq.train(other, rvq.RVQOptions(data=corpus, out=tmp_path / "b", init=trained))


def test_any_band_plays_to_any_voice(corpus, tmp_path):
    folder = tmp_path / "stems"
    shutil.copytree(corpus, folder)
    ids = [f"s{song}" for song in range(6)]
    hum = 0.2 * np.sin(2 * np.pi * 60 * np.arange(48000 * SECONDS) / 48000)[:, None]
    for song in ids:  # the band is a hum
        file = folder / "audio" / f"{song}.flac"
        sung, _ = soundfile.read(file)
        (folder / "stems" / song).mkdir(parents=True)
        soundfile.write(folder / "stems" / song / "voice.flac", sung, 48000)
        soundfile.write(file, sung + hum, 48000)
    symbols = inventory([json.loads((folder / "truth" / "s0.json").read_text())])
    log_mel = LogMel(ENCODER)
    songs = Songs.load(folder, ids, symbols, log_mel, torch.device("cpu"), stems=has_stems(folder))
    _, band = songs.parts
    torch.testing.assert_close(band[8:80], band[408:480], atol=0.05, rtol=0)  # everywhere the same
    still = replace(RECIPE, stretch=0.0, loudness=0.0, colour=0.0)
    torch.manual_seed(0)
    own = songs.varied(replace(still, other_band=0.0))[0]
    torch.manual_seed(0)
    other = songs.varied(replace(still, other_band=1.0))[0]
    mid = slice(0, ENCODER.n_mels)
    assert (own[:, mid] - other[:, mid]).abs().mean() < 0.05  # another hum, the same voice
    assert (
        not has_stems(corpus)
        and Songs.load(corpus, ids[:2], symbols, log_mel, torch.device("cpu")).parts == ()
    )
    (folder / "stems" / "s3" / "voice.flac").unlink()
    with pytest.raises(HeartlibError, match=r"s3 has no voice\.flac"):
        Songs.load(folder, ids, symbols, log_mel, torch.device("cpu"), stems=True)


def test_songs_become_codes(corpus, trained, tmp_path, monkeypatch):
    out = tmp_path / "codes"
    command = ["encode", "--data", str(corpus), "--rvq", str(trained), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", command)
    encode.main()
    codes = load_file(out / "codes.safetensors")["codes"]
    lines = [json.loads(line) for line in (out / "songs.jsonl").read_text().splitlines()]
    assert codes.shape == (8, 6 * SONG_FRAMES) and codes.max() < 16
    assert [line["offset"] for line in lines] == [SONG_FRAMES * i for i in range(6)]
    assert lines[2]["lyrics"] == "[Verse]\nla 2"
    assert lines[2]["words"] == [[0.12, 0.5, "la"], [0.5, 1.0, "2"]]
    assert encode.sung_words(tmp_path, "s2") == {}  # no truth, no words


def flow_options(data, trained, folder):
    return flow.FlowOptions(data=data, rvq=trained, sq=folder / "sq", out=folder / "flow")


@pytest.fixture(scope="module")
def flowing(corpus, trained, tmp_path_factory):
    """The flow's run behind a scalar codec of random weights: its folder."""
    folder = tmp_path_factory.mktemp("runs")
    torch.manual_seed(0)
    checkpoints.save_pretrained(SQCodec(HeartCodecConfig(init_channel=2)), folder / "sq")
    flow.train(FLOW, flow_options(corpus, trained, folder))
    return folder / "flow"


def test_the_decoder_learns_from_sampled_latents(corpus, trained, flowing, tmp_path):
    recipe = replace(DECODER, minutes=0.012, peak_lr=3e-3, ema_decay=0.5)
    codec = flowing / "HeartCodec-oss"
    refine.train(recipe, refine.DecoderOptions(data=corpus, rvq=trained, codec=codec, out=tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["held_mel_db"] < lines[1]["held_mel_db"] - 1
    before, after = (
        load_file(folder / "HeartCodec-oss" / "model.safetensors") for folder in (flowing, tmp_path)
    )
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith("scalar_model.decoder.") for name in changed)
    assert (tmp_path / "samples" / "0.ogg").is_file()


def test_a_decoder_hears_phonemes_in_what_it_makes(corpus, trained, flowing, tmp_path):
    """The listener's loss is of the two sounds, reaches the decoder and leaves the listener as it is."""
    recipe = DECODER
    listener = encode.load_encoder(trained / "HeartCodec-oss-encoder", torch.device("cpu"))
    scalar = assemble.load_for_saving(flowing / "HeartCodec-oss").scalar_model
    options = refine.DecoderOptions(data=corpus, rvq=trained, codec=flowing, out=tmp_path)
    training = refine.Refining(running.Run("decoder", recipe, options), recipe, scalar, listener)
    real = 0.2 * torch.sin(torch.arange(2 * 7680) / 20).view(2, -1)
    made = (0.001 * torch.randn(2, 7680)).requires_grad_()
    (weight, apart), (_, same) = (
        training.listened(*sounds)["hearing"] for sounds in ((made, real), (real, real))
    )
    apart.backward()
    assert weight == recipe.hearing_weight and apart > 0.01 and same == 0
    assert made.grad.abs().sum() > 0
    assert all(p.grad is None for p in listener.parameters())


def test_flow_follows_a_corpus_in_the_making(corpus, trained, flowing, tmp_path, monkeypatch):
    monkeypatch.setattr(flow_data, "FIRST_SONGS", 6)
    monkeypatch.setattr(corpus_audio, "LOOK_SECONDS", 0.0)
    data = tmp_path / "data"
    for part in ("audio", "truth"):
        (data / part).mkdir(parents=True)

    def make(numbers):
        for number in numbers:
            for name in ("audio/s{}.flac", "truth/s{}.json"):
                shutil.copy(corpus / name.format(number % 6), data / name.format(number))

    make(range(6))
    encoder = encode.load_encoder(trained / "HeartCodec-oss-encoder", torch.device("cpu"))
    codec = assemble.load_for_saving(flowing / "HeartCodec-oss")
    follow = flow_data.Corpus(data, 7 * SECONDS / 3600, 3, 0.0, encoder, codec)
    first = follow.songs.count + follow.held.count
    before = follow.songs.latents[: 2 * follow.songs.frames].clone()
    make((6, 7))  # to hold out, and to learn from
    follow.grow()
    while follow.arriving.reading:
        follow.grow()
    follow.close()
    assert first == 6 and (follow.songs.count, follow.held.count) == (4, 4)
    assert torch.equal(follow.songs.latents[: len(before)], before)
    assert follow.songs.frames == follow.songs.end and follow.songs.frames % follow.songs.count == 0
    assert follow.songs.starts(200).max() <= follow.songs.frames - flow.WINDOW_FRAMES
    long = torch.zeros(2, 48000 * 200)
    follow.songs.add(long, long)
    assert follow.songs.count == 4  # no room for so long a song


def test_flow_learns_and_the_parts_make_a_folder(trained, flowing, tmp_path, monkeypatch):
    out = flowing
    last = json.loads((out / "log.jsonl").read_text().splitlines()[-1])
    assert last["held_loss"] < 1.05  # noise alone: 1
    assert (out / "samples" / "0-flow.ogg").is_file()

    lm = Path(__file__).parents[1] / "golden" / "heartmula"
    (tmp_path / "lm").mkdir()
    shutil.copytree(lm, tmp_path / "lm" / "HeartMuLa-oss-nano")
    for name in ("tokenizer.json", "gen_config.json"):
        (tmp_path / "lm" / name).write_text("{}")
    nano = tmp_path / "nano"
    arguments = ["--codec", out / "HeartCodec-oss", "--encoder", trained / "HeartCodec-oss-encoder"]
    arguments += ["--lm", tmp_path / "lm", "--out", nano]
    monkeypatch.setattr(sys, "argv", ["assemble", *map(str, arguments)])
    assemble.main()
    assert checkpoints.find(nano).name == "HeartMuLa-nano"
    codec = HeartCodec.from_pretrained(nano / "HeartCodec-oss")
    assert (codec.config.num_steps, codec.config.guidance_scale) == (4, 1.5)  # as the recipe says
    wave = codec.detokenize(torch.zeros(8, 3, dtype=torch.long), num_steps=1)
    assert wave.shape == (2, 3 * 3840) and wave.isfinite().all()
    assert (nano / "tokenizer.json").read_text() == "{}\n"
    with pytest.raises(CheckpointError, match="has no scalar encoder, which an assembled family"):
        assemble.load_for_saving(nano / "HeartCodec-oss")


def test_flow_and_decoder_of_analysed_latents_are_trained_apart(corpus, trained, flowing, tmp_path):
    kinds = {
        name: SQCodec(HeartCodecConfig(init_channel=2, scalar_encoder="analysis"))
        for name in ("sq", "other")
    }
    for name, scalar in kinds.items():
        checkpoints.save_pretrained(scalar, tmp_path / name)
    recipe = replace(FLOW, minutes=0, steps=2)
    flow.train(recipe, flow_options(corpus, trained, tmp_path))
    codec, out = tmp_path / "flow" / "HeartCodec-oss", tmp_path / "refined"
    options = refine.DecoderOptions(
        data=corpus, rvq=trained, codec=codec, sq=tmp_path / "other", out=out
    )
    recipe = replace(DECODER, minutes=0, steps=1, peak_lr=1e-9)
    refine.train(recipe, options)
    learned = assemble.load_for_saving(out / "HeartCodec-oss")
    assert learned.scalar_model.encoder is None
    held = learned.scalar_model.decoder[-1].weight
    torch.testing.assert_close(held, kinds["other"].decoder[-1].weight, atol=5e-3, rtol=0)
    other = replace(options, codec=flowing / "HeartCodec-oss", out=tmp_path / "no")
    with pytest.raises(UsageError, match="scalar_encoder analysis, not learned"):
        refine.train(recipe, other)


def test_flow_that_goes_on_samples_as_its_recipe_says(corpus, trained, flowing, tmp_path):
    codec = flowing / "HeartCodec-oss"
    options = flow.FlowOptions(data=corpus, rvq=trained, init=codec, out=tmp_path)
    flow.train(replace(FLOW, minutes=0, steps=1, num_steps=2, guidance_scale=3.0), options)
    config = assemble.load_for_saving(tmp_path / "HeartCodec-oss").config
    assert (config.num_steps, config.guidance_scale) == (2, 3.0)


def test_voices_are_lifted(corpus, tmp_path):
    """A hum and a quieter voice: the lifted song has the voice louder against the hum, and is as loud in all."""
    for part in ("audio", "truth", "stems/s0"):
        (tmp_path / part).mkdir(parents=True)
    shutil.copy(corpus / "truth" / "s0.json", tmp_path / "truth")
    time = np.arange(48000) / 48000
    hum, voice = (
        0.2 * np.sin(2 * np.pi * hertz * time)[:, None].repeat(2, 1) for hertz in (60, 440)
    )
    soundfile.write(tmp_path / "audio" / "s0.flac", hum + voice, 48000)
    with pytest.raises(HeartlibError, match="--stems voice second, or give --voice-lift 0"):
        (tmp_path / "stems" / "s0").rmdir()
        corpus_audio.read_lifted(tmp_path, "s0", 48000, 6.0)
    (tmp_path / "stems" / "s0").mkdir()
    soundfile.write(tmp_path / "stems" / "s0" / "voice.flac", voice, 48000)
    plain, lifted = corpus_audio.read_lifted(tmp_path, "s0", 48000, 6.0)
    assert lifted.square().mean().item() == pytest.approx(plain.square().mean().item(), rel=1e-3)
    level = torch.fft.rfft(lifted[0]).abs()  # a bin a hertz
    assert 20 * torch.log10(level[440] / level[60]).item() == pytest.approx(6.0, abs=0.05)
    same, also = corpus_audio.read_lifted(tmp_path, "s0", 48000, 0.0)
    assert torch.equal(same, also) and torch.equal(same, plain)


def test_too_little_music_is_said(corpus, trained, tmp_path):
    short = tmp_path / "short"
    shutil.copytree(corpus, short)
    lines = (short / "songs.jsonl").read_text().splitlines()
    (short / "songs.jsonl").write_text(lines[0] + "\n")
    checkpoints.save_pretrained(SQCodec(HeartCodecConfig(init_channel=2)), tmp_path / "sq")
    with pytest.raises(HeartlibError, match=r"1 songs .* too few"):
        flow.train(FLOW, flow_options(short, trained, tmp_path))
    with pytest.raises(HeartlibError, match="is not a corpus folder"):
        rvq.train(RECIPE, rvq.RVQOptions(data=tmp_path, out=tmp_path / "rvq"))


def test_a_loss_that_is_not_a_number_is_never_saved(corpus, tmp_path, monkeypatch):
    out = tmp_path / "rvq"
    rvq.train(RECIPE, rvq.RVQOptions(data=corpus, out=out, lot=0.005))
    before = (out / "state" / "state.json").read_bytes()
    monkeypatch.setattr(running, "learning_rate", lambda *_: float("nan"))
    with pytest.raises(HeartlibError, match=r"not finite near step .*state"):
        rvq.train(RECIPE, rvq.RVQOptions(data=corpus, out=out, lot=0.005))
    assert (out / "state" / "state.json").read_bytes() == before


def test_the_clock_counts_lots_together():
    clock = Clock(done=9.0)
    assert 9.0 < clock.minutes < 9.1 and not clock.interrupted
    assert learning_rate(0.0, 1.0) < 0.01 and learning_rate(1.0, 1.0) == pytest.approx(0.02)
    assert learning_rate(0.02, 1.0) == pytest.approx(1.0)


def test_a_step_without_a_gpu_is_just_called():
    calls = []
    step = GraphedStep(lambda: calls.append(1) or {"loss": torch.ones(())}, enabled=False)
    assert step()["loss"] == 1 and calls == [1]
