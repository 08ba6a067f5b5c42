"""A stopped and resumed run equals one that never stopped."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from heartlib.errors import CheckpointError
from heartlib.training import state as state_file
from heartlib.training.state import has_state, load_state, save_state


def fresh_run() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(7, 5), nn.BatchNorm1d(5), nn.Dropout(0.3), nn.Linear(5, 1))
    return model, torch.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.8, 0.99))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> Tensor:
    loss = torch.zeros(())
    for _ in range(steps):
        loss = (model(torch.randn(6, 7)) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.detach()


def save(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, step: int = 5) -> None:
    save_state(
        folder,
        step=step,
        modules={"model": model},
        optimizers={"adam": optimizer},
        extra={"seen": 30, "name": "x"},
    )


def test_resume_is_exact(tmp_path: Path) -> None:
    model, optimizer = fresh_run()
    train(model, optimizer, 5)
    save(tmp_path / "state", model, optimizer)
    expected = train(model, optimizer, 5)

    again, other = fresh_run()
    step, extra = load_state(tmp_path / "state", {"model": again}, {"adam": other})
    assert (step, extra) == (5, {"seen": 30, "name": "x"})
    assert torch.equal(train(again, other, 5), expected)
    for key, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key
    assert other.param_groups[0]["betas"] == (0.8, 0.99)


def test_long_tensors_are_cut_into_small_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_file, "SHARD_BYTES", 8000)
    model = nn.Linear(100, 100)
    optimizer = torch.optim.AdamW(model.parameters())
    save(tmp_path / "state", model, optimizer)
    files = sorted((tmp_path / "state").glob("*.safetensors"))
    assert len(files) >= 5
    assert max(f.stat().st_size for f in files) < 8000 + 2000  # and the header
    again = nn.Linear(100, 100)
    load_state(
        tmp_path / "state", {"model": again}, {"adam": torch.optim.AdamW(again.parameters())}
    )
    assert torch.equal(again.weight, model.weight)


def test_the_previous_state_survives_a_failed_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, optimizer = fresh_run()
    save(tmp_path / "state", model, optimizer, step=5)

    def full_disk(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(state_file, "save_file", full_disk)
    with pytest.raises(OSError, match="no space"):
        save(tmp_path / "state", model, optimizer, step=6)
    monkeypatch.undo()
    assert load_state(tmp_path / "state", {"model": model}, {"adam": optimizer})[0] == 5


def test_a_stop_between_the_renames_loses_nothing(tmp_path: Path) -> None:
    model, optimizer = fresh_run()
    save(tmp_path / "state", model, optimizer)
    (tmp_path / "state").rename(tmp_path / "state.previous")
    assert has_state(tmp_path / "state")
    assert load_state(tmp_path / "state", {"model": model}, {"adam": optimizer})[0] == 5


def test_missing_damaged_and_foreign_states_are_named(tmp_path: Path) -> None:
    model, optimizer = fresh_run()
    with pytest.raises(CheckpointError, match="no training state"):
        load_state(tmp_path / "none", {"model": model}, {"adam": optimizer})
    save(tmp_path / "state", model, optimizer)
    with pytest.raises(CheckpointError, match="cannot be used"):
        load_state(tmp_path / "state", {"model": nn.Linear(2, 2)}, {})
    shard = tmp_path / "state" / "shard-00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="cannot be used"):
        load_state(tmp_path / "state", {"model": model}, {"adam": optimizer})
