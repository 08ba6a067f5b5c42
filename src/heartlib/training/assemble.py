"""Put trained parts together as one checkpoint folder, int8 on disk.

The scalar codec's encoder, which only training needs, stays behind. A part that is not given is left as it is in --out.

    python -m heartlib.training.assemble --codec runs/flow/HeartCodec-oss \\
        --encoder runs/rvq/HeartCodec-oss-encoder --lm runs/lm --out src/heartlib/nano
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from heartlib import checkpoints
from heartlib.corpus.styles import tags_by_category
from heartlib.errors import CheckpointError
from heartlib.heartcodec import HeartCodec, HeartCodecConfig
from heartlib.heartmula import HeartMuLa
from heartlib.shapes import shapes_alone

TOKENIZER = "tokenizer.json"


def load_for_saving(folder: Path) -> HeartCodec:
    """A codec as trained: its weight norm not folded, with the scalar encoder, if it has a learned one.

    CheckpointError where that was left behind.
    """
    config = checkpoints.read_config(folder, HeartCodecConfig)
    names = {
        name
        for file in checkpoints.weight_files(folder, "model")
        for name in checkpoints.read_header(file)
    }
    if config.scalar_encoder == "learned" and not any(
        "scalar_model.encoder." in name for name in names
    ):
        raise CheckpointError(
            f"{folder} has no scalar encoder, which an assembled family leaves behind: give the folder that "
            "`heartlib train flow` or `decoder` wrote"
        )
    with shapes_alone():
        codec = HeartCodec(config)
    checkpoints.load_weights(codec, folder, device="cpu", dtype=torch.float32)
    return codec


def copy_as(source: Path, folder: Path, dtype: torch.dtype, stem: str = "model") -> None:
    """A model's folder with its weights as `dtype`; everything else as it is, its tokenizer without spaces."""
    shutil.copytree(
        source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.safetensors*")
    )
    if (source / TOKENIZER).is_file():
        copy_tokenizer(source, folder)
    tensors = checkpoints.stored_as(checkpoints.read_tensors(source, stem), dtype)
    save_file(tensors, folder / f"{stem}.safetensors", metadata={"format": "pt"})


def copy_tokenizer(source: Path, folder: Path) -> None:
    """A folder's tokenizer.json, in less than half of its bytes."""
    data = json.loads((source / TOKENIZER).read_text(encoding="utf-8"))
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    (folder / TOKENIZER).write_text(text + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    for name in ("codec", "encoder", "transcriptor", "clap"):
        parser.add_argument(f"--{name}", type=Path, help="its folder")
    parser.add_argument("--lm", type=Path, help="folder of HeartMuLa-oss-nano and its tokenizer")
    parser.add_argument("--dtype", choices=("int8", "bfloat16", "float32"), default="int8")
    arguments = parser.parse_args()
    dtype = getattr(torch, arguments.dtype)
    if arguments.codec:
        codec = load_for_saving(arguments.codec)
        codec.scalar_model.encoder = None
        checkpoints.save_pretrained(codec, arguments.out / "HeartCodec-oss", dtype=dtype)
    if arguments.lm:
        mula = HeartMuLa.from_pretrained(arguments.lm / "HeartMuLa-oss-nano", int8=False)
        checkpoints.save_pretrained(mula, arguments.out / "HeartMuLa-oss-nano", dtype=dtype)
        copy_tokenizer(arguments.lm, arguments.out)
        shutil.copyfile(arguments.lm / "gen_config.json", arguments.out / "gen_config.json")
    if arguments.encoder:
        copy_as(arguments.encoder, arguments.out / "HeartCodec-oss-encoder", dtype, "encoder")
    if arguments.transcriptor:
        copy_as(arguments.transcriptor, arguments.out / "HeartTranscriptor-oss", dtype)
    if arguments.clap:
        copy_as(arguments.clap, arguments.out / "HeartCLAP-oss", dtype)
    text = json.dumps(tags_by_category(), indent=1) + "\n"
    (arguments.out / "tags.json").write_text(text, encoding="utf-8")
    total = sum(p.stat().st_size for p in arguments.out.rglob("*") if p.is_file())
    print(f"{arguments.out}: {total / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
