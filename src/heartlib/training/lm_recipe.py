"""The settings of the language model's training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from heartlib.errors import UsageError
from heartlib.heartmula import GenConfig, HeartMuLaConfig, StackConfig
from heartlib.heartmula.configuration_heartmula import STYLE_ENCODERS
from heartlib.training.recipe import Options, Recipe
from heartlib.training.tokenizer import BOS_ID, EOS_ID

MAX_ROWS = 65535  # of attention on CUDA: the depth decoder has a row for each frame


@dataclass(frozen=True, kw_only=True)
class LMRecipe(Recipe):
    """Every setting of a run; the defaults train HeartMuLa-nano."""

    version: str = "nano"  # the model is written as HeartMuLa-oss-VERSION
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
    style_encoder: str = "muq-mulan"  # whose embeddings the data has: muq-mulan or heartclap

    text_bos_id: int = BOS_ID  # of the tokenizer
    text_eos_id: int = EOS_ID

    batch_positions: int = 32768
    peak_lr: float = 1.5e-3
    warm_up: float = 0.03
    weight_decay: float = 0.05
    beta2: float = 0.95
    dropout: float = 0.1
    ema_decay: float = 0.998
    lambda0: float = 1.0
    lambda_k: tuple[float, ...] = (1.0,)  # one for all, or one for each codebook from 1
    pointer_weight: float = 0.5  # 0: no pointer
    pointer_layer: int = 3  # the pointer reads the backbone behind this many layers
    condition_dropout: float = 0.1
    tag_dropout: float = 0.05
    reference_share: float = 0.5  # of the songs with styles, those that are told one
    tagless_share: float = 0.5  # of those, the ones that are told no tags
    first_frames: int = 0  # learn from so many of a song's first frames; 0: from all
    learn: str = "all"  # or "reference": how the model hears a style, and nothing else
    frame_noise: float = 0.2
    own_share: float = 0.0  # of a row's frames, at most: heard as the model would sing them
    own_from: float = 0.3  # share of the schedule before that
    depth_share: float = 0.5  # share of the frames that the depth decoder learns from in a step
    holdout: int = 64
    report_steps: int = 50
    save_minutes: float = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(1, "batch_positions", "positions", "layers", "depth_layers", "muq_dim")
        self.at_least(2, "codebooks", "codebook_size")
        self.at_least(0, "holdout", "pointer_weight", "lambda0", "first_frames")
        self.shares("beta2", "dropout", "condition_dropout", "tag_dropout", "frame_noise")
        self.shares("own_share")
        for name in ("reference_share", "tagless_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be 0 to 1")
        if self.learn not in ("all", "reference"):
            raise UsageError(f"learn is {self.learn!r}; allowed are all, reference")
        if self.style_encoder not in STYLE_ENCODERS:
            raise UsageError(
                f"style_encoder is {self.style_encoder!r}; allowed are {', '.join(STYLE_ENCODERS)}"
            )
        if self.learn == "reference" and (self.pointer_weight or not self.reference_share):
            raise UsageError("learn reference needs pointer_weight 0 and a reference_share above 0")
        if len(self.lambda_k) not in (1, self.codebooks - 1):
            raise UsageError(
                f"lambda_k takes 1 or {self.codebooks - 1} numbers, not {len(self.lambda_k)}"
            )
        if not 0 < self.depth_share <= 1:
            raise UsageError(f"depth_share is {self.depth_share}; it must be above 0 and at most 1")
        if self.batch_positions * self.depth_share > MAX_ROWS:
            raise UsageError(f"batch_positions · depth_share must be at most {MAX_ROWS}")
        if self.pointer_weight and not 1 <= self.pointer_layer <= self.layers:
            raise UsageError(
                f"pointer_layer is {self.pointer_layer}; allowed are 1…{self.layers}, the layers, "
                "or pointer_weight 0"
            )

    @property
    def gen_config(self) -> GenConfig:
        # As published: one code behind the codec's is never used, the one after ends the song.
        return GenConfig(
            self.text_bos_id, self.text_eos_id, audio_eos_id=self.codebook_size + 1, empty_id=0
        )

    def model_config(self, text_vocab_size: int) -> HeartMuLaConfig:
        """The architecture for a tokenizer of this size."""
        backbone = (self.layers, self.heads, self.kv_heads, self.width, self.feed_forward)
        depth = (self.depth_layers, self.depth_heads, self.depth_kv_heads, self.depth_width)
        return HeartMuLaConfig(
            backbone_flavor=self.version,
            decoder_flavor=self.version,
            text_vocab_size=text_vocab_size,
            audio_vocab_size=self.codebook_size + 5,
            audio_num_codebooks=self.codebooks,
            muq_dim=self.muq_dim,
            style_encoder=self.style_encoder,
            backbone_config=StackConfig(*backbone, self.positions),
            decoder_config=StackConfig(*depth, self.depth_feed_forward, 2 * self.codebooks),
        )


@dataclass(frozen=True, kw_only=True)
class LMOptions(Options):
    """What the language model's recipe reads."""

    data: tuple[Path, ...]  # Codes folders, or folders of part-* that may still be coming
    tokenizer: Path  # tokenizer.json
    init: Path | None = None  # a HeartMuLa folder whose weights to begin with
    codec: Path | None = None  # a HeartCodec folder: a held-out prompt is sung with every state
    save_dtype: str = "float32"  # of the model: float32 or bfloat16

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.save_dtype not in ("float32", "bfloat16"):
            raise UsageError(f"save_dtype is {self.save_dtype!r}; allowed are float32, bfloat16")
