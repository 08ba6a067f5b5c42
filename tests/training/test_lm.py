"""The language model's recipe on a set small enough to be learned by heart."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from heartlib.errors import HeartlibError, UsageError
from heartlib.heartcodec import HeartCodec, HeartCodecConfig
from heartlib.heartmula import HeartMuLa, build_prompt, generate
from heartlib.heartmula.prompt import bracket, wrap_tags
from heartlib.training.command import main
from heartlib.training.lm import LMOptions, LMRecipe, train
from heartlib.training.lm_data import (
    Collator,
    plan_epoch,
    read_songs,
    sung_tokens,
    word_spans,
)
from heartlib.training.lm_trainer import Trainer, logits_of, losses
from heartlib.training.own_frames import draw, with_own_frames
from heartlib.training.run import Run
from heartlib.training.tokenizer import SPECIAL, train_tokenizer

SONGS = [
    ("pop,piano,female", "[Verse]\nthe river runs to the sea\n\n[Chorus]\ncome with me"),
    ("rock,guitar,male,fast", "[Verse]\nlights on the road tonight"),
    ("folk,slow", "[Instrumental]"),
    ("pop,slow,male", "[Intro]\n\n[Verse]\nmorning on the hill"),
]
TINY = LMRecipe(
    layers=2,
    heads=2,
    kv_heads=1,
    width=64,
    feed_forward=128,
    positions=256,
    depth_layers=1,
    depth_heads=2,
    depth_kv_heads=1,
    depth_width=64,
    depth_feed_forward=128,
    codebooks=4,
    codebook_size=32,
    muq_dim=8,
    steps=160,
    batch_positions=512,
    peak_lr=1e-2,
    dropout=0.0,
    weight_decay=0.0,
    ema_decay=0.8,
    condition_dropout=0.0,
    tag_dropout=0.0,
    depth_share=1.0,
    pointer_layer=1,
    holdout=0,
    frame_noise=0.0,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A Codes folder of four songs of random codes, and its tokenizer."""
    folder = tmp_path_factory.mktemp("codes")
    rng = np.random.default_rng(0)
    lengths = [30, 17, 24, 41]
    codes = rng.integers(0, TINY.codebook_size, (TINY.codebooks, sum(lengths))).astype(np.int16)
    save_file({"codes": codes}, folder / "codes.safetensors")
    offsets = np.cumsum([0, *lengths])
    with open(folder / "songs.jsonl", "w") as lines:
        for i, (tags, lyrics) in enumerate(SONGS):
            entry = {"id": f"s{i}", "tags": tags, "lyrics": lyrics}
            entry |= {"offset": int(offsets[i]), "frames": lengths[i]}
            if i < 3:  # the last song's truth is not known
                sung = sum(not word.startswith("[") for word in lyrics.split())
                entry["words"] = [[0.24 * n, 0.24 * n + 0.2] for n in range(sung)]
            lines.write(json.dumps(entry) + "\n")
    texts = [text.lower() for song in SONGS for text in song] * 3
    train_tokenizer(texts).save(str(folder / "tokenizer.json"))
    return folder, codes, offsets


def options(folder: Path, out: Path, **more: Any) -> LMOptions:
    return LMOptions(
        data=(folder,), tokenizer=folder / "tokenizer.json", out=out, device="cpu", **more
    )


def collator(tokenizer: Tokenizer, **changes: float) -> Collator:
    plain = {"condition_dropout": 0.0, "tag_dropout": 0.0, "depth_share": 1.0}
    return Collator(tokenizer, TINY.gen_config, **(plain | changes))


def test_learns_songs_by_heart_and_sings_them(data, tmp_path):
    folder, codes, offsets = data
    train(TINY, options(folder, tmp_path))
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert log[-1]["loss0"] < 0.1 < math.log(TINY.codebook_size)
    model = HeartMuLa.from_pretrained(tmp_path / "HeartMuLa-oss-nano")
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    eos = json.loads((tmp_path / "gen_config.json").read_text())["audio_eos_id"]
    for i, (tags, lyrics) in enumerate(SONGS):
        prompt = build_prompt(
            tokenizer, lyrics, tags, config=model.config, gen_config=TINY.gen_config
        )
        sung = generate(model, prompt, max_frames=60, cfg_scale=1.0, topk=1, audio_eos_id=eos)
        expected = torch.from_numpy(codes[:, offsets[i] : offsets[i + 1]]).long()
        assert torch.equal(sung, expected)  # length included: the end of song is learned too


def test_resumed_run_is_the_unbroken_run(data, tmp_path):
    folder, _, _ = data
    recipe = dataclasses.replace(
        TINY,
        steps=12,
        dropout=0.1,
        condition_dropout=0.3,
        tag_dropout=0.3,
        depth_share=0.5,
        batch_positions=128,
    )
    whole = train(recipe, options(folder, tmp_path / "a"))
    for _ in range(3):  # 5 + 5 + 2 steps
        resumed = train(recipe, options(folder, tmp_path / "b", lot_steps=5))
    for (name, a), b in zip(whole.named_parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b), name


def test_begins_with_trained_weights(data, tmp_path):
    folder, _, _ = data
    recipe = dataclasses.replace(TINY, steps=2)
    before = train(dataclasses.replace(recipe, seed=5), options(folder, tmp_path / "a"))
    trained = tmp_path / "a" / "HeartMuLa-oss-nano"
    still = dataclasses.replace(recipe, steps=1, peak_lr=1e-9)
    after = train(still, options(folder, tmp_path / "b", init=trained))
    for x, y in zip(before.parameters(), after.parameters(), strict=True):
        torch.testing.assert_close(x, y)
    with pytest.raises(UsageError, match="has another muq_dim than the recipe: 8, not 9"):
        other = dataclasses.replace(recipe, muq_dim=9)
        train(other, options(folder, tmp_path / "c", init=trained))


def test_a_held_out_prompt_is_sung(data, tmp_path):
    folder, _, _ = data
    torch.manual_seed(0)
    shape = {"dim": 16, "codebook_size": 32, "codebook_dim": 8, "in_channels": 528}
    shape |= {"attention_head_dim": 8, "num_attention_heads": 2, "num_layers": 1}
    shape |= {"num_layers_2": 1, "init_channel": 2}
    for codebooks in (4, 8):
        codec = HeartCodec(HeartCodecConfig(num_quantizers=codebooks, **shape))
        codec.save_pretrained(tmp_path / str(codebooks))
    recipe = dataclasses.replace(TINY, steps=1, holdout=1)
    train(recipe, options(folder, tmp_path / "run", codec=tmp_path / "4"))
    sung, rate = soundfile.read(tmp_path / "run" / "samples" / "sung.ogg")
    assert rate == 48000 and 0 < len(sung) <= 10 * 48000
    with pytest.raises(UsageError, match="has 8 codebooks of 32, the recipe 4 of 32"):
        train(recipe, options(folder, tmp_path / "other", codec=tmp_path / "8"))


def test_words_become_tokens_by_their_time():
    lyrics = "[verse]\nla naïve\n\n[chorus]\nla la, la"
    encoding = train_tokenizer(["la la la"] * 3).encode(lyrics)
    #  bos [verse] \n  la  ␣ n a ï ï v e  \n \n [chorus] \n  la  la  ␣ ,  la
    #   0     1    2   3   4 5 6 7 8 9 10 11 12    13    14  15  16 17 18 19
    assert len(encoding.ids) == 19
    words = [[0.08, 0.2], [0.4, 0.88], [0.88, 0.9], [1.0, 1.16], [1.16, 1.3]]
    entry = {"id": "s", "frames": 17, "words": words}
    sung = sung_tokens(entry, lyrics, encoding)
    assert sung.dtype == np.int32
    # The third word is over before the middle of its frame; the fourth has two frames for three tokens.
    assert sung.tolist() == [-1, 3, -1, -1, -1, 4, 5, 6, 8, 9, 10, -1, 16, 17, 19, 19, -1, -1]
    assert sung_tokens({"id": "s", "frames": 3}, lyrics, encoding).tolist() == [-1] * 4
    with pytest.raises(HeartlibError, match="song s has 5 words in its lyrics, but times of 4"):
        sung_tokens(entry | {"words": words[:4]}, lyrics, encoding)


def test_words_without_spaces_are_found_in_order():
    told = [[0.0, 0.1, "我们"], [0.1, 0.2, "爱"], [0.2, 0.3, "我"]]  # no spaces, a word in a marker
    lyrics = "[我]\n我们爱\n我"
    encoding = train_tokenizer([lyrics] * 3).encode(lyrics)
    assert word_spans({"id": "s", "words": told}, lyrics) == [(4, 6), (6, 7), (8, 9)]
    assert (sung_tokens({"id": "s", "frames": 4, "words": told}, lyrics, encoding)[:3] > 0).all()
    with pytest.raises(HeartlibError, match="song s sings '爱', which is not in its lyrics"):
        word_spans({"id": "s", "words": [told[1], told[1]]}, lyrics)


def test_a_batch_points_at_the_prompt(data):
    folder, _, _ = data
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    songs = read_songs(folder, tokenizer, TINY.gen_config, TINY.codebooks)
    batch = collator(tokenizer)(songs, np.random.default_rng(0))
    length = batch.tokens.shape[1]
    assert batch.prompt == batch.mask[..., -1].sum(1).max()
    for row, song in enumerate(songs):
        here = batch.at // length == row
        sung, ids = batch.sung[here].numpy(), np.array(song.lyrics)
        assert np.array_equal(sung >= 0, song.sung >= 0)
        pointed = batch.tokens[row, :, -1].numpy()[sung[sung >= 0]]
        assert np.array_equal(pointed, ids[song.sung[sung >= 0]])
    assert [(song.sung >= 0).any() for song in songs] == [True, True, False, False]
    dropped = collator(tokenizer, condition_dropout=1.0 - 1e-9)(songs, np.random.default_rng(0))
    assert (dropped.sung == -1).all()


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """A Codes folder of songs whose codes tell the word: six words of two to five frames each."""
    folder = tmp_path_factory.mktemp("spoken")
    vocabulary = ["sun", "moon", "star", "rain", "wind", "sea", "hill", "road"]
    rng, codes = np.random.default_rng(0), []
    with open(folder / "songs.jsonl", "w") as lines:
        for i in range(600):
            words, lengths = rng.permutation(len(vocabulary))[:6], rng.integers(2, 6, 6)
            edges = np.cumsum([0, *lengths])
            entry = {"id": f"s{i}", "tags": "pop", "offset": len(codes), "frames": int(edges[-1])}
            entry["lyrics"] = " ".join(vocabulary[word] for word in words)
            entry["words"] = (np.stack((edges[:-1], edges[1:]), 1) * 0.08).tolist()
            lines.write(json.dumps(entry) + "\n")
            codes.extend(np.repeat(words, lengths).tolist())
    repeated = np.tile(np.array(codes, np.int16), (TINY.codebooks, 1))
    save_file({"codes": repeated}, folder / "codes.safetensors")
    train_tokenizer([*vocabulary * 3, "pop"]).save(str(folder / "tokenizer.json"))
    return folder


def test_the_pointer_learns_where_songs_are_sung(spoken, tmp_path):
    recipe = dataclasses.replace(TINY, pointer_layer=2, holdout=32, steps=150, report_steps=30)
    train(recipe, options(spoken, tmp_path))
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    chance = math.log(6)  # among the words alone
    assert log[1]["step"] == 30 and log[1]["pointer"] > chance / 2
    # Of songs never heard; how long a word lasts cannot be known.
    assert log[-1]["held_pointer"] < chance / 2 and log[-1]["held_pointer_accuracy"] > 0.65
    names = load_file(tmp_path / "HeartMuLa-oss-nano" / "model.safetensors")
    assert not any("pointer" in name for name in names)


def test_several_folders_without_a_pointer(data, tmp_path):
    folder, _, _ = data
    recipe = dataclasses.replace(TINY, pointer_weight=0.0, holdout=64, steps=1, report_steps=1)
    model = train(recipe, dataclasses.replace(options(folder, tmp_path), data=(folder, folder)))
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert (log[0]["songs"], log[0]["held_out"]) == (6, 2)  # never more than a quarter
    assert all("pointer" not in line for line in log)
    assert not any(module._forward_hooks for module in model.modules())


def test_training_prompt_is_the_generation_prompt(data):
    folder, _, _ = data
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    songs = read_songs(folder, tokenizer, TINY.gen_config, TINY.codebooks)
    collate = collator(tokenizer)
    config = TINY.model_config(tokenizer.get_vocab_size())
    batch = collate(songs, np.random.default_rng(0))
    for row, (tags, lyrics) in enumerate(SONGS):
        prompt = build_prompt(tokenizer, lyrics, tags, config=config, gen_config=TINY.gen_config)
        length = len(prompt.tokens)
        assert torch.equal(batch.tokens[row, :length].long(), prompt.tokens)
        assert torch.equal(batch.mask[row, :length], prompt.mask)
        assert int(batch.style_at[row]) == prompt.muq_index
    ids = bracket(tokenizer.encode(wrap_tags("Pop, piano,female")).ids, TINY.gen_config)
    assert collate.tag_ids(songs[0].tags) == ids


def test_padding_and_neighbours_change_nothing(data):
    folder, _, _ = data
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    songs = read_songs(folder, tokenizer, TINY.gen_config, TINY.codebooks)
    torch.manual_seed(0)
    model = HeartMuLa(TINY.model_config(tokenizer.get_vocab_size())).eval()
    collate, rng = collator(tokenizer), np.random.default_rng(0)
    together = logits_of(model, collate(songs, rng))
    alone = [logits_of(model, collate([song], rng)) for song in songs]
    torch.testing.assert_close(together[0], torch.cat([a for a, _ in alone]), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        together[1], torch.cat([b for _, b in alone], dim=1), atol=1e-4, rtol=0
    )


def test_dropped_conditions_are_all_alike(data):
    folder, _, _ = data
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    song = read_songs(folder, tokenizer, TINY.gen_config, TINY.codebooks)[0]
    other = dataclasses.replace(song, lyrics=tuple(reversed(song.lyrics)))
    torch.manual_seed(0)
    model = HeartMuLa(TINY.model_config(tokenizer.get_vocab_size())).eval()
    dropped, kept = collator(tokenizer, condition_dropout=1.0 - 1e-9), collator(tokenizer)
    rng = np.random.default_rng(0)
    assert torch.equal(
        logits_of(model, dropped([song], rng))[0], logits_of(model, dropped([other], rng))[0]
    )
    assert not torch.equal(
        logits_of(model, kept([song], rng))[0], logits_of(model, kept([other], rng))[0]
    )


def test_noise_changes_what_was_sung_not_what_comes_next(data):
    folder, _, _ = data
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    songs = read_songs(folder, tokenizer, TINY.gen_config, TINY.codebooks)
    rng = np.random.default_rng(0)
    clean = collator(tokenizer)(songs, rng)
    noisy = [collator(tokenizer, frame_noise=0.5)(songs, rng) for _ in range(20)]
    wrong = torch.stack([batch.tokens != clean.tokens for batch in noisy])
    assert not wrong[..., -1].any()  # the text stays
    sung = clean.mask[..., :-1]
    assert 0.15 < wrong[..., :-1][:, sung].float().mean() < 0.35
    assert all(torch.equal(batch.frames, clean.frames) for batch in noisy)
    assert max(int(batch.tokens[..., :-1].max()) for batch in noisy) < TINY.codebook_size


def test_own_frames_change_what_is_heard_not_what_comes_next(data):
    folder, _, _ = data
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    songs = read_songs(folder, tokenizer, TINY.gen_config, TINY.codebooks)
    batch = collator(tokenizer)(songs, np.random.default_rng(0))
    size, codebooks = TINY.codebook_size, TINY.codebooks
    sung = torch.randint(size, batch.frames.shape)  # what the model is sure to sing
    logits = 1e4 * torch.nn.functional.one_hot(sung, size + 5).float()
    logits[:, :, size + 1] = 2e4  # but for the end, which is never heard
    others = logits[batch.depth].transpose(0, 1)[1:]
    torch.manual_seed(0)
    own = with_own_frames(batch, logits[:, 0], others, 0.9, size)
    assert own.frames is batch.frames and own.mask is batch.mask
    assert torch.equal(own.tokens[..., codebooks], batch.tokens[..., codebooks])
    before, after = (b.tokens.flatten(0, 1)[:, :codebooks] for b in (batch, own))
    changed = (before != after).any(-1).nonzero()[:, 0]
    assert batch.mask[..., 0].sum() > len(changed) > 0.2 * batch.mask[..., 0].sum()
    frame = {int(at) + 1: row for row, at in enumerate(batch.at)}
    assert all(torch.equal(after[i].long(), sung[frame[int(i)]]) for i in changed)
    assert batch.mask[..., 0].flatten()[changed].all()


def test_a_frame_drawn_twice_is_replaced_once(data):
    folder, _, _ = data
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    songs = read_songs(folder, tokenizer, TINY.gen_config, TINY.codebooks)
    batch = collator(tokenizer, fixed_size=True)(songs[:1], np.random.default_rng(0))
    assert len(batch.at) > len(batch.at.unique())
    size = TINY.codebook_size
    first = torch.zeros(len(batch.at), size + 5)  # every code is as likely
    others = torch.zeros(TINY.codebooks - 1, len(batch.depth), size + 5)
    places = batch.at[batch.depth]
    torch.manual_seed(0)
    drawn = torch.stack([draw(first[batch.depth], size), *draw(others, size)])  # [K, M]
    torch.manual_seed(0)
    own = with_own_frames(batch, first, others, 1 - 1e-9, size).tokens.flatten(0, 1)
    before = batch.tokens.flatten(0, 1)
    for place in places.unique():
        if not torch.equal(own[place + 1], before[place + 1]):
            at = int((places == place).nonzero()[0])  # the first of its draws
            assert torch.equal(own[place + 1, : TINY.codebooks].long(), drawn[:, at])


def test_a_model_that_hears_itself_learns(data, tmp_path):
    folder, _, _ = data
    recipe = dataclasses.replace(TINY, steps=60, own_share=0.3, own_from=0.5)
    train(recipe, options(folder, tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["loss0"] for line in lines if "loss0" in line][-1] < 2.5  # log 32 = 3.5


def test_loss_of_knowing_nothing(data):
    folder, _, _ = data
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    songs = read_songs(folder, tokenizer, TINY.gen_config, TINY.codebooks)
    batch = collator(tokenizer, depth_share=0.5)(songs, np.random.default_rng(0))
    count, vocab = len(batch.at), TINY.codebook_size + 5
    first = torch.zeros(count, vocab)
    others = torch.zeros(TINY.codebooks - 1, len(batch.depth), vocab)
    expected = torch.full((TINY.codebooks,), math.log(vocab))
    torch.testing.assert_close(losses(first, others, batch), expected)
    assert len(batch.depth) == round(count * 0.5)


def test_every_song_once_an_epoch_within_the_budget(data):
    folder, _, _ = data
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    songs = read_songs(folder, tokenizer, TINY.gen_config, TINY.codebooks) * 20
    batches = plan_epoch(songs, 512, np.random.default_rng(3))
    assert sorted(np.concatenate(batches)) == list(range(len(songs)))
    for batch in batches:
        longest = max(songs[i].positions for i in batch)
        assert len(batch) * math.ceil(longest / 64) * 64 <= 512


def test_batches_of_fixed_size(data):
    folder, _, _ = data
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    songs = read_songs(folder, tokenizer, TINY.gen_config, TINY.codebooks)
    rng = np.random.default_rng(0)
    for chosen in plan_epoch(songs, 512, rng, full=True):
        longest = max(songs[i].positions for i in chosen)
        assert len(chosen) == 512 // (math.ceil(longest / 64) * 64)
    plans = [plan_epoch(songs, 512, np.random.default_rng(7), full=full) for full in (False, True)]
    for batch, filled in zip(*plans, strict=True):  # the same songs at the same steps
        assert np.array_equal(filled[: len(batch)], batch)
    drop = {"fixed_size": True, "tag_dropout": 0.5, "depth_share": 0.5}
    fixed, plain = collator(tokenizer, **drop), collator(tokenizer)
    batches = [fixed(songs, np.random.default_rng(seed)) for seed in range(8)]
    shapes = [{name: x.shape for name, x in batch.tensors.items()} for batch in batches]
    assert all(shape == shapes[0] for shape in shapes) and batches[0].prompt == 64
    few, all_of = fixed(songs[:1], rng), plain(songs[:1], rng)  # more than there are to predict
    assert len(few.at) == 48 > len(all_of.at)
    assert {*few.frames[:, 0].tolist()} == {*all_of.frames[:, 0].tolist()}
    next_frame = few.tokens[0, few.at[few.at < few.at.max()] + 1, : TINY.codebooks]
    assert torch.equal(next_frame.long(), few.frames[few.at < few.at.max()])


@pytest.mark.gpu
def test_graphed_steps_are_plain_steps(data, tmp_path):
    folder, _, _ = data
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    songs = read_songs(folder, tokenizer, TINY.gen_config, TINY.codebooks)
    recipe, device = (
        dataclasses.replace(TINY, own_share=0.5, peak_lr=1e-3),
        torch.device("cuda"),
    )
    collate = collator(tokenizer, fixed_size=True)
    found = []
    for graphed in (False, True):
        given = dataclasses.replace(options(folder, tmp_path), device="cuda", graph=graphed)
        trainer = Trainer(Run("lm", recipe, given), recipe, tokenizer.get_vocab_size())
        for step in range(24):
            two = [songs[step % 2], songs[2]] if step % 3 else songs[:1]  # two shapes
            batch = collate(two, np.random.default_rng(step)).to(device)
            loss = trainer.update(batch)["loss"]
        found.append(loss.cpu())
        assert len(trainer.graphed.graphs) == 2 * graphed
        for step in range(4):  # frames of its own are drawn at random
            loss = trainer.update(batch, own=True)["loss"]
            assert torch.isfinite(loss).all(), step
    torch.testing.assert_close(found[0], found[1], atol=0.02, rtol=0)


def test_tokenizer_knows_markers_and_any_text(data):
    folder, _, _ = data
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert [tokenizer.token_to_id(text) for text in SPECIAL] == list(range(len(SPECIAL)))
    ids = tokenizer.encode("[verse]\n\n[prechorus]").ids
    assert [SPECIAL[i] for i in ids] == ["[verse]", "\n", "\n", "[prechorus]"]
    first, later = tokenizer.encode("river").ids, tokenizer.encode("the river").ids
    assert later[-len(first) :] == first  # a word is the same wherever it stands
    assert tokenizer.decode(tokenizer.encode("naïve 爱").ids).strip() == "naïve 爱"


def test_bad_input(data, tmp_path):
    folder, _, _ = data
    tokenizer = str(folder / "tokenizer.json")
    given = ["--tokenizer", tokenizer, "--out", str(tmp_path / "o")]
    with pytest.raises(HeartlibError, match=r"songs\.jsonl is missing"):
        main("lm", ["--data", str(tmp_path), *given])
    with pytest.raises(HeartlibError, match="has 4 codebooks, the recipe 8"):
        main("lm", ["--data", str(folder), *given])
    small = ["--codebooks", "4", "--codebook-size", "8"]
    with pytest.raises(HeartlibError, match="allowed with audio_eos_id 9: 0…7"):
        main("lm", ["--data", str(folder), *given, *small])
    with pytest.raises(UsageError, match="no song fits into 16 positions"):
        train(dataclasses.replace(TINY, positions=16), options(folder, tmp_path))
    with pytest.raises(UsageError, match=r"pointer_layer is 7; allowed are 1…6"):
        LMRecipe(pointer_layer=7)
    with pytest.raises(UsageError, match="lambda_k takes 1 or 7 numbers"):
        LMRecipe(lambda_k=(1.0, 2.0))
