"""Turn a corpus into the codes the language model learns from.

python -m heartlib.training.encode --data CORPUS --rvq runs/rvq --out runs/codes

`--model nano`, or another family's folder, in the place of `--rvq` takes the encoder that a family has. `--clap` adds HeartCLAP's
embeddings of every song's clips of ten seconds, from which the language model can learn to take after a song.
With `--follow` it begins while the corpus is being made and writes OUT/part-00001, part-00002 … of what has
come; the language model takes new parts as it goes.
"""

import argparse
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from heartlib import checkpoints
from heartlib.heartclap import HeartCLAP
from heartlib.heartclap.index import clap_folder
from heartlib.heartcodec import HeartCodec
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


@dataclass
class Encoded:
    """A song as codes int16 [K, T] and, where they are asked for, its clips' styles float16 [C, E]."""

    codes: Tensor
    styles: Tensor | None


@dataclass
class Encoder:
    """What turns a song, stereo at the encoder's rate, into what the language model learns from."""

    mel: MelEncoder
    vq: ResidualVQ
    clap: HeartCLAP | None = None

    @property
    def sample_rate(self) -> int:
        return self.mel.config.sample_rate

    def __call__(self, wave: Tensor) -> Encoded:
        device = next(self.vq.parameters()).device
        codes = encode_song(self.mel, self.vq, wave.to(device)).cpu()
        if self.clap is None:
            return Encoded(codes, None)
        return Encoded(codes, self.clap.embed_clips(wave.numpy(), self.sample_rate).cpu().half())


def load(rvq: Path | None, model: str, clap: str | None, device: torch.device) -> Encoder:
    """The encoder of `heartlib train codebooks`' folder `rvq`, or of the family `model`; `clap` as in `clap_folder`."""
    listener = None if clap is None else HeartCLAP.from_pretrained(clap_folder(clap), device)
    if rvq is not None:
        mel = load_encoder(rvq / "HeartCodec-oss-encoder", device)
        return Encoder(
            mel, load_codebooks(rvq / "vq_embed.safetensors", mel.config.dim, device), listener
        )
    decoder, encoder = checkpoints.find_codec(model)
    vq = HeartCodec.from_pretrained(decoder, device).flow_matching.vq_embed
    return Encoder(load_encoder(encoder, device), vq, listener)


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


def write(
    out: Path,
    lines: list[dict[str, Any]],
    codes: list[Tensor],
    styles: list[Tensor] | None = None,
) -> None:
    """A Codes folder, which appears when it is whole."""
    draft, offset, clips = out.with_name(f".{out.name}"), 0, 0
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    tensors = {"codes": torch.cat(codes, 1)} | ({"styles": torch.cat(styles)} if styles else {})
    save_file(tensors, draft / "codes.safetensors")
    with open(draft / "songs.jsonl", "w", encoding="utf-8") as file:
        for number, line in enumerate(lines):
            place: dict[str, Any] = {"offset": offset}
            if styles:
                place["clips"] = [clips, len(styles[number])]
                clips += len(styles[number])
            file.write(json.dumps(line | place, ensure_ascii=False) + "\n")
            offset += line["frames"]
    shutil.rmtree(out, ignore_errors=True)
    draft.rename(out)


class Songs:
    """Encoded songs on their way into a Codes folder."""

    def __init__(self, data: Path, encoder: Encoder) -> None:
        self.data, self.encoder = data, encoder
        self.lines: list[dict[str, Any]] = []
        self.encoded: list[Encoded] = []

    def add(self, name: str, wave: Tensor, about: dict[str, Any]) -> None:
        self.encoded.append(self.encoder(wave))
        frames = self.encoded[-1].codes.shape[1]
        self.lines.append(song_line(self.data, name, about, frames))

    def write(self, out: Path) -> None:
        """Writes them and begins anew."""
        styles = [each.styles for each in self.encoded if each.styles is not None]
        write(out, self.lines, [each.codes for each in self.encoded], styles)
        self.lines, self.encoded = [], []


def encode(data: Path, encoder: Encoder, out: Path) -> None:
    """Every song of a corpus into one Codes folder."""
    text = (data / "songs.jsonl").read_text(encoding="utf-8")
    about = {song["id"]: song for song in map(json.loads, text.splitlines())}
    songs = Songs(data, encoder)
    for name, wave in read_songs(data, list(about), encoder.sample_rate, "codes"):
        songs.add(name, wave, about[name])
    songs.write(out)


def follow(data: Path, encoder: Encoder, out: Path, *, patience: float, every: float) -> None:
    """Songs as they are made, in parts of `every` seconds, until none has come for `patience` seconds."""
    rate = encoder.sample_rate
    arriving = Arriving(data, lambda name: (read_song(data, name, rate), read_truth(data, name)))
    songs, number, count = Songs(data, encoder), 0, 0
    came = written = time.monotonic()
    while time.monotonic() - came < patience:
        found = arriving.take()
        for name, (wave, truth) in found:
            songs.add(name, wave, truth)
            came = time.monotonic()
        if not found:
            time.sleep(0.2)
        waited = time.monotonic() - written > every or time.monotonic() - came > every
        if songs.lines and waited:
            number, count = number + 1, count + len(songs.lines)
            songs.write(out / f"part-{number:05d}")
            print(f"{count} songs", flush=True)
            written = time.monotonic()
    arriving.close()
    if songs.lines:
        songs.write(out / f"part-{number + 1:05d}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="corpus folder")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--rvq", type=Path, help="output of heartlib train codebooks")
    source.add_argument("--model", help="nano, or a family's folder")
    parser.add_argument("--clap", help="nano, or a folder with a HeartCLAP: styles too")
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
    encoder = load(given.rvq, given.model, given.clap, device)
    if given.follow:
        follow(given.data, encoder, given.out, patience=given.patience, every=given.every)
    else:
        encode(given.data, encoder, given.out)


if __name__ == "__main__":
    main()
