"""What a run keeps when something goes wrong, and what it tells while all goes well."""

import errno
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from heartlib.errors import CheckpointError, HeartlibError, UsageError
from heartlib.training import log as log_module
from heartlib.training import state as state_file
from heartlib.training.log import Log, picture
from heartlib.training.loop import EMA, adamw
from heartlib.training.recipe import Options, Recipe
from heartlib.training.run import Run


@dataclass(frozen=True, kw_only=True)
class Line(Recipe):
    """A line through points."""

    width: int = 3


RECIPE = Line(steps=6, peak_lr=0.1, report_steps=2, save_minutes=0.0, ema_decay=0.5)


def fit(
    recipe: Line = RECIPE, name: str = "line", broken_at: int = -1, **options
) -> tuple[Run, nn.Module]:
    """Learns that the sum of three numbers is wanted; the loss is NaN at step `broken_at`."""
    run = Run(name, recipe, Options(device="cpu", **options))
    model = nn.Linear(recipe.width, 1)
    ema = EMA(model, recipe.ema_decay)
    descend = run.descent(
        "adamw", adamw(model.parameters(), recipe.peak_lr, (0.9, 0.99), 0.0, False), model
    )
    run.modules |= {"model": model, "ema": ema}
    run.resume()
    run.start_log(points="any")

    def learn(part: int) -> dict[str, Tensor]:
        points = torch.randn(8, recipe.width)
        loss = (model(points)[:, 0] - points.sum(1)).square().mean()
        if run.step == broken_at:
            loss = loss * float("nan")
        return {"norm": descend(loss, part), "loss": loss.detach()}

    run.train(learn, lambda: {"held": model.bias.item(), "lists": [1.0, 2.0]})
    return run, model


def lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_steps_figures_and_states(tmp_path):
    run, _ = fit(out=tmp_path)
    found = lines(tmp_path)
    assert found[0]["event"] == "start" and found[0]["recipe"] == "line"
    assert [line["step"] for line in found if "loss" in line] == [2, 4, 6]
    assert [line["step"] for line in found if "held" in line] == [2, 4, 6]
    assert run.step == 6 and json.loads((tmp_path / "state/state.json").read_text())["step"] == 6
    again, _ = fit(out=tmp_path)  # the schedule is over: nothing to learn
    assert again.step == 6 and "loss" not in lines(tmp_path)[-1]


@pytest.mark.parametrize("lot", [{"lot_steps": 2}, {"lot_steps": 1}])
def test_lots_are_the_unbroken_run(tmp_path, lot):
    _, whole = fit(out=tmp_path / "a")
    for _ in range(6 // lot["lot_steps"]):
        _, parts = fit(out=tmp_path / "b", **lot)
    assert torch.equal(whole.weight, parts.weight)


def test_a_state_of_another_recipe_is_refused(tmp_path):
    fit(out=tmp_path)
    with pytest.raises(CheckpointError, match="is of the recipe 'line', not 'curve'"):
        fit(out=tmp_path, name="curve")


def test_other_settings_are_refused_and_named(tmp_path):
    fit(out=tmp_path)
    with pytest.raises(UsageError, match="other settings: seed 0, now 1; width 3, now 4"):
        fit(replace(RECIPE, width=4, seed=1), out=tmp_path)
    fit(replace(RECIPE, steps=8, peak_lr=0.01), out=tmp_path)  # these may change
    assert lines(tmp_path)[-1]["step"] == 8


def test_a_damaged_state_is_named(tmp_path):
    fit(out=tmp_path)
    (tmp_path / "state" / "state.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"the training state in .*state cannot be used"):
        fit(out=tmp_path)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), SafetensorError("StorageFull")]
)
def test_a_full_disk_keeps_the_state_before(tmp_path, monkeypatch, error):
    fit(out=tmp_path, lot_steps=2)

    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr(state_file, "save_file", full)
    with pytest.raises(HeartlibError, match=r"the state of step 2 in .*state is whole") as told:
        fit(out=tmp_path)
    assert str(error) in str(told.value) and "\n" not in str(told.value)
    assert not (tmp_path / "state.writing").exists()
    monkeypatch.undo()
    run, model = fit(out=tmp_path)
    _, whole = fit(out=tmp_path / "whole")
    assert run.step == 6 and torch.equal(whole.weight, model.weight)


def test_a_full_disk_at_the_first_save(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(state_file, "save_file", full)
    with pytest.raises(HeartlibError, match="there is no state yet: make room"):
        fit(out=tmp_path)


def test_a_loss_that_is_not_a_number_stops_before_the_next_state(tmp_path):
    with pytest.raises(HeartlibError, match=r"not finite near step 4.*is that of step 2"):
        fit(out=tmp_path, broken_at=3)
    assert json.loads((tmp_path / "state/state.json").read_text())["step"] == 2


def test_ctrl_c_saves(tmp_path, monkeypatch):
    import os
    import signal

    original = Run._report

    def interrupted(self: Run, *arguments) -> None:
        original(self, *arguments)
        if self.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Run, "_report", interrupted)
    run, _ = fit(replace(RECIPE, save_minutes=100.0), out=tmp_path)
    assert run.step == 2 and run.saved_step == 2


def test_figures_and_sounds_are_on_the_board(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = Log(tmp_path)
    log(step=3, loss=0.5, several=[1.0, 2.0], name="x")
    wave = 0.5 * torch.sin(torch.arange(24000) * 0.1).repeat(2, 1)
    log.hear("song", wave, 48000, 3)
    log.close()
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert set(board.Tags()["scalars"]) == {"loss", "several/0", "several/1"}
    assert board.Scalars("loss")[0].value == 0.5 and board.Scalars("loss")[0].step == 3
    assert board.Tags()["audio"] == ["samples/song"]
    assert board.Images("spectrograms/song")[0].height == 128
    assert (tmp_path / "samples" / "song.ogg").is_file()


def test_a_picture_shows_the_tone():
    clock = torch.arange(48000) / 48000
    low, high = (picture(0.5 * torch.sin(2 * torch.pi * f * clock), 48000) for f in (200, 8000))
    assert low.shape == (3, 128, 94) and low.dtype == torch.uint8
    rows = [image[0].float().mean(1).argmax() for image in (low, high)]
    assert rows[0] > 110 and rows[1] < 60  # low tones at the bottom


def test_without_tensorboard_the_run_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    fit(out=tmp_path)
    assert capsys.readouterr().out.count("no TensorBoard files: pip install") == 1
    assert not (tmp_path / "tensorboard").exists() and len(lines(tmp_path)) > 3
    assert log_module.Log(tmp_path, silent=True).board is None


def test_without_accelerate_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(HeartlibError, match=r"needs accelerate: pip install 'heartlib\[train\]'"):
        fit(out=tmp_path)
