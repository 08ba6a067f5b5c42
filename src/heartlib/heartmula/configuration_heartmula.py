"""What a HeartMuLa checkpoint says about itself: config.json and gen_config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from heartlib.errors import CheckpointError

FRAME_MS = 80  # of sound in a frame of codes
STYLE_ENCODERS = ("muq-mulan", "heartclap")


@dataclass(frozen=True)
class StackConfig:
    """Sizes of one Llama stack; the names are those of `backbone_config` in config.json."""

    num_layers: int
    num_heads: int
    num_kv_heads: int
    embed_dim: int
    intermediate_dim: int
    max_seq_len: int

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise CheckpointError(f"{field.name} must be a whole number >= 1, got {value!r}")
        if self.num_heads % self.num_kv_heads:
            raise CheckpointError(
                f"num_heads {self.num_heads} is not a multiple of num_kv_heads {self.num_kv_heads}"
            )
        if self.embed_dim % (2 * self.num_heads):
            raise CheckpointError(
                f"embed_dim {self.embed_dim} must split into {self.num_heads} heads of even width"
            )

    @property
    def head_dim(self) -> int:
        return self.embed_dim // self.num_heads

    @property
    def cached_numbers(self) -> int:
        """Keys and values of one position of one row, in all layers."""
        return 2 * self.num_layers * self.num_kv_heads * self.head_dim

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> StackConfig:
        """Reads a JSON object; unknown keys are ignored, a missing one is a `CheckpointError`."""
        missing = [f.name for f in fields(cls) if f.name not in values]
        if missing:
            raise CheckpointError(f"a stack's configuration lacks {', '.join(missing)}")
        return cls(**{f.name: values[f.name] for f in fields(cls)})


FLAVORS: Mapping[str, StackConfig] = {
    "llama-3B": StackConfig(28, 24, 8, 3072, 8192, 8192),
    "llama-7B": StackConfig(32, 32, 8, 4096, 14336, 8192),
    "llama-300M": StackConfig(3, 8, 4, 3072, 8192, 2048),
    "llama-400M": StackConfig(4, 8, 4, 3072, 8192, 2048),
}


def _stack(part: str, flavor: str, override: StackConfig | None) -> StackConfig:
    if override is not None:
        return override
    if flavor not in FLAVORS:
        raise CheckpointError(
            f"{part}_flavor {flavor!r} is not known; known: {', '.join(FLAVORS)}, "
            f"or any name with a {part}_config"
        )
    return FLAVORS[flavor]


@dataclass(frozen=True)
class HeartMuLaConfig:
    """Architecture of the language model (config.json).

    `backbone_config` and `decoder_config` override the flavors' sizes where given. style_encoder: whose embeddings of a
    reference audio, [muq_dim], the model learned from: "muq-mulan", as published, or "heartclap".
    """

    backbone_flavor: str = "llama-3B"
    decoder_flavor: str = "llama-300M"
    text_vocab_size: int = 128256
    audio_vocab_size: int = 8197
    audio_num_codebooks: int = 8
    muq_dim: int = 512
    backbone_config: StackConfig | None = None
    decoder_config: StackConfig | None = None
    style_encoder: str = "muq-mulan"

    def __post_init__(self) -> None:
        for name in ("text_vocab_size", "audio_vocab_size", "audio_num_codebooks", "muq_dim"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise CheckpointError(f"{name} must be a whole number >= 1, got {value!r}")
        if self.audio_num_codebooks < 2:
            raise CheckpointError("audio_num_codebooks must be at least 2")
        if self.decoder.max_seq_len < self.audio_num_codebooks:
            raise CheckpointError(
                f"the depth decoder has {self.decoder.max_seq_len} positions "
                f"for {self.audio_num_codebooks} codebooks"
            )
        if self.style_encoder not in STYLE_ENCODERS:
            raise CheckpointError(
                f"style_encoder {self.style_encoder!r} is not known; known: {', '.join(STYLE_ENCODERS)}"
            )
        _stack("backbone", self.backbone_flavor, self.backbone_config)

    @property
    def backbone(self) -> StackConfig:
        return _stack("backbone", self.backbone_flavor, self.backbone_config)

    @property
    def decoder(self) -> StackConfig:
        return _stack("decoder", self.decoder_flavor, self.decoder_config)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> HeartMuLaConfig:
        """Reads config.json's object; unknown keys are ignored."""
        known: dict[str, Any] = {f.name: values[f.name] for f in fields(cls) if f.name in values}
        for name in ("backbone_config", "decoder_config"):
            if known.get(name) is not None:
                known[name] = StackConfig.from_dict(known[name])
        return cls(**known)

    def to_dict(self) -> dict[str, Any]:
        """The object of config.json; `from_dict` reads it back equal."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        return {"model_type": "heartmula", "architectures": ["HeartMuLa"], **values}


@dataclass(frozen=True)
class GenConfig:
    """Token ids that bind tokenizer, language model and codec (gen_config.json).

    longest_song_ms: the longest song that the model learned from, where its makers say so; without
    it a song may be as long as the model's positions allow.
    """

    text_bos_id: int = 128000
    text_eos_id: int = 128001
    audio_eos_id: int = 8193
    empty_id: int = 0
    longest_song_ms: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and field.default is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise CheckpointError(f"{field.name} must be a whole number >= 0, got {value!r}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GenConfig:
        """Reads gen_config.json's object; unknown keys are ignored."""
        return cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values})

    def to_dict(self) -> dict[str, Any]:
        """The object of gen_config.json."""
        return {name: value for name, value in asdict(self).items() if value is not None}
