"""Reading and writing weights: strict, in any layout, with errors that name file and tensor."""

import subprocess
import sys
from dataclasses import asdict, dataclass

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from heartlib import checkpoints
from heartlib.errors import CheckpointError, HeartlibError, UsageError


@dataclass(frozen=True)
class TinyConfig:
    width: int = 300

    def to_dict(self):
        return asdict(self)

    @classmethod
    def from_dict(cls, data):
        return cls(**data)


class Tiny(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.first = nn.Linear(config.width, config.width)
        self.second = nn.Embedding(7, 3)
        self.register_buffer("ready", torch.tensor(True))


def empty(width=300):
    with torch.device("meta"):
        return Tiny(TinyConfig(width))


def load(folder, dtype=torch.float32, **options):
    module = empty(checkpoints.read_config(folder, TinyConfig).width)
    checkpoints.load_weights(module, folder, device="cpu", dtype=dtype, **options)
    return module


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return Tiny(TinyConfig())


@pytest.mark.parametrize("shard", [10**9, 100_000])
def test_saved_is_loaded(tiny, tmp_path, shard):
    checkpoints.save_pretrained(tiny, tmp_path / "m", max_shard_bytes=shard)
    assert len(checkpoints.weight_files(tmp_path / "m")) == (1 if shard > 10**6 else 3)
    for name, tensor in load(tmp_path / "m").state_dict().items():
        assert torch.equal(tensor, tiny.state_dict()[name]), name


def test_cast_while_reading(tiny, tmp_path):
    checkpoints.save_pretrained(tiny, tmp_path / "m")
    module = load(tmp_path / "m", torch.bfloat16)
    assert module.first.weight.dtype == torch.bfloat16
    assert module.ready.dtype == torch.bool
    mixed = load(
        tmp_path / "m", lambda name: torch.float16 if name == "first.weight" else torch.float32
    )
    assert (mixed.first.weight.dtype, mixed.first.bias.dtype) == (torch.float16, torch.float32)


def test_int8_on_disk(tiny, tmp_path):
    checkpoints.save_pretrained(tiny, tmp_path / "m", dtype=torch.int8)
    stored = load_file(tmp_path / "m" / "model.safetensors")
    assert stored["first.weight"].dtype == torch.int8
    assert stored["second.weight"].dtype == torch.bfloat16
    weight, true = load(tmp_path / "m").first.weight, tiny.first.weight
    step = true.abs().amax(1, keepdim=True) / 127
    assert ((weight - true).abs() <= 0.51 * step).all()


def test_saving_replaces_and_leaves_nothing_else(tiny, tmp_path):
    for _ in range(2):
        checkpoints.save_pretrained(tiny, tmp_path / "m")
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_missing_and_foreign_tensors(tiny, tmp_path):
    checkpoints.save_pretrained(tiny, tmp_path / "m")
    file = tmp_path / "m" / "model.safetensors"
    weights = load_file(file)
    save_file({k: v for k, v in weights.items() if k != "first.bias"}, file)
    with pytest.raises(CheckpointError, match=r"'first\.bias' is missing"):
        load(tmp_path / "m")
    save_file(weights | {"third.theta": torch.ones(1)}, file)
    with pytest.raises(CheckpointError, match=r"model\.safetensors.*'third\.theta'"):
        load(tmp_path / "m")
    load(tmp_path / "m", ignore=(".theta",))
    save_file(weights | {"first.bias": torch.ones(301)}, file)
    with pytest.raises(CheckpointError, match=r"'first\.bias' has shape \[301\].*\[300\]"):
        load(tmp_path / "m")


@pytest.mark.parametrize("keep", [0, 4, 60, 5_000, -1])
def test_cut_files_are_named(tiny, tmp_path, keep):
    checkpoints.save_pretrained(tiny, tmp_path / "m")
    file = tmp_path / "m" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(
        CheckpointError, match=r"model\.safetensors is (damaged|cut short at tensor)"
    ):
        load(tmp_path / "m")


def test_a_missing_shard_is_named(tiny, tmp_path):
    checkpoints.save_pretrained(tiny, tmp_path / "m", max_shard_bytes=100_000)
    (tmp_path / "m" / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(CheckpointError, match="shard model-00002-of-00003"):
        load(tmp_path / "m")


def test_an_index_cannot_point_elsewhere(tiny, tmp_path):
    checkpoints.save_pretrained(tiny, tmp_path / "m", max_shard_bytes=100_000)
    index = tmp_path / "m" / "model.safetensors.index.json"
    index.write_text(index.read_text().replace("model-00001", "../model-00001"))
    with pytest.raises(CheckpointError, match="no usable shards"):
        load(tmp_path / "m")


def test_hash_follows_the_weights(tiny, tmp_path):
    checkpoints.save_pretrained(tiny, tmp_path / "a")
    checkpoints.save_pretrained(tiny, tmp_path / "b")
    first = checkpoints.weights_hash(tmp_path / "a")
    assert first == checkpoints.weights_hash(tmp_path / "b")
    assert len(first) == 12
    with torch.no_grad():
        tiny.first.bias[0] += 1
    checkpoints.save_pretrained(tiny, tmp_path / "b")
    assert first != checkpoints.weights_hash(tmp_path / "b")


def make_folder(root, versions):
    for name in [f"HeartMuLa-oss-{v}" for v in versions] + ["HeartCodec-oss"]:
        (root / name).mkdir(parents=True)
        (root / name / "config.json").write_text("{}")
    for name in ("tokenizer.json", "gen_config.json"):
        (root / name).write_text("{}")


def test_find(tmp_path, monkeypatch):
    monkeypatch.setenv("HEARTLIB_HOME", str(tmp_path / "cache"))
    make_folder(tmp_path / "ckpt", ["3B", "7B"])
    found = checkpoints.find(tmp_path / "ckpt", "7B")
    assert (found.mula.name, found.name) == ("HeartMuLa-oss-7B", "HeartMuLa-7B")
    with pytest.raises(CheckpointError, match="several versions"):
        checkpoints.find(tmp_path / "ckpt")
    with pytest.raises(UsageError, match=r"'9B' is not in .*3B, 7B"):
        checkpoints.find(tmp_path / "ckpt", "9B")
    with pytest.raises(CheckpointError, match="no checkpoint folder"):
        checkpoints.find(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="heartlib download 3B"):
        checkpoints.find("HeartMuLa/HeartMuLa-oss-3B")
    (tmp_path / "ckpt" / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is missing in .*heartlib download"):
        checkpoints.find(tmp_path / "ckpt", "3B")


def test_unknown_download():
    with pytest.raises(UsageError, match="'99B' is not published; choose from 3B"):
        checkpoints.download("99B")


def test_a_hub_out_of_reach_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HeartlibError, match="could not download HeartMuLa/HeartMuLaGen"):
        checkpoints.download("3B", tmp_path)


def test_loading_does_not_import_torchs_compiler():
    code = """
import sys
from heartlib import checkpoints
from heartlib.heartclap import HeartCLAP
from heartlib.heartcodec import HeartCodec
from heartlib.heartmula import HeartMuLa
paths = checkpoints.find("nano")
HeartMuLa.from_pretrained(paths.mula)
HeartCodec.from_pretrained(paths.codec)
HeartCLAP.from_pretrained(paths.root / "HeartCLAP-oss")
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
