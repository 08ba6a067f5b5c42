"""Devices, dtypes and memory."""

import json
from pathlib import Path

import pytest
import torch

from heartlib.errors import CheckpointError, HeartlibError, UsageError
from heartlib.pipelines.placement import (
    Placement,
    check_fits,
    free_bytes,
    mula_bytes,
    parse_quantization,
    weights_bytes,
)


def test_one_value_or_one_for_each():
    place = Placement.resolve("cpu", "bf16")
    assert place.mula_dtype == place.codec_dtype == torch.bfloat16 and place.shared
    place = Placement.resolve(torch.device("cpu"), {"mula": "bf16", "codec": torch.float32})
    assert (place.mula_dtype, place.codec_dtype) == (torch.bfloat16, torch.float32)
    assert Placement.resolve(**place.to_dict()) == place


def test_the_codec_stays_in_float32_by_default():
    assert Placement.resolve().codec_dtype == torch.float32
    assert Placement.resolve("cpu").mula_dtype == torch.float32


def test_what_is_not_there():
    with pytest.raises(HeartlibError, match=r"'cuda:77' does not exist.*it has cpu") as error:
        Placement.resolve("cuda:77")
    assert error.value.exit_status == 1
    with pytest.raises(HeartlibError, match="'meta' does not exist"):
        Placement.resolve("meta")
    with pytest.raises(HeartlibError, match="'cpu:1' does not exist"):
        Placement.resolve("cpu:1")
    with pytest.raises(UsageError, match="'toaster' is not a device"):
        Placement.resolve("toaster")
    with pytest.raises(UsageError, match=r"'int8' is not known; use one of float32, fp32"):
        Placement.resolve("cpu", "int8")
    with pytest.raises(UsageError, match="keys mula and codec, not 'lm'"):
        Placement.resolve({"lm": "cpu"})


def test_quantization():
    """By name, or as transformers' BitsAndBytesConfig asks for it; only where there is a GPU."""

    class Config:  # has the attributes of transformers.BitsAndBytesConfig
        load_in_8bit, load_in_4bit = False, True

    assert parse_quantization(None) is None
    assert parse_quantization("fp8") == "fp8" and parse_quantization(Config()) == "int4"
    with pytest.raises(UsageError, match="'int2' is not known; use one of int8, fp8, int4"):
        parse_quantization("int2")
    with pytest.raises(HeartlibError, match=r"int8 needs an NVIDIA or AMD GPU .*, not cpu"):
        Placement.resolve("cpu", quantization="int8")


def test_quantized_memory(tmp_path: Path):
    """Matrices in fewer bits, embeddings and norms as they are."""
    header, end = {}, 0
    for name, numbers in (("text_embeddings.weight", 10), ("backbone.w1.weight", 1000)):
        header[name] = {
            "dtype": "F32",
            "shape": [numbers],
            "data_offsets": [end, end + 4 * numbers],
        }
        end += 4 * numbers
    text = json.dumps(header).encode()
    (tmp_path / "model.safetensors").write_bytes(
        len(text).to_bytes(8, "little") + text + bytes(end)
    )
    sizes = [mula_bytes(tmp_path, torch.bfloat16, kind) for kind in (None, "int8", "fp8", "int4")]
    assert sizes == [2020, 1020, 1020, 520]


def write_weights(folder: Path, numbers: int) -> Path:
    """A safetensors file of float32 zeros that takes no room on the disk."""
    header = {"x": {"dtype": "F32", "shape": [numbers], "data_offsets": [0, 4 * numbers]}}
    text = json.dumps(header).encode()
    with open(folder / "model.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + 4 * numbers)
    return folder


def test_memory_is_counted_in_the_dtype_it_will_take(tmp_path: Path):
    folder = write_weights(tmp_path, 10**11)
    assert weights_bytes(folder, torch.bfloat16) == 2 * 10**11
    free = free_bytes(torch.device("cpu"))
    assert free is not None and 0 < free < 10**14
    with pytest.raises(HeartlibError, match=r"too little memory on cpu: big takes .* in float32"):
        check_fits("big", 10**15, torch.device("cpu"), torch.float32)
    check_fits("small", 1, torch.device("cpu"), torch.float32)


def test_damaged_weights_name_the_file(tmp_path: Path):
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged"):
        weights_bytes(tmp_path, torch.float32)
