"""A tiny random checkpoint in the published layout: sings noise, but through every part."""

import json
import os
from pathlib import Path

import pytest
import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from heartlib import checkpoints
from heartlib.heartcodec import HeartCodec, HeartCodecConfig
from heartlib.heartmula import HeartMuLa, HeartMuLaConfig

if not torch.cuda.is_available():  # Triton's kernels are interpreted; before it is imported
    os.environ.setdefault("TRITON_INTERPRET", "1")

# The models of the tests are so small that a second thread only waits for the first.
torch.set_num_threads(1)

LYRICS = "[Verse]\nThe morning light is on the sea\n"
TAGS = "pop,female"
CODEBOOK_SIZE = 32
POSITIONS = 192
STACK = {"num_layers": 1, "num_heads": 2, "num_kv_heads": 1, "embed_dim": 32}
MULA = {
    "backbone_flavor": "custom",
    "decoder_flavor": "custom",
    "backbone_config": STACK | {"intermediate_dim": 64, "max_seq_len": POSITIONS},
    "decoder_config": STACK | {"intermediate_dim": 64, "max_seq_len": 16},
    "text_vocab_size": 300,
    "audio_vocab_size": CODEBOOK_SIZE + 1,
    "audio_num_codebooks": 8,
    "muq_dim": 16,
}
CODEC = {
    "dim": 32,
    "codebook_size": CODEBOOK_SIZE,
    "codebook_dim": 8,
    "num_quantizers": 8,
    "attention_head_dim": 8,
    "in_channels": 544,
    "num_attention_heads": 2,
    "num_layers": 1,
    "num_layers_2": 1,
    "out_channels": 256,
    "init_channel": 2,
}
KNOWN_TAGS = {
    "genre": ["pop", "rock", "folk"],
    "gender": ["female", "male"],
    "instrument": ["piano"],
}


def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\s"), "isolated")
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<pad>", "<bos>", "<eos>", "<tag>", "</tag>", "[verse]"],
        initial_alphabet=list("abcdefghijklmnopqrstuvwxyz,\n "),
    )
    tokenizer.train_from_iterator([LYRICS.lower(), "pop,female,piano"], trainer)
    return tokenizer


def write_tiny_checkpoint(root: Path, *, seed: int = 0) -> Path:
    """A checkpoint folder of version "tiny"; its audio vocabulary has no end of song."""
    torch.manual_seed(seed)
    mula = HeartMuLa(HeartMuLaConfig.from_dict(MULA))
    codec = HeartCodec(HeartCodecConfig.from_dict(CODEC))
    with torch.no_grad():
        for parameter in mula.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.05)
        for name, buffer in codec.named_buffers():
            if name.endswith(".embed"):
                buffer.normal_()
    checkpoints.save_pretrained(mula, root / "HeartMuLa-oss-tiny")
    checkpoints.save_pretrained(codec, root / "HeartCodec-oss")
    _tokenizer().save(str(root / "tokenizer.json"))
    ids = {
        "text_bos_id": 1,
        "text_eos_id": 2,
        "audio_eos_id": CODEBOOK_SIZE + 1,
        "empty_id": 0,
    }
    (root / "gen_config.json").write_text(json.dumps(ids))
    (root / "tags.json").write_text(json.dumps(KNOWN_TAGS))
    return root


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny checkpoint; tests that damage it copy it first."""
    return write_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"))
