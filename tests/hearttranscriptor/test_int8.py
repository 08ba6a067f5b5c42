"""A Whisper whose weights are kept as int8 is the same Whisper, but for the rounding."""

from pathlib import Path

import pytest
import torch

from heartlib import checkpoints
from heartlib.errors import CheckpointError
from heartlib.training.assemble import copy_as
from heartlib.training.tokenizer import train_tokenizer

transformers = pytest.importorskip("transformers")

from heartlib.hearttranscriptor import HeartTranscriptor  # noqa: E402
from heartlib.training.transcriptor import Listener, whisper_tokenizer, write  # noqa: E402
from heartlib.training.transcriptor_recipe import TranscriptorRecipe  # noqa: E402

SMALL = TranscriptorRecipe(
    width=128, heads=2, encoder_layers=1, decoder_layers=1, dropout=0.0, most_tokens=24
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same random model in bfloat16 and in int8."""
    torch.manual_seed(0)
    plain, small = (tmp_path_factory.mktemp("whisper") / name for name in ("plain", "int8"))
    tokenizer = whisper_tokenizer(train_tokenizer(["low middle high"] * 3))
    write(Listener(SMALL, tokenizer, 4), tokenizer, plain)
    copy_as(plain, small, torch.int8)
    return plain, small


def test_it_is_smaller_and_hears_the_same(folders: tuple[Path, Path]):
    plain, small = folders
    assert checkpoints.kept_as_int8(small) and not checkpoints.kept_as_int8(plain)
    assert checkpoints.weights_bytes(small) < 0.75 * checkpoints.weights_bytes(plain)
    mel, tokens = torch.randn(1, 80, 3000), torch.tensor([[3, 4, 5]])
    found = [
        HeartTranscriptor.from_pretrained(folder)
        .model(input_features=mel, decoder_input_ids=tokens)
        .logits
        for folder in folders
    ]
    assert (found[0] - found[1]).abs().max() < 0.05 * found[0].abs().max()


def test_everything_but_the_weights_is_the_same(folders: tuple[Path, Path]):
    plain, small = map(HeartTranscriptor.from_pretrained, folders)
    assert plain.languages == small.languages == ["en", "es", "ja", "ko", "zh"]
    assert plain.model.generation_config.to_dict() == small.model.generation_config.to_dict()
    assert plain.model.proj_out.weight is plain.model.model.decoder.embed_tokens.weight
    assert small.model.proj_out.weight is small.model.model.decoder.embed_tokens.weight


def test_a_cut_file_is_named(folders: tuple[Path, Path], tmp_path: Path):
    copy_as(folders[1], tmp_path / "cut", torch.int8)
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="cut short at tensor"):
        HeartTranscriptor.from_pretrained(tmp_path / "cut")
