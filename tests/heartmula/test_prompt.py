"""Prompts: their rows, and what is refused before anything is sung."""

import dataclasses

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from heartlib.errors import CheckpointError, UsageError
from heartlib.heartmula import GenConfig, HeartMuLaConfig, StackConfig, build_prompt

WORDS = ["<b>", "<e>", "<tag>", "</tag>", "pop", ",", "slow", "[", "]", "verse", "sing", "?"]
GEN = GenConfig(text_bos_id=0, text_eos_id=1, audio_eos_id=33, empty_id=0)
CONFIG = HeartMuLaConfig(
    text_vocab_size=len(WORDS),
    audio_vocab_size=37,
    muq_dim=4,
    backbone_config=StackConfig(1, 2, 1, 8, 8, 32),
    decoder_config=StackConfig(1, 2, 1, 8, 8, 8),
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """A word-level one; the template adds BOS by itself, as the published tokenizer does."""
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="?")
    )
    tokenizer.add_special_tokens(WORDS[:4])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<b> $A", special_tokens=[("<b>", 0)]
    )
    return tokenizer


def text(prompt) -> list[str]:
    return [WORDS[i] for i in prompt.tokens[:, CONFIG.audio_num_codebooks].tolist()]


def test_rows(tokenizer):
    prompt = build_prompt(tokenizer, " [Verse]\nSing ", "Pop,SLOW", config=CONFIG, gen_config=GEN)
    tags = ["<b>", "<tag>", "pop", ",", "slow", "</tag>", "<e>"]
    lyrics = ["<b>", "[", "verse", "]", "sing", "<e>"]
    assert text(prompt) == [*tags, "<b>", *lyrics]  # the slot holds empty_id, here 0
    assert prompt.muq_index == len(tags) and prompt.muq_embed is None
    assert prompt.mask[:, 8].all() and not prompt.mask[:, :8].any()
    assert not prompt.tokens[:, :8].any()


def test_wrapped_tags_and_given_ends_stay_as_they_are(tokenizer):
    plain = build_prompt(tokenizer, "sing", "pop", config=CONFIG, gen_config=GEN)
    given = build_prompt(tokenizer, "sing<e>", "<tag>pop</tag><e>", config=CONFIG, gen_config=GEN)
    half = build_prompt(tokenizer, "sing", "<tag>pop", config=CONFIG, gen_config=GEN)
    assert torch.equal(plain.tokens, half.tokens)
    assert text(given)[-3:] == ["<b>", "sing", "<e>"]


@pytest.mark.parametrize(
    ("lyrics", "tags", "message"),
    [
        (" \n ", "pop", "the lyrics are empty"),
        ("sing", " ", "the tags are empty"),
        ("sing", "<tag></tag>", "the tags are empty"),
        ("sing " * 30, "pop", r"tags 5 \+ lyrics 32 tokens, and the model has 32 positions"),
    ],
)
def test_refused(tokenizer, lyrics, tags, message):
    with pytest.raises(UsageError, match=message):
        build_prompt(tokenizer, lyrics, tags, config=CONFIG, gen_config=GEN)


def test_reference_of_another_width(tokenizer):
    with pytest.raises(UsageError, match=r"shape \[5\], not \[4\]"):
        build_prompt(
            tokenizer, "sing", "pop", config=CONFIG, gen_config=GEN, muq_embed=torch.zeros(5)
        )


def test_tokenizer_of_another_model(tokenizer):
    small = dataclasses.replace(CONFIG, text_vocab_size=5)
    with pytest.raises(CheckpointError, match="do not belong together"):
        build_prompt(tokenizer, "sing", "pop", config=small, gen_config=GEN)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone_flavor": "llama-9B"}, "known: llama-3B, llama-7B"),
        ({"audio_vocab_size": 0}, "audio_vocab_size must be a whole number >= 1"),
        ({"audio_num_codebooks": 2049, "decoder_flavor": "llama-300M"}, "2048 positions for 2049"),
    ],
)
def test_configuration_that_cannot_be(change, message):
    with pytest.raises(CheckpointError, match=message):
        HeartMuLaConfig(**change)


def test_stack_that_cannot_be():
    with pytest.raises(CheckpointError, match="not a multiple of num_kv_heads"):
        StackConfig(1, 6, 4, 48, 48, 64)
    with pytest.raises(CheckpointError, match="lacks num_heads, num_kv_heads"):
        StackConfig.from_dict({"num_layers": 1})


def test_configuration_survives_json():
    assert HeartMuLaConfig.from_dict(CONFIG.to_dict() | {"unknown": 1}) == CONFIG
    published = HeartMuLaConfig(backbone_flavor="llama-7B", decoder_flavor="llama-400M")
    assert HeartMuLaConfig.from_dict(published.to_dict()) == published
