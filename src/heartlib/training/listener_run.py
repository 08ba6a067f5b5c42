"""A run of a listener's recipe: steps by the clock or by number, figures, states that resume exactly."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from heartlib.training.clap_recipe import CLAPRecipe
from heartlib.training.loop import (
    EMA,
    REPORT_MINUTES,
    SAVE_MINUTES,
    Clock,
    Log,
    adamw,
    check_finite,
    learning_rate,
    set_learning_rate,
)
from heartlib.training.state import has_state, load_state, save_state
from heartlib.training.transcriptor_recipe import TranscriptorRecipe


class Run:
    """A model on its device with its running mean and optimiser; goes on from OUT/state where there is one."""

    def __init__(
        self, model: nn.Module, recipe: CLAPRecipe | TranscriptorRecipe, out: Path
    ) -> None:
        self.model, self.recipe, self.out = model, recipe, out
        self.ema = EMA(model, recipe.ema_decay).to(next(model.parameters()).device)
        self.optimizer = adamw(
            model.parameters(), recipe.peak_lr, (0.9, 0.98), recipe.weight_decay, graphed=False
        )
        self.log, self.step, self.minutes = Log(out), 0, 0.0
        if has_state(out / "state"):
            self.step, extra = load_state(out / "state", *self.state())
            self.minutes = extra["minutes"]

    def state(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
        """What a state holds."""
        return {"model": self.model, "ema": self.ema}, {"adamw": self.optimizer}

    def save(self, minutes: float) -> None:
        """Writes everything that an exact resume needs."""
        modules, optimizers = self.state()
        save_state(
            self.out / "state",
            step=self.step,
            modules=modules,
            optimizers=optimizers,
            extra={"minutes": minutes, "recipe": asdict(self.recipe)},
        )

    def train(
        self,
        learn: Callable[[np.random.Generator], tuple[Tensor, dict[str, Tensor]]],
        measure: Callable[[], dict[str, float]],
        lot: float | None,
        keep: Callable[[nn.Module], None],
    ) -> dict[str, float]:
        """Steps until the schedule, the lot or Ctrl-C ends it; leaves the running mean in the model.

        `learn` gives the loss of a batch drawn with its generator, and figures for the log; `measure`
        those of held-out songs, the last of which are returned; `keep` writes a model that others can
        use, whenever a state is saved.
        """
        recipe, loss = self.recipe, torch.zeros(())
        report, saved = self.minutes + REPORT_MINUTES, self.minutes
        last = min(recipe.steps, self.step + (recipe.lot_steps or recipe.steps))
        self.model.train()
        with Clock(recipe.minutes, lot, self.minutes) as clock:
            while not clock.interrupted and (self.step < last if recipe.steps else not clock.over):
                fraction = self.step / recipe.steps if recipe.steps else clock.fraction
                set_learning_rate(self.optimizer, learning_rate(fraction, recipe.peak_lr, 0.05))
                rng = np.random.default_rng([recipe.seed, self.step])
                torch.manual_seed(int(rng.integers(2**31)))  # a resumed run draws the same
                loss, figures = learn(rng)
                self.update(loss)
                if clock.minutes >= report:
                    check_finite(loss, self.step, self.out)
                    self.log(step=self.step, minutes=clock.minutes, **figures, **measure())
                    report += REPORT_MINUTES
                    if clock.minutes - saved >= SAVE_MINUTES:
                        saved = clock.minutes
                        self.save(saved)
                        keep(self.mean())
            check_finite(loss, self.step, self.out)
            self.save(clock.minutes)
        self.ema.copy_to(self.model)
        found = measure()
        self.log(step=self.step, minutes=clock.minutes, averaged=True, **found)
        keep(self.model)
        return found

    def mean(self) -> nn.Module:
        """A copy of the model with its running mean."""
        mean = copy.deepcopy(self.model)
        self.ema.copy_to(mean)
        return mean

    def update(self, loss: Tensor) -> None:
        """One step down the loss."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.ema.update(self.model)
        self.step += 1
