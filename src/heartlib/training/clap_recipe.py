"""The settings of HeartCLAP's training."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CLAPRecipe:
    """Nano's settings."""

    minutes: float = 4.0  # of the whole schedule
    steps: int = 0  # 0: minutes decide; else the schedule has this many steps
    lot_steps: int = 0  # of this run, when steps decide; 0: to the end of the schedule
    batch: int = 256
    peak_lr: float = 1e-3
    weight_decay: float = 0.05
    ema_decay: float = 0.998
    dropout: float = 0.1
    left_out: float = 0.3  # of a song's facts in its text
    masks: int = 2  # stretches of time and of bands silenced
    held_out: int = 16
    retrieved: int = 256  # held-out songs among which one is looked for, at most
    seed: int = 0
