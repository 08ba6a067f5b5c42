"""A run of any recipe: its place on disk, steps by the clock or by number, figures, exact resume."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Protocol, TypeVar

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.optim import Optimizer

from heartlib.errors import CheckpointError, HeartlibError, UsageError
from heartlib.training.log import Log
from heartlib.training.loop import Clock, GraphedStep, Means, learning_rate, now, set_learning_rate
from heartlib.training.recipe import Options, Recipe
from heartlib.training.state import has_state, load_state, read_extra, save_state
from heartlib.training.workers import Workers


class Named(Protocol):
    """A corpus that knows its phonemes."""

    symbols: list[str]


Corpus = TypeVar("Corpus", bound=Named)


class Descent:
    """The way down one model's losses: gradients of a step's parts and of all processes, then a step."""

    def __init__(
        self,
        optimizer: Optimizer,
        parameters: Iterable[nn.Parameter],
        recipe: Recipe,
        workers: Workers,
    ) -> None:
        self.optimizer, self.parameters = optimizer, list(parameters)
        self.parts, self.clip, self.workers = recipe.accumulate, recipe.clip, workers

    def __call__(self, loss: Tensor, part: int) -> Tensor:
        """Adds the gradient of the step's `part`, and steps behind the last; the norm before clipping."""
        if part == 0:
            self.optimizer.zero_grad(set_to_none=True)
        (loss / self.parts if self.parts > 1 else loss).backward()
        if part < self.parts - 1:
            return loss.new_zeros(())
        self.workers.average([p.grad for p in self.parameters if p.grad is not None])
        norm = nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.optimizer.step()
        return norm.detach()


class Run:
    """A recipe under way. What learns is added as `modules` and `optimizers` before `resume`.

    `more` is what else an exact resume needs, as JSON can hold it.
    """

    def __init__(self, name: str, recipe: Recipe, options: Options) -> None:
        self.name, self.recipe, self.options = name, recipe, options
        self.settings = plain(recipe)
        self.state = options.out / "state"
        if has_state(self.state):
            self._check_settings()
        self.workers = Workers(options.device)
        self.device = self.workers.device
        self.modules: dict[str, nn.Module] = {}
        self.optimizers: dict[str, Optimizer] = {}
        self.more: dict[str, Any] = {}
        self.step, self.minutes, self.saved_step = 0, 0.0, -1
        self.seen: tuple[int, dict[str, Any]] = (
            -1,
            {},
        )  # when `look` was called last, and what it gave
        alone = self.workers.count == 1 and recipe.accumulate == 1
        self.graphed = options.graph and self.device.type == "cuda" and alone
        torch.manual_seed(recipe.seed)

    def _check_settings(self) -> None:
        """CheckpointError where the state is another recipe's; UsageError where it has other settings."""
        extra = read_extra(self.state)
        if extra.get("recipe") != self.name:
            raise CheckpointError(
                f"the state in {self.state} is of the recipe {extra.get('recipe')!r}, not "
                f"{self.name!r}: give another --out"
            )
        before, changed = extra.get("settings", {}), []
        for key, value in self.settings.items():
            if key not in self.recipe.free and before.get(key) != value:
                changed.append(f"{key} {before.get(key)}, now {value}")
        if changed:
            raise UsageError(
                f"the state in {self.state} was made with other settings: {'; '.join(changed)}. "
                "Give those of before, or another --out"
            )

    @property
    def begun(self) -> bool:
        """Whether there is a state to go on from."""
        return has_state(self.state)

    def symbols(self, corpus: Callable[[list[str] | None], Corpus]) -> Corpus:
        """The corpus for the phonemes of OUT/phonemes.json, which is written where it is not there yet.

        `corpus(symbols)` reads it; None: the phonemes are its own.
        """
        known = self.options.out / "phonemes.json"
        found = corpus(json.loads(known.read_text("utf-8")) if known.is_file() else None)
        self.workers.wait()
        if self.workers.first:
            known.parent.mkdir(parents=True, exist_ok=True)
            known.write_text(json.dumps(found.symbols, ensure_ascii=False) + "\n", "utf-8")
        return found

    def descent(self, name: str, optimizer: Optimizer, module: nn.Module) -> Descent:
        """The descent of a module's weights; its optimiser is part of the state."""
        self.optimizers[name] = optimizer
        return Descent(optimizer, module.parameters(), self.recipe, self.workers)

    def graph(self, step: Callable[..., dict[str, Tensor]], *first: Hashable) -> GraphedStep:
        """`step` as CUDA graphs where that is possible; a new run warms up with the arguments `first`."""
        graphed = GraphedStep(step, self.graphed)
        if first and not self.step:
            graphed.prepare(self.optimizers.values(), *first)
        return graphed

    def resume(self) -> None:
        """Goes on from OUT/state where there is one; all processes begin with the first one's weights."""
        if self.begun:
            self.step, extra = load_state(self.state, self.modules, self.optimizers)
            self.minutes, self.more, self.saved_step = extra["minutes"], extra["more"], self.step
        if self.workers.count > 1:
            with torch.no_grad():
                for module in self.modules.values():
                    for tensor in [*module.parameters(), *module.buffers()]:
                        tensor.copy_(self.workers.share(tensor.detach()))

    def start_log(self, **about: Any) -> Log:
        """The log, with a first line of what is to be learned from."""
        self.log = Log(self.options.out, silent=not self.workers.first)
        self.log(event="start", recipe=self.name, processes=self.workers.count, **about)
        return self.log

    def save(self) -> None:
        """Writes everything that an exact resume needs."""
        if self.workers.first:
            save_state(
                self.state,
                step=self.step,
                modules=self.modules,
                optimizers=self.optimizers,
                extra={
                    "recipe": self.name,
                    "settings": self.settings,
                    "minutes": self.minutes,
                    "more": self.more,
                },
            )
        self.saved_step = self.step
        self.workers.wait()

    @property
    def fraction(self) -> float:
        """How much of the whole schedule is done, 0 … 1."""
        recipe = self.recipe
        done = self.step / recipe.steps if recipe.steps else self.minutes / recipe.minutes
        return min(1.0, done)

    def train(
        self,
        learn: Callable[[int], Mapping[str, Tensor]],
        look: Callable[[], Mapping[str, Any]],
    ) -> dict[str, Any]:
        """Steps until the schedule, the lot or Ctrl-C ends it; the last figures of `look`.

        `learn(part)` takes that part of a step, of `accumulate`, and gives scalars for the log, the
        loss among them; it draws from the torch generator, which is seeded anew for each part.
        `look` writes what others can use, by the running mean of the weights, and gives figures of
        songs held out: with every state and at the end. HeartlibError where a loss or a gradient is not
        finite, or a file cannot be written: the last state is then as it was.
        """
        recipe, options, means = self.recipe, self.options, Means()
        first, came = self.step, self.minutes
        with self._whole(), Clock(self.minutes) as clock:
            reported = saved = self.minutes
            self.since, self.steps_since = now(), 0
            while True:
                self.minutes, stop = self.workers.agree(clock.minutes, clock.interrupted)
                if stop or (recipe.steps and self.step >= recipe.steps):
                    break
                if options.lot_steps and self.step - first >= options.lot_steps:
                    break
                if options.lot and self.minutes - came >= options.lot:
                    break
                if not recipe.steps and self.minutes >= recipe.minutes:
                    break
                rate = learning_rate(self.fraction, recipe.peak_lr, recipe.warm_up)
                for optimizer in self.optimizers.values():
                    set_learning_rate(optimizer, rate)
                for part in range(recipe.accumulate):
                    torch.manual_seed(self.workers.seed(recipe.seed, self.step, part))
                    means.add(dict(learn(part)))
                self.step, self.steps_since = self.step + 1, self.steps_since + 1
                by_steps = recipe.report_steps and self.step % recipe.report_steps == 0
                if by_steps or self.minutes - reported >= recipe.report_minutes:
                    reported = self.minutes
                    self._report(means, rate)
                    if self.minutes - saved >= recipe.save_minutes:
                        saved = self.minutes
                        self.save()
                        self._look(look)
            if self.steps_since:
                self._report(means, learning_rate(self.fraction, recipe.peak_lr, recipe.warm_up))
            if self.step != self.saved_step:
                self.save()
            found = self._look(look)
        self.log.close()
        return found

    def _report(self, means: Means, rate: float) -> None:
        """A line of the log: means over steps, parts and processes. HeartlibError where one is not finite."""
        found = means.take()
        values = torch.stack([value.float().to(self.device) for value in found.values()])
        self.workers.average([values])
        figures = dict(zip(found, values.tolist(), strict=True))
        if not all(math.isfinite(figures.get(name, 0.0)) for name in ("loss", "norm")):
            kept = f"that of step {self.saved_step}" if self.saved_step >= 0 else "not there yet"
            raise HeartlibError(
                f"the loss is not finite near step {self.step}; the last good state in {self.state} is "
                f"{kept}: the same command with a lower --peak-lr goes on from it"
            )
        speed = self.steps_since / max(now() - self.since, 1e-9)
        self.since, self.steps_since = now(), 0
        self.log(step=self.step, minutes=self.minutes, rate=rate, steps_per_s=speed, **figures)

    def _look(self, look: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """The first process looks, once at each step, and the others wait."""
        if self.seen[0] == self.step:
            return self.seen[1]
        found: dict[str, Any] = {}
        if self.workers.first:
            found = dict(look())
            if found:
                self.log(step=self.step, minutes=self.minutes, **found)
        self.workers.wait()
        self.seen = (self.step, found)
        return found

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Turns a failed write into one line that says what is left."""
        try:
            yield
        except (OSError, SafetensorError) as error:
            kept = "there is no state yet"
            if self.saved_step >= 0:
                kept = f"the state of step {self.saved_step} in {self.state} is whole"
            raise HeartlibError(
                f"stopped at step {self.step}: {error}; {kept}: make room, then give the same "
                "command again"
            ) from error


def plain(recipe: Recipe) -> dict[str, Any]:
    """A recipe's settings as JSON gives them back."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(recipe).items()
    }
