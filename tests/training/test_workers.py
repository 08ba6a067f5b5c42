"""Several processes, and several batches a step, learn as one process with one larger batch does."""

import json
import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from heartlib.errors import UsageError
from heartlib.training.lm import LMOptions, LMRecipe, train
from heartlib.training.lm_data import Collator, read_songs
from heartlib.training.lm_trainer import Trainer
from heartlib.training.run import Run
from heartlib.training.tokenizer import train_tokenizer
from heartlib.training.workers import Workers

TINY = LMRecipe(
    layers=1,
    heads=2,
    kv_heads=1,
    width=32,
    feed_forward=64,
    positions=128,
    depth_layers=1,
    depth_heads=2,
    depth_kv_heads=1,
    depth_width=32,
    depth_feed_forward=64,
    codebooks=4,
    codebook_size=32,
    muq_dim=8,
    steps=3,
    batch_positions=128,
    dropout=0.0,
    condition_dropout=0.0,
    tag_dropout=0.0,
    depth_share=1.0,
    frame_noise=0.0,
    pointer_weight=0.0,
    holdout=0,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A Codes folder of eight songs of the same lengths."""
    folder, rng = tmp_path_factory.mktemp("codes"), np.random.default_rng(0)
    codes = rng.integers(0, 32, (4, 8 * 20)).astype(np.int16)
    save_file({"codes": codes}, folder / "codes.safetensors")
    entries = [
        {"id": f"s{i}", "tags": "pop", "lyrics": "la la la", "offset": 20 * i, "frames": 20}
        for i in range(8)
    ]
    (folder / "songs.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    train_tokenizer(["la la pop"] * 3).save(str(folder / "tokenizer.json"))
    return folder


def options(folder: Path, out: Path) -> LMOptions:
    return LMOptions(data=(folder,), tokenizer=folder / "tokenizer.json", out=out)


def two_processes(rank: int, port: int, folder: Path, out: Path) -> None:
    """One of two: learns, and writes down its weights and the first numbers it drew."""
    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "ACCELERATE_USE_CPU": "true",
    }
    model = train(TINY, options(folder, out / "run"))
    weights = torch.cat([p.flatten() for p in model.parameters()]).detach()
    torch.save({"weights": weights, "drawn": torch.rand(4)}, out / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_are_one_with_two_batches_a_step(data, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(two_processes, (port, data, tmp_path), nprocs=2)
    one, two = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert torch.equal(one["weights"], two["weights"])
    assert not torch.equal(one["drawn"], two["drawn"])  # each its own batches
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert lines[0]["processes"] == 2 and [line["step"] for line in lines[1:]] == [3]
    both = LMRecipe(**{**vars(TINY), "accumulate": 2})  # the same batches, by one process
    alone = train(both, options(data, tmp_path / "alone"))
    weights = torch.cat([p.flatten() for p in alone.parameters()]).detach()
    torch.testing.assert_close(one["weights"], weights, atol=1e-5, rtol=0)


def test_two_batches_a_step_are_one_twice_as_large(data, tmp_path):
    tokenizer = Tokenizer.from_file(str(data / "tokenizer.json"))
    songs = read_songs(data, tokenizer, TINY.gen_config, TINY.codebooks)
    collate = Collator(
        tokenizer, TINY.gen_config, condition_dropout=0.0, tag_dropout=0.0, depth_share=1.0
    )
    found = []
    for parts in (1, 2):
        recipe = LMRecipe(**{**vars(TINY), "accumulate": parts})
        run = Run("lm", recipe, options(data, tmp_path / str(parts)))
        trainer = Trainer(run, recipe, tokenizer.get_vocab_size())
        for _ in range(3):
            size = 8 // parts
            for part in range(parts):
                chosen = songs[size * part : size * (part + 1)]
                trainer.update(collate(chosen, np.random.default_rng(0)), part=part)
        found.append(torch.cat([p.detach().flatten() for p in trainer.model.parameters()]))
    start = Trainer(Run("lm", TINY, options(data, tmp_path)), TINY, tokenizer.get_vocab_size())
    first = torch.cat([p.detach().flatten() for p in start.model.parameters()])
    moved = (found[0] - first).abs().mean()
    assert moved > 1e-4
    assert (found[1] - found[0]).abs().mean() < 1e-3 * moved


def test_accumulated_runs_resume_exactly(data, tmp_path):
    recipe = LMRecipe(**{**vars(TINY), "accumulate": 2, "steps": 4, "dropout": 0.1})
    whole = train(recipe, options(data, tmp_path / "a"))
    for _ in range(2):
        lot = LMOptions(**{**vars(options(data, tmp_path / "b")), "lot_steps": 2})
        resumed = train(recipe, lot)
    for (name, a), b in zip(whole.named_parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b), name


def test_seeds_differ_by_step_part_and_run():
    workers = Workers("cpu")
    places = [(seed, step, part) for seed in range(3) for step in range(3) for part in range(3)]
    assert len({workers.seed(*place) for place in places}) == len(places)


def test_a_device_that_is_not_there():
    with pytest.raises(UsageError, match="--device toaster is not on this machine"):
        Workers("toaster")
