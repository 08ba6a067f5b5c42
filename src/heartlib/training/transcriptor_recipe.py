"""The settings of the transcriptor's training."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TranscriptorRecipe:
    """Nano's settings."""

    width: int = 192
    heads: int = 3
    encoder_layers: int = 6
    decoder_layers: int = 2
    dropout: float = 0.1
    minutes: float = 8.0  # of the whole schedule
    steps: int = 0  # 0: minutes decide; else the schedule has this many steps
    lot_steps: int = 0  # of this run, when steps decide; 0: to the end of the schedule
    batch: int = 64
    peak_lr: float = 1.5e-3
    weight_decay: float = 0.05
    ema_decay: float = 0.998
    phoneme_weight: float = 1.0
    most_tokens: int = 192
    stretch: float = 0.12  # crops are played up to so much faster or slower
    shift: float = 0.1  # and their spectrum moved up or down
    tilt: float = 0.6  # log10 of power, at most, from the lowest band to the highest
    masks: int = 2  # of time and of frequency each
    spliced: float = 0.5  # share of the crops that are words of several songs
    alone: float = 0.2  # share of the crops without a band, where the corpus has stems
    other_band: float = 0.5  # share of the others with the band of another song
    loudest_band: float = (
        0.5  # log10 of power by which it is raised at most; lowered by twice as much
    )
    token_noise: float = (
        0.25  # share of the tokens it has written that are replaced, so that it listens
    )
    held_out: int = 16
    seed: int = 0
