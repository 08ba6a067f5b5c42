"""The settings of the language model's training."""

from __future__ import annotations

from dataclasses import dataclass

from heartlib.errors import UsageError
from heartlib.heartmula import GenConfig, HeartMuLaConfig, StackConfig
from heartlib.training.tokenizer import BOS_ID, EOS_ID

MAX_ROWS = 65535  # of attention on CUDA: the depth decoder has a row for each frame


@dataclass(frozen=True)
class LMRecipe:
    """Every setting of a run; the defaults train HeartMuLa-nano."""

    layers: int = 6
    heads: int = 6
    kv_heads: int = 2
    width: int = 384
    feed_forward: int = 1024
    positions: int = 2048
    depth_layers: int = 2
    depth_heads: int = 4
    depth_kv_heads: int = 2
    depth_width: int = 256
    depth_feed_forward: int = 768
    codebooks: int = 8
    codebook_size: int = 512
    muq_dim: int = 512

    minutes: float = 8.0  # of the whole schedule
    lot_minutes: float = 0.0  # of this run; 0: to the end of the schedule
    steps: int = 0  # 0: minutes decide; else the schedule has this many steps
    lot_steps: int = 0  # of this run, when steps decide; 0: to the end of the schedule
    batch_positions: int = 32768
    learning_rate: float = 1.5e-3
    warm_up: float = 0.03
    weight_decay: float = 0.05
    beta2: float = 0.95
    clip: float = 1.0
    dropout: float = 0.1
    ema_decay: float = 0.998
    lambda0: float = 1.0
    lambda_k: tuple[float, ...] = (1.0,)  # one for all, or one for each codebook from 1
    pointer_weight: float = 0.5  # 0: no pointer
    pointer_layer: int = 3  # the pointer reads the backbone behind this many layers
    condition_dropout: float = 0.1
    tag_dropout: float = 0.05
    frame_noise: float = 0.2
    own_share: float = 0.0  # of a row's frames, at most: heard as the model would sing them
    own_from: float = 0.3  # share of the schedule before that
    depth_share: float = 0.5  # share of the frames that the depth decoder learns from in a step
    holdout: int = 64
    validate_every: int = 500
    log_every: int = 50
    save_minutes: float = 3.0
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.lambda_k) not in (1, self.codebooks - 1):
            raise UsageError(f"lambda_k takes 1 or {self.codebooks - 1} numbers")
        for name in (
            "dropout",
            "condition_dropout",
            "tag_dropout",
            "frame_noise",
            "own_share",
        ):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 0 and below 1")
        if not 0 < self.depth_share <= 1:
            raise UsageError("depth_share must be above 0 and at most 1")
        if self.batch_positions * self.depth_share > MAX_ROWS:
            raise UsageError(f"batch_positions · depth_share must be at most {MAX_ROWS}")
        if self.pointer_weight < 0:
            raise UsageError("pointer_weight must be at least 0")
        if self.pointer_weight and not 1 <= self.pointer_layer <= self.layers:
            raise UsageError(
                f"pointer_layer is {self.pointer_layer}; allowed are 1…{self.layers}, the layers, "
                "or pointer_weight 0"
            )
        if self.minutes <= 0 and self.steps < 1:
            raise UsageError("minutes must be above 0, or steps at least 1")

    @property
    def gen_config(self) -> GenConfig:
        # As published: one code behind the codec's is never used, the one after ends the song.
        return GenConfig(BOS_ID, EOS_ID, audio_eos_id=self.codebook_size + 1, empty_id=0)

    def model_config(self, text_vocab_size: int) -> HeartMuLaConfig:
        """The architecture for a tokenizer of this size."""
        backbone = (self.layers, self.heads, self.kv_heads, self.width, self.feed_forward)
        depth = (self.depth_layers, self.depth_heads, self.depth_kv_heads, self.depth_width)
        return HeartMuLaConfig(
            backbone_flavor="nano",
            decoder_flavor="nano",
            text_vocab_size=text_vocab_size,
            audio_vocab_size=self.codebook_size + 5,
            audio_num_codebooks=self.codebooks,
            muq_dim=self.muq_dim,
            backbone_config=StackConfig(*backbone, self.positions),
            decoder_config=StackConfig(*depth, self.depth_feed_forward, 2 * self.codebooks),
        )
