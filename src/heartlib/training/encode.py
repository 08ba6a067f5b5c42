"""Turn a corpus into the codes the language model learns from.

python -m heartlib.training.encode --data CORPUS --rvq runs/rvq --out runs/codes

With `--follow` it begins while the corpus is being made and writes OUT/part-00001, part-00002 … of what has
come; the language model takes new parts as it goes.
"""

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from heartlib.heartcodec.encoding import load_encoder
from heartlib.heartcodec.models.query_transformer import MelEncoder
from heartlib.heartcodec.models.residual_vq import ResidualVQ
from heartlib.training.alignment import read_truth
from heartlib.training.corpus_audio import Arriving, read_song, read_songs


def load_codebooks(path: Path, dim: int, device: torch.device) -> ResidualVQ:
    """The residual codebooks that `heartlib train codebooks` wrote."""
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


def song_line(data: Path, name: str, about: dict[str, Any], frames: int) -> dict[str, Any]:
    """A song's line of songs.jsonl, its place left open; `about` has its tags and lyrics."""
    told = {key: about[key] for key in ("tags", "lyrics")}
    return {"id": name, **told, "frames": frames, **sung_words(data, name)}


def write(out: Path, lines: list[dict[str, Any]], codes: list[Tensor]) -> None:
    """A Codes folder, which appears when it is whole."""
    draft, offset = out.with_name(f".{out.name}"), 0
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    save_file({"codes": torch.cat(codes, 1)}, draft / "codes.safetensors")
    with open(draft / "songs.jsonl", "w", encoding="utf-8") as file:
        for line in lines:
            file.write(json.dumps(line | {"offset": offset}, ensure_ascii=False) + "\n")
            offset += line["frames"]
    shutil.rmtree(out, ignore_errors=True)
    draft.rename(out)


def encode(data: Path, encoder: MelEncoder, vq: ResidualVQ, out: Path) -> None:
    """Every song of a corpus into one Codes folder."""
    lines, codes = [], []
    text = (data / "songs.jsonl").read_text(encoding="utf-8")
    songs = {song["id"]: song for song in map(json.loads, text.splitlines())}
    device = next(vq.parameters()).device
    for name, wave in read_songs(data, list(songs), encoder.config.sample_rate, "codes"):
        codes.append(encode_song(encoder, vq, wave.to(device)).cpu())
        lines.append(song_line(data, name, songs[name], codes[-1].shape[1]))
    write(out, lines, codes)


def follow(
    data: Path, encoder: MelEncoder, vq: ResidualVQ, out: Path, *, patience: float, every: float
) -> None:
    """Songs as they are made, in parts of `every` seconds, until none has come for `patience` seconds."""
    rate, device = encoder.config.sample_rate, next(vq.parameters()).device
    arriving = Arriving(data, lambda name: (read_song(data, name, rate), read_truth(data, name)))
    lines, codes, number, songs = list[dict[str, Any]](), list[Tensor](), 0, 0
    came = written = time.monotonic()
    while time.monotonic() - came < patience:
        found = arriving.take()
        for name, (wave, truth) in found:
            codes.append(encode_song(encoder, vq, wave.to(device)).cpu())
            lines.append(song_line(data, name, truth, codes[-1].shape[1]))
            came = time.monotonic()
        if not found:
            time.sleep(0.2)
        if lines and (time.monotonic() - written > every or time.monotonic() - came > every):
            number, songs = number + 1, songs + len(lines)
            write(out / f"part-{number:05d}", lines, codes)
            print(f"{songs} songs", flush=True)
            lines, codes, written = [], [], time.monotonic()
    arriving.close()
    if lines:
        write(out / f"part-{number + 1:05d}", lines, codes)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="corpus folder")
    parser.add_argument(
        "--rvq", type=Path, required=True, help="output of heartlib train codebooks"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--follow", action="store_true", help="begin while the corpus is being made"
    )
    parser.add_argument(
        "--patience", type=float, default=60.0, help="seconds without a new song that end --follow"
    )
    parser.add_argument("--every", type=float, default=20.0, help="seconds of a part of --follow")
    given = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder = load_encoder(given.rvq / "HeartCodec-oss-encoder", device)
    vq = load_codebooks(given.rvq / "vq_embed.safetensors", encoder.config.dim, device)
    if given.follow:
        follow(given.data, encoder, vq, given.out, patience=given.patience, every=given.every)
    else:
        encode(given.data, encoder, vq, given.out)


if __name__ == "__main__":
    main()
