"""Where the models come from that a benchmark measures: a checkpoint, or random weights of a checkpoint's shapes."""

from __future__ import annotations

from dataclasses import replace

import torch
from tokenizers import Tokenizer
from torch import Tensor

from heartlib import checkpoints
from heartlib.evaluation.random_weights import (
    SPREAD,
    codec_of,
    codec_weights,
    random_codec,
    random_mula,
)
from heartlib.heartcodec import HeartCodec, HeartCodecConfig
from heartlib.heartmula import GenConfig, HeartMuLa, HeartMuLaConfig, Prompt, build_prompt
from heartlib.pipelines.inputs import known_tags
from heartlib.pipelines.music_generation import HeartMuLaGenPipeline
from heartlib.pipelines.placement import Placement
from heartlib.shapes import shapes_alone

LINES = (
    "[Verse]",
    "the morning train is rolling by the sea",
    "a window full of light belongs to me",
    "the station bells are ringing far behind",
    "and every mile is easy on my mind",
    "[Chorus]",
    "go on, go on, the road is made of gold",
    "go on, go on, a story to be told",
)


class Models:
    """The models of one checkpoint folder, each call a new one."""

    noise = 1.0  # deviation of what the codec starts from

    def __init__(self, paths: checkpoints.CheckpointPaths, placement: Placement) -> None:
        self.paths, self.placement, self.name = paths, placement, paths.name
        self.config = checkpoints.read_config(paths.mula, HeartMuLaConfig)
        self.codec_config = checkpoints.read_config(paths.codec, HeartCodecConfig)
        self.gen_config = checkpoints.read_config(
            paths.gen_config.parent, GenConfig, paths.gen_config.name
        )

    def mula(self, quantization: str | None = None, dtype: torch.dtype | None = None) -> HeartMuLa:
        """The language model; dtype None is that of the placement."""
        place = self.placement
        return HeartMuLa.from_pretrained(
            self.paths.mula,
            place.mula_device,
            dtype or place.mula_dtype,
            quantization=quantization,
        )

    def codec(self, dtype: torch.dtype | None = None) -> HeartCodec:
        """The codec, for decoding."""
        place = self.placement
        return HeartCodec.from_pretrained(
            self.paths.codec, place.codec_device, dtype or place.codec_dtype
        )

    def pipeline(
        self, memory: str = "auto", quantization: str | None = None
    ) -> HeartMuLaGenPipeline:
        """A pipeline that has loaded nothing yet."""
        placement = replace(self.placement, quantization=quantization)
        return HeartMuLaGenPipeline(self.paths, placement, memory=memory)

    def text(self, positions: int) -> tuple[str, str, Prompt]:
        """Lyrics and tags whose prompt has at most so many positions (more only where one line needs them), and the prompt."""
        groups = list(known_tags(self.paths.root).values())[:3]
        tags = ",".join(group[0] for group in groups if group) or "pop,female,piano"
        tokenizer = Tokenizer.from_file(str(self.paths.tokenizer))

        def prompt(lyrics: str) -> Prompt:
            configs = {"config": self.config, "gen_config": self.gen_config}
            return build_prompt(tokenizer, lyrics, tags, **configs)

        lyrics, made = "", None
        for index in range(positions):
            longer = "\n".join(filter(None, (lyrics, LINES[index % len(LINES)])))
            if made is not None and len(prompt(longer).tokens) > positions:
                break
            lyrics, made = longer, prompt(longer)
        assert made is not None
        return lyrics, tags, made


class RandomModels(Models):
    """Models of given shapes with random weights; the tokenizer and the tags are those of `paths`."""

    noise = SPREAD

    def __init__(
        self,
        paths: checkpoints.CheckpointPaths,
        placement: Placement,
        config: HeartMuLaConfig,
        codec_config: HeartCodecConfig,
        gen_config: GenConfig,
        name: str,
    ) -> None:
        super().__init__(paths, placement)
        self.config, self.codec_config, self.gen_config = config, codec_config, gen_config
        self.name = f"{name}, random weights"
        self._weights: dict[torch.dtype, dict[str, Tensor]] = {}

    @classmethod
    def published(cls, placement: Placement) -> RandomModels:
        """Of the published 3B's shapes, with nano's tokenizer and tags."""
        shapes = (HeartMuLaConfig(), HeartCodecConfig(), GenConfig())
        return cls(checkpoints.find("nano"), placement, *shapes, "3B")

    @classmethod
    def like(cls, paths: checkpoints.CheckpointPaths, placement: Placement) -> RandomModels:
        """Of a checkpoint's shapes."""
        own = Models(paths, placement)
        return cls(paths, placement, own.config, own.codec_config, own.gen_config, own.name)

    def mula(self, quantization: str | None = None, dtype: torch.dtype | None = None) -> HeartMuLa:
        place = self.placement
        known = min(self.codec_config.codebook_size, self.gen_config.audio_eos_id)
        dtype = dtype or place.mula_dtype
        return random_mula(self.config, place.mula_device, dtype, quantization, known=known)

    def codec(self, dtype: torch.dtype | None = None) -> HeartCodec:
        """In less than float32 as from a file: the weights wait on the CPU, made once."""
        device = self.placement.codec_device
        dtype = dtype or self.placement.codec_dtype
        if dtype == torch.float32:
            return random_codec(self.codec_config, device)
        if dtype not in self._weights:
            self._weights[dtype] = codec_weights(random_codec(self.codec_config, device), dtype)
        return codec_of(self.codec_config, self._weights[dtype], device)

    def pipeline(
        self, memory: str = "auto", quantization: str | None = None
    ) -> HeartMuLaGenPipeline:
        return RandomPipeline(self, replace(self.placement, quantization=quantization), memory)


class RandomPipeline(HeartMuLaGenPipeline):
    """The pipeline, with models that are made where it would read files."""

    def __init__(self, models: RandomModels, placement: Placement, memory: str) -> None:
        super().__init__(models.paths, placement, memory=memory)
        self.models = models
        self.config, self.gen_config = models.config, models.gen_config
        self.mula_bytes, self.codec_bytes = self._sizes()
        self.model_hash = "random"

    def _sizes(self) -> tuple[int, int]:
        """Bytes of both models' weights."""
        with shapes_alone():
            mula, codec = HeartMuLa(self.config), HeartCodec(self.models.codec_config)
        codec.scalar_model.encoder = None
        bits = {None: 8 * self.placement.mula_dtype.itemsize, "int4": 4}
        numbers = sum(parameter.numel() for parameter in mula.parameters())
        floats = sum(parameter.numel() for parameter in codec.parameters())
        mula_bits = numbers * bits.get(self.placement.quantization, 8)
        return mula_bits // 8, floats * self.placement.codec_dtype.itemsize

    def _load_mula(self) -> HeartMuLa:
        if self.mula is None:
            self.mula = self.models.mula(self.placement.quantization)
        return self.mula

    def _load_codec(self) -> HeartCodec:
        if self.codec is None:
            self.codec = self.models.codec()
        return self.codec
