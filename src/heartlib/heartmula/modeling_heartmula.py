"""HeartMuLa: a backbone over frames and a depth decoder over the codebooks of a frame.

Legend: B rows, S positions, K codebooks, V audio vocabulary, D backbone width, E depth width.
Source: "HeartMuLa", arXiv 2601.10547; the names are those of the published checkpoints.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from heartlib.graphs import has_triton
from heartlib.heartmula.configuration_heartmula import HeartMuLaConfig
from heartlib.heartmula.quantization import int8_works, keep_int8
from heartlib.heartmula.transformer import KVCache, Transformer, join_int8
from heartlib.shapes import shapes_alone

if TYPE_CHECKING:
    from heartlib.heartmula.batched_generation import FrameLoop


def lay_out(module: nn.Module) -> None:
    """Keeps the weights of products that widen their input column by column: shapes and values stay.

    One or two rows pass such a matrix 1.1 to 2.7 times as fast on a CPU (docs/log.md).
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear) and layer.out_features >= layer.in_features:
            layer.weight.data = layer.weight.data.t().contiguous().t()


class HeartMuLa(nn.Module):
    """The language model: rows of text and audio codes in, logits of the next frame's codes out."""

    def __init__(self, config: HeartMuLaConfig) -> None:
        super().__init__()
        self.config = config
        width, depth = config.backbone.embed_dim, config.decoder.embed_dim
        codebooks, vocab = config.audio_num_codebooks, config.audio_vocab_size
        self.backbone = Transformer(config.backbone)
        self.decoder = Transformer(config.decoder)
        self.text_embeddings = nn.Embedding(config.text_vocab_size, width)
        self.audio_embeddings = nn.Embedding(codebooks * vocab, width)
        self.unconditional_text_embedding = nn.Embedding(1, width)
        self.muq_linear = nn.Linear(config.muq_dim, width)
        self.codebook0_head = nn.Linear(width, vocab, bias=False)
        self.projection = nn.Linear(width, depth, bias=False)
        self.audio_head = nn.Parameter(torch.empty(codebooks - 1, depth, vocab).normal_(0, 0.02))
        self.frame_loop: FrameLoop | None = None

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        int8: bool = True,
        quantization: str | None = None,
    ) -> HeartMuLa:
        """Loads `folder` (config.json and safetensors, sharded or not), in evaluation mode.

        Each tensor is cast to `dtype` as it is read. In float32 on a CPU the linear layers that
        are int8 on disk stay so and cannot be trained; the heads do not: logits are float32.
        `int8=False` multiplies everything out. quantization "int8", "fp8" or "int4" keeps the matrices
        of a model on a GPU in fewer bits. There a model in bfloat16 or float16 gets its `frame_loop`, where Triton is installed. Raises `CheckpointError` where a file or a tensor
        is missing, unknown, damaged or of another shape.
        """
        from heartlib.checkpoints import kept_as_int8, load_weights, read_config

        config = read_config(folder, HeartMuLaConfig)
        device = torch.device(device)
        plain = device.type == "cpu" and dtype == torch.float32 and quantization is None
        kept = kept_as_int8(folder) if plain and int8 and int8_works() else set()
        with shapes_alone():
            model = cls(config)
            keep_int8(model, kept - {"codebook0_head.weight"})
        tables = ("pos_embeddings.theta", "pos_embeddings.cache")  # some exports carry them
        take = None
        if quantization is not None:
            from heartlib.heartmula.weights import Quantizer

            take = Quantizer(model, quantization, device, dtype)
        load_weights(model, folder, device=device, dtype=dtype, ignore=tables, take=take)
        join_int8(model)
        if plain:
            lay_out(model)
        model.eval()
        model.use_kernels()
        return model

    def use_kernels(self) -> None:
        """Gives a model on a GPU, in bfloat16 or float16, its frame loop of kernels; nothing elsewhere or without Triton."""
        if self.device.type != "cuda" or self.dtype == torch.float32 or not has_triton():
            return
        from heartlib.heartmula.batched_generation import FrameLoop

        self.frame_loop = FrameLoop(self)

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Writes config.json and model.safetensors, in `dtype` or as the weights are."""
        from heartlib.checkpoints import save_pretrained

        save_pretrained(self, folder, dtype=dtype)

    @property
    def device(self) -> torch.device:
        return self.audio_embeddings.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.audio_embeddings.weight.dtype

    def embed_code(self, codebook: int, code: Tensor) -> Tensor:
        """Embedding of one codebook's codes [...] → [..., D]."""
        return self.audio_embeddings(code + codebook * self.config.audio_vocab_size)

    def embed_frame(self, codes: Tensor) -> Tensor:
        """The summed embeddings of whole frames: codes [..., K] → [..., D]."""
        offsets = torch.arange(self.config.audio_num_codebooks, device=codes.device)
        return self.audio_embeddings(codes + offsets * self.config.audio_vocab_size).sum(-2)

    def embed(
        self,
        tokens: Tensor,
        mask: Tensor,
        style: Tensor | None,
        style_at: Tensor,
        unconditional: Tensor,
    ) -> Tensor:
        """The backbone's input for rows of text and audio.

        tokens, mask [B, S, K+1]: audio codes in columns 0…K−1, text in column K; the sum of the
        columns that count. style [B, muq_dim] or None (zeros) *replaces* the position style_at [B]
        (the reference slot). Where unconditional [B] is true, text and the reference slot are the
        learned unconditional embedding. Returns [B, S, D].
        """
        codebooks = self.config.audio_num_codebooks
        text = self.text_embeddings(tokens[..., codebooks])
        nothing = self.unconditional_text_embedding.weight[0]
        text = torch.where(unconditional[:, None, None], nothing, text)
        x = text * mask[..., codebooks, None].to(text.dtype)
        for codebook in range(codebooks):  # one at a time: K times less memory than all at once
            counted = mask[..., codebook, None].to(text.dtype)
            x = x + self.embed_code(codebook, tokens[..., codebook]) * counted
        if style is None:
            slot = self.muq_linear.bias.expand(len(tokens), -1)
        else:
            slot = self.muq_linear(style.to(self.dtype))
        slot = torch.where(unconditional[:, None], nothing, slot)
        at_slot = torch.arange(tokens.shape[1], device=tokens.device) == style_at[:, None]
        return torch.where(at_slot[..., None], slot[:, None].to(x.dtype), x)

    def backbone_step(self, x: Tensor, cache: KVCache) -> tuple[Tensor, Tensor]:
        """Runs the backbone over new positions x [B, S, D].

        Returns the last hidden state [B, D] and codebook 0's logits [B, V].
        """
        hidden = self.backbone(x, cache)[:, -1]
        return hidden, self.codebook0_head(hidden)

    def depth_step(self, x: Tensor, codebook: int, cache: KVCache) -> Tensor:
        """Logits [B, V] of `codebook` (1…K−1) after the depth decoder's new inputs x [B, S, D].

        For codebook 1 the inputs are the backbone's hidden state and code 0's embedding, with an
        empty cache; for each next one the embedding of the code before.
        """
        hidden = self.decoder(self.projection(x), cache)[:, -1]
        return hidden @ self.audio_head[codebook - 1]

    def forward(
        self,
        tokens: Tensor,
        mask: Tensor,
        *,
        style: Tensor | None,
        style_at: Tensor,
        unconditional: Tensor,
        at: Tensor,
        depth_at: Tensor,
        depth_codes: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Teacher forcing over songs padded on the right: every codebook's logits in one pass.

        tokens … unconditional: as in `embed`. at [N]: flat positions b·S + s whose next frame's
        code 0 is wanted. depth_at [M]: flat positions for the depth decoder (all of `at`, or a
        random part of it to save memory) with the true next frames depth_codes [M, K].
        Returns logits of codebook 0 [N, V] and of codebooks 1…K−1 [K−1, M, V].
        """
        hidden = self.backbone(self.embed(tokens, mask, style, style_at, unconditional))
        hidden = hidden.flatten(0, 1)  # [B·S, D]
        first = self.codebook0_head(hidden[at])
        offsets = torch.arange(depth_codes.shape[1] - 1, device=depth_codes.device)
        given = depth_codes[:, :-1] + offsets * self.config.audio_vocab_size
        inputs = torch.cat((hidden[depth_at, None], self.audio_embeddings(given)), dim=1)
        depth = self.decoder(self.projection(inputs))[:, 1:]  # [M, K−1, E]
        return first, depth.transpose(0, 1) @ self.audio_head
