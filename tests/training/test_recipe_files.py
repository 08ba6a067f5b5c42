"""Recipes from files and flags, and the full-size models they describe."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import get_type_hints

import pytest
import torch

from heartlib.errors import HeartlibError, UsageError
from heartlib.heartclap import HeartCLAP
from heartlib.heartcodec import HeartCodec, HeartCodecConfig
from heartlib.heartmula import HeartMuLa
from heartlib.training.command import MODELS
from heartlib.training.flow_recipe import FlowRecipe
from heartlib.training.lm_recipe import LMRecipe
from heartlib.training.recipe import Recipe
from heartlib.training.settings import known_configs, notes, parse, read_config
from heartlib.training.sq_recipe import SQOptions, SQRecipe

TENSORS = Path(__file__).parents[1] / "golden" / "tensors.tsv"
GIVEN = ["--data", "songs", "--out", "run"]


def kinds(model: str) -> dict[str, type]:
    return get_type_hints(import_module(f"heartlib.training.{MODELS[model][0]}").train)


def recipe(model: str, config: str) -> Recipe:
    kind = kinds(model)["recipe"]
    return kind(**read_config(model, kind, config))


def full(model: str):
    return recipe(model, "full")


def published(title: str) -> dict[str, str]:
    """Names and shapes of one of the published models."""
    part = TENSORS.read_text().split(f"# {title}", 1)[1].split("\n#", 1)[0]
    return dict(line.split("\t") for line in part.splitlines()[1:] if line)


def shapes(model: torch.nn.Module) -> dict[str, str]:
    return {k: "x".join(map(str, v.shape)) or "scalar" for k, v in model.state_dict().items()}


def count(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("model", MODELS)
def test_nano_is_what_the_dataclass_says(model):
    assert recipe(model, "nano") == kinds(model)["recipe"]()


@pytest.mark.parametrize("model", MODELS)
def test_every_file_is_a_recipe_and_every_setting_is_told(model):
    for name in known_configs(model):
        found = recipe(model, name)
        assert found.steps or found.minutes
    assert {"out", "lot", "data"} <= notes(kinds(model)["options"]).keys()


def test_full_language_model_is_the_published_one():
    for name in ("full", "sft"):
        settings = recipe("lm", name)
        assert isinstance(settings, LMRecipe)
        with torch.device("meta"):
            model = HeartMuLa(settings.model_config(128256))
        assert shapes(model) == published("HeartMuLa(llama-3B,llama-300M)")
        assert settings.gen_config.to_dict() == {
            "text_bos_id": 128000,
            "text_eos_id": 128001,
            "audio_eos_id": 8193,
            "empty_id": 0,
        }
    assert settings.lambda0 == 2 and list(settings.lambda_k) == sorted(
        settings.lambda_k, reverse=True
    )


def test_full_codec_is_the_published_one():
    flow, codec, books = (full(name) for name in ("flow", "codec", "codebooks"))
    config = HeartCodecConfig(
        dim=books.dim,
        codebook_size=books.codebook_size,
        codebook_dim=books.codebook_dim,
        num_quantizers=books.num_quantizers,
        attention_head_dim=flow.head_dim,
        num_attention_heads=flow.num_heads,
        num_layers=flow.num_layers,
        num_layers_2=flow.num_layers_2,
        init_channel=codec.init_channel,
    )
    assert config == HeartCodecConfig()
    with torch.device("meta"):
        model = HeartCodec(config)
    assert shapes(model) == published("HeartCodec")


def test_full_codebooks_encoder():
    from heartlib.heartcodec.models.query_transformer import QueryTransformer

    with torch.device("meta"):
        model = QueryTransformer(full("codebooks").encoder)
    assert model.query.shape == (512,) and len(model.blocks) == 6
    assert model.project.weight.shape == (512, 512)


def test_full_transcriptor_is_whisper_medium():
    transformers = pytest.importorskip("transformers")
    from heartlib.training.transcriptor import whisper_config

    config = whisper_config(full("transcriptor"), 51865)
    with torch.device("meta"):
        model = transformers.WhisperForConditionalGeneration(config)
    assert count(model) == 763_857_920  # Whisper-medium's, its output tied to its embedding
    assert config.max_target_positions == 448 and config.encoder_ffn_dim == 4096


def test_full_clap_has_towers_of_the_published_size():
    with torch.device("meta"):
        model = HeartCLAP(full("clap").model_config(250002))
    assert 280e6 < count(model.audio) < 340e6 and 260e6 < count(model.text) < 290e6
    assert model.config.embed_dim == 1024


def test_flags_replace_what_a_file_says(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("batch: 3\npeak_lr: 1e-3\nhalf: yes\ngain_db: [-3, 1]\n")
    given = [*GIVEN, "--config", str(file), "--batch", "5", "--no-half", "--lot", "2"]
    found, options = parse("codec", SQRecipe, SQOptions, given)
    expected = SQRecipe(batch=5, peak_lr=1e-3, gain_db=(-3.0, 1.0))
    assert found == expected and (options.data, options.lot) == (Path("songs"), 2.0)
    both = parse("codec", SQRecipe, SQOptions, [*GIVEN, "--discriminator-sizes", "512", "256"])
    assert both[0] == replace(SQRecipe(), discriminator_sizes=(512, 256))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batches: 3", "batches is not a setting of codec; did you mean batch"),
        ("zzz: 3", "zzz is not a setting of codec; known: minutes"),
        ("batch: many", "batch must be a whole number, not 'many'"),
        ("batch: 2.5", "batch must be a whole number, not 2.5"),
        ("batch: true", "batch must be a whole number, not True"),
        ("peak_lr: fast", "peak_lr must be a number, not 'fast'"),
        ("half: 1", "half must be true or false, not 1"),
        ("gain_db: [1, 2, 3]", "gain_db must be a list of 2 numbers"),
        ("- 1", "must hold lines of NAME: VALUE, not list"),
        ("a: [", "is not YAML"),
        ("batch: 0", "batch is 0; it must be at least 1"),
        ("minutes: 0", "minutes is 0 and steps 0; minutes must be above 0"),
        ("peak_lr: .nan", "peak_lr is nan; it must be finite"),
        ("ema_decay: 1", "ema_decay is 1.0; it must be at least 0 and below 1"),
        ("accumulate: 0", "accumulate is 0; it must be at least 1"),
    ],
)
def test_bad_files(tmp_path, text, message):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as error:
        parse("codec", SQRecipe, SQOptions, [*GIVEN, "--config", str(file)])
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--batch", "two"], "argument --batch: must be a whole number, not 'two'"),
        (["--batch", "-1"], "batch is -1; it must be at least 1"),
        (["--config", "huge"], "there is no file huge, and codec comes with full, nano"),
        (["--lot", "-1"], "lot is -1.0; it must be at least 0"),
        (["--bacth", "3"], "unrecognized arguments: --bacth"),
    ],
)
def test_bad_flags(flags, message):
    with pytest.raises(UsageError) as error:
        parse("codec", SQRecipe, SQOptions, [*GIVEN, *flags])
    assert message in str(error.value)


def test_missing_flags_are_named():
    with pytest.raises(UsageError, match=r"the following arguments are required: --data"):
        parse("codec", SQRecipe, SQOptions, ["--out", "run"])


def test_a_file_that_is_not_text(tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(HeartlibError, match="cannot be read"):
        read_config("flow", FlowRecipe, str(file))
