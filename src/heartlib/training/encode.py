"""Turn a corpus into the codes the language model learns from.

python -m heartlib.training.encode --data CORPUS --rvq runs/rvq --out runs/codes
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from heartlib import checkpoints
from heartlib.heartcodec.models.query_transformer import MelEncoder, MelEncoderConfig
from heartlib.heartcodec.models.residual_vq import ResidualVQ
from heartlib.training.alignment import read_truth
from heartlib.training.corpus_audio import read_songs


def load_encoder(folder: Path, device: torch.device) -> MelEncoder:
    """The `HeartCodec-oss-encoder` folder of a "mel" encoder."""
    encoder = MelEncoder(checkpoints.read_config(folder, MelEncoderConfig, "encoder_config.json"))
    encoder.load_state_dict(load_file(folder / "encoder.safetensors"))
    return encoder.float().to(device).eval().requires_grad_(False)


def load_codebooks(path: Path, dim: int, device: torch.device) -> ResidualVQ:
    """The residual codebooks that heartlib.training.rvq wrote."""
    weights = load_file(path)
    books = [w for name, w in weights.items() if name.endswith("_codebook.embed")]
    size, width = books[0].shape[1:]
    vq = ResidualVQ(dim, size, width, len(books))
    vq.load_state_dict(weights)
    return vq.to(device).requires_grad_(False)


@torch.inference_mode()
def encode_song(encoder: MelEncoder, vq: ResidualVQ, wave: torch.Tensor) -> torch.Tensor:
    """Stereo audio [2, n] → codes int16 [K, T]."""
    return vq.encode(encoder(wave[None]))[0].to(torch.int16)


def sung_words(folder: Path, song: str) -> dict[str, Any]:
    """{"words": [[start, end, word], …]}: when each of a song's words is sung, in seconds; {} without its truth."""
    if not (folder / "truth" / f"{song}.json").is_file():
        return {}
    words = read_truth(folder, song)["words"]
    return {"words": [[round(w["start"], 2), round(w["end"], 2), w["word"].lower()] for w in words]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="corpus folder")
    parser.add_argument("--rvq", type=Path, required=True, help="output of heartlib.training.rvq")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder = load_encoder(arguments.rvq / "HeartCodec-oss-encoder", device)
    vq = load_codebooks(arguments.rvq / "vq_embed.safetensors", encoder.config.dim, device)
    lines, codes, offset = [], [], 0
    text = (arguments.data / "songs.jsonl").read_text(encoding="utf-8")
    songs = {song["id"]: song for song in map(json.loads, text.splitlines())}
    rate = encoder.config.sample_rate
    for name, wave in read_songs(arguments.data, list(songs), rate, "codes"):
        codes.append(encode_song(encoder, vq, wave.to(device)).cpu())
        frames = codes[-1].shape[1]
        lines.append(
            {k: songs[name][k] for k in ("id", "tags", "lyrics")}
            | {"offset": offset, "frames": frames}
            | sung_words(arguments.data, name)
        )
        offset += frames
    arguments.out.mkdir(parents=True, exist_ok=True)
    save_file({"codes": torch.cat(codes, 1)}, arguments.out / "codes.safetensors")
    (arguments.out / "songs.jsonl").write_text(
        "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
