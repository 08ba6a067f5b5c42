"""From lyrics and tags to the rows that the language model reads first."""

from __future__ import annotations

from typing import NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor

from heartlib.errors import CheckpointError, UsageError
from heartlib.heartmula.configuration_heartmula import GenConfig, HeartMuLaConfig


class Prompt(NamedTuple):
    """The rows before a song's first frame (S positions, K codebooks).

    tokens [S, K+1]: audio codes in columns 0…K−1, text ids in column K; mask [S, K+1]: which
    columns count; muq_embed [muq_dim] or None: style embedding of a reference audio, put at
    position muq_index.
    """

    tokens: Tensor
    mask: Tensor
    muq_embed: Tensor | None
    muq_index: int


def wrap_tags(tags: str) -> str:
    """Lower-cased tags between `<tag>` and `</tag>`, which are added where they are missing."""
    tags = tags.strip().lower()
    if not tags.startswith("<tag>"):
        tags = f"<tag>{tags}"
    if not tags.endswith("</tag>"):
        tags = f"{tags}</tag>"
    return tags


def bracket(ids: list[int], gen_config: GenConfig) -> list[int]:
    """ids with the text BOS first and EOS last, each added only when not there."""
    if not ids or ids[0] != gen_config.text_bos_id:
        ids = [gen_config.text_bos_id, *ids]
    if ids[-1] != gen_config.text_eos_id:
        ids = [*ids, gen_config.text_eos_id]
    return ids


def build_prompt(
    tokenizer: Tokenizer,
    lyrics: str,
    tags: str,
    *,
    config: HeartMuLaConfig,
    gen_config: GenConfig,
    muq_embed: Tensor | None = None,
) -> Prompt:
    """The prompt of a song: tags, one reference slot, lyrics.

    lyrics: lines with section markers such as `[Verse]` on their own; tags: comma-separated;
    muq_embed [muq_dim]: style embedding of a reference audio, if any; with one, the tags may be empty.
    Raises `UsageError` for empty lyrics or tags and for text beyond the model's positions,
    `CheckpointError` for a tokenizer that is not this model's.
    """
    lyrics = lyrics.strip().lower()
    if not lyrics:
        raise UsageError("the lyrics are empty; for music without singing give [Instrumental]")
    if muq_embed is None and wrap_tags(tags) == "<tag></tag>":
        raise UsageError("the tags are empty; give at least one, such as: pop,piano,female")
    if muq_embed is not None and muq_embed.shape != (config.muq_dim,):
        raise UsageError(
            f"the reference embedding has shape {list(muq_embed.shape)}, not [{config.muq_dim}]"
        )
    tag_ids = bracket(tokenizer.encode(wrap_tags(tags)).ids, gen_config)
    lyric_ids = bracket(tokenizer.encode(lyrics).ids, gen_config)
    ids = [*tag_ids, gen_config.empty_id, *lyric_ids]
    limit = config.backbone.max_seq_len
    if len(ids) >= limit:
        raise UsageError(
            f"the prompt is too long: tags {len(tag_ids)} + lyrics {len(lyric_ids)} tokens, and the "
            f"model has {limit} positions for prompt and song together; shorten the lyrics"
        )
    if max(ids) >= config.text_vocab_size:
        raise CheckpointError(
            f"the tokenizer gives id {max(ids)}, the model knows {config.text_vocab_size}: "
            "tokenizer.json and the model do not belong together"
        )
    codebooks = config.audio_num_codebooks
    tokens = torch.full((len(ids), codebooks + 1), gen_config.empty_id, dtype=torch.long)
    tokens[:, codebooks] = torch.tensor(ids)
    mask = torch.zeros(tokens.shape, dtype=torch.bool)
    mask[:, codebooks] = True
    return Prompt(tokens, mask, muq_embed, len(tag_ids))
