"""Put trained parts together as one checkpoint folder, int8 on disk.

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
from heartlib.heartcodec import HeartCodec, HeartCodecConfig
from heartlib.heartmula import HeartMuLa


def load_for_saving(folder: Path) -> HeartCodec:
    """A codec as trained: its weight norm not folded."""
    with torch.device("meta"):
        codec = HeartCodec(checkpoints.read_config(folder, HeartCodecConfig))
    checkpoints.load_weights(codec, folder, device="cpu", dtype=torch.float32)
    return codec


def copy_as(source: Path, folder: Path, dtype: torch.dtype, stem: str = "model") -> None:
    """A model's folder with its weights as `dtype`; everything else as it is."""
    shutil.copytree(
        source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.safetensors*")
    )
    tensors = checkpoints.stored_as(checkpoints.read_tensors(source, stem), dtype)
    save_file(tensors, folder / f"{stem}.safetensors", metadata={"format": "pt"})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("codec", "encoder", "lm", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("transcriptor", "clap"):
        parser.add_argument(f"--{name}", type=Path, help="a listener's folder, if there is one")
    parser.add_argument("--dtype", choices=("int8", "bfloat16", "float32"), default="int8")
    arguments = parser.parse_args()
    dtype = getattr(torch, arguments.dtype)
    codec = load_for_saving(arguments.codec)
    checkpoints.save_pretrained(codec, arguments.out / "HeartCodec-oss", dtype=dtype)
    mula = HeartMuLa.from_pretrained(arguments.lm / "HeartMuLa-oss-nano")
    checkpoints.save_pretrained(mula, arguments.out / "HeartMuLa-oss-nano", dtype=dtype)
    copy_as(arguments.encoder, arguments.out / "HeartCodec-oss-encoder", dtype, "encoder")
    if arguments.transcriptor:
        copy_as(arguments.transcriptor, arguments.out / "HeartTranscriptor-oss", dtype)
    if arguments.clap:
        copy_as(arguments.clap, arguments.out / "HeartCLAP-oss", dtype)
    for name in ("tokenizer.json", "gen_config.json"):
        shutil.copyfile(arguments.lm / name, arguments.out / name)
    text = json.dumps(tags_by_category(), indent=1) + "\n"
    (arguments.out / "tags.json").write_text(text, encoding="utf-8")
    total = sum(p.stat().st_size for p in arguments.out.rglob("*") if p.is_file())
    print(f"{arguments.out}: {total / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
