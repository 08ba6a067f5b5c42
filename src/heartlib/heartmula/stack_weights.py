"""The language model's matrices as the frame step reads them: those of one input joined, the heads row by row.

Nothing is copied for good: the model's own parameters become views of the joined ones.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from heartlib.heartmula.configuration_heartmula import StackConfig
from heartlib.heartmula.modeling_heartmula import HeartMuLa
from heartlib.heartmula.transformer import Block, Transformer, rope_table
from heartlib.heartmula.weights import QuantizedHeads, QuantizedLinear, Weight


class LayerWeights(NamedTuple):
    """One block: q, k and v as one matrix, gate and up as one."""

    attention_norm: Tensor
    qkv: Weight
    output: Weight
    mlp_norm: Tensor
    gate_up: Weight
    down: Weight


class StackWeights(NamedTuple):
    """One transformer. rope: float32 [positions, d/2, 2]."""

    config: StackConfig
    layers: list[LayerWeights]
    norm: Tensor
    rope: Tensor


class FrameWeights(NamedTuple):
    """All of a frame. depth_embeddings [(K−1)·V, E]: the depth decoder's inputs, the embeddings already projected."""

    backbone: StackWeights
    decoder: StackWeights
    heads: list[Weight]
    projection: Weight
    audio_embeddings: Tensor
    depth_embeddings: Tensor

    @property
    def bytes_a_frame(self) -> int:
        """What a frame must read: the backbone once, the depth decoder once a codebook but the first, each head."""
        steps = len(self.heads) - 1
        passes = ((self.backbone, 1), (self.decoder, steps))
        stacks = sum(times * _stack_bytes(stack) for stack, times in passes)
        return stacks + self.projection.nbytes + sum(head.nbytes for head in self.heads)


def frame_weights(model: HeartMuLa) -> FrameWeights:
    """The model's weights for the frame step; its parameters become views of them."""
    codebooks, vocab = model.config.audio_num_codebooks, model.config.audio_vocab_size
    projection = weight_of(model.projection)
    with torch.no_grad():
        table = model.audio_embeddings.weight[: (codebooks - 1) * vocab]
        depth = torch.cat([model.projection(part) for part in table.split(vocab)])
        heads = [weight_of(model.codebook0_head), *_depth_heads(model)]
        return FrameWeights(
            _stack_weights(model.backbone, model.config.backbone.max_seq_len),
            _stack_weights(model.decoder, codebooks),
            heads,
            projection,
            model.audio_embeddings.weight.detach(),
            depth,
        )


def weight_of(layer: nn.Module) -> Weight:
    """A linear layer's matrix."""
    if isinstance(layer, QuantizedLinear):
        return layer.kept
    assert isinstance(layer, nn.Linear)
    return Weight.plain(layer.weight.detach())


def join(*layers: nn.Module) -> Weight:
    """The matrices of layers with one input, one below the other; the layers keep views of it."""
    weights = [weight_of(layer) for layer in layers]
    first = weights[0]
    if len({weight.kind for weight in weights}) > 1:
        raise AssertionError("layers of one input are of one kind")
    outputs = sum(weight.outputs for weight in weights)
    data = torch.cat([weight.data for weight in weights])
    scale = None
    if first.scale is not None:
        scale = torch.cat([weight.scale for weight in weights if weight.scale is not None])
    end = 0
    for layer, weight in zip(layers, weights, strict=True):
        here = slice(end, end := end + weight.outputs)
        if isinstance(layer, QuantizedLinear):
            assert scale is not None
            layer.data, layer.scale = data[here], scale[here]
        else:
            layer.weight.data = data[here]
    return Weight(first.kind, data, scale, outputs, first.inputs, first.group)


def _depth_heads(model: HeartMuLa) -> list[Weight]:
    if isinstance(model.audio_head, QuantizedHeads):
        return model.audio_head.kept
    rows = model.audio_head.detach().transpose(1, 2).contiguous()  # [K−1, V, E]
    model.audio_head.data = rows.transpose(1, 2)
    return [Weight.plain(head) for head in rows]


def _stack_weights(stack: Transformer, positions: int) -> StackWeights:
    layers = []
    for block in stack.layers:
        assert isinstance(block, Block)
        attention, mlp = block.attn, block.mlp
        layers.append(
            LayerWeights(
                block.sa_norm.scale.detach(),
                join(attention.q_proj, attention.k_proj, attention.v_proj),
                weight_of(attention.output_proj),
                block.mlp_norm.scale.detach(),
                join(mlp.w1, mlp.w3),
                weight_of(mlp.w2),
            )
        )
        if stack.norm.scale.is_cuda:  # the separate ones leave holes that no joined one fits
            torch.cuda.empty_cache()
    device = stack.norm.scale.device
    rope = torch.view_as_real(rope_table(positions + 64, stack.config.head_dim, device))
    return StackWeights(stack.config, layers, stack.norm.scale.detach(), rope.contiguous())


def _stack_bytes(stack: StackWeights) -> int:
    return sum(
        weight.nbytes
        for layer in stack.layers
        for weight in (layer.qkv, layer.output, layer.gate_up, layer.down)
    )
