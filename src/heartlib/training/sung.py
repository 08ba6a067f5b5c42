"""Sing composed songs with a family and keep their codes, with the styles of what they sound like.

    python -m heartlib.training.sung --model nano --songs 4000 --clap nano --out codes/sung

No corpus is rendered: the words and tags of songs that are only composed are sung, side by side on a GPU, decoded
and heard by HeartCLAP. A language model learns from them what a style sounds like in its own codes (`train lm
--config reference`). Writes OUT/part-00001 …, Codes folders; the same command goes on behind them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from heartlib import HeartMuLaGenPipeline
from heartlib.corpus.compose import compose
from heartlib.errors import HeartlibError, UsageError
from heartlib.evaluation.pieces import Piece, piece_of
from heartlib.heartclap import HeartCLAP
from heartlib.heartclap.index import clap_folder
from heartlib.heartcodec import HeartCodec
from heartlib.heartmula import HeartMuLa
from heartlib.heartmula.frame_step import KERNELS, REFERENCE
from heartlib.pipelines.inputs import known_tags
from heartlib.pipelines.settings import GenerationSettings
from heartlib.serving.engine import Engine
from heartlib.training.encode import write

FIRST_SEED = 6_800_001  # of words that no corpus and no evaluation has
LOOKED = 20  # songs that are composed, at most, for one whose tags are known
DECODED = 32  # songs at once


def composed(seed: int, group: str) -> Piece | None:
    """The words and tags of a song; None where nobody sings in it."""
    score = compose(seed)
    return piece_of(score, group) if score.words else None


def prompts(songs: int, seed: int, known: set[str], length: float, jobs: int) -> Iterator[Piece]:
    """Tags and lyrics that the model can be given, the same for the same seed. UsageError where hardly any fits."""
    found = 0
    with get_context("spawn").Pool(jobs) as pool:
        every = pool.imap(
            partial(composed, group="sung"), range(seed, seed + LOOKED * songs), chunksize=16
        )
        for piece in every:
            fits = piece and (not known or set(piece.tags.split(",")) <= known)
            if piece and fits and piece.length <= length:
                yield piece
                found += 1
            if found == songs:
                return
    raise UsageError(
        f"{found} of {LOOKED * songs} songs have tags that the model knows and at most {length:g} s; "
        f"{songs} are needed: a greater --length, or fewer --songs"
    )


class Choir:
    """A family that sings many songs side by side, and hears them."""

    def __init__(self, pipe: HeartMuLaGenPipeline, clap: HeartCLAP, at_once: int) -> None:
        place, paths = pipe.placement, pipe.paths
        self.pipe, self.clap = pipe, clap
        self.codec = HeartCodec.from_pretrained(paths.codec, place.codec_device, place.codec_dtype)
        mula = HeartMuLa.from_pretrained(
            paths.mula, place.mula_device, place.mula_dtype, int8=False
        )
        self.engine = Engine(
            mula,
            audio_eos_id=pipe.gen_config.audio_eos_id,
            songs=at_once,
            operations=KERNELS if mula.device.type == "cuda" else REFERENCE,
        )
        self.threads = ThreadPoolExecutor(8)

    def close(self) -> None:
        self.engine.close()
        self.threads.shutdown()

    def sing(self, pieces: Sequence[Piece], first: int) -> list[Tensor | None]:
        """Codes [K, T] of each, of its `first` frames (0: all); None where the song came to no end before, or to nothing."""
        waiting = []
        for piece in pieces:
            settings = GenerationSettings(max_audio_length_ms=round(piece.length * 1000))
            prompt, frames = self.pipe.prepare(piece.lyrics, piece.tags, settings)
            frames = min(frames, first or frames)
            waiting.append(self.engine.submit(prompt, max_frames=frames, seed=piece.seed))
        found: list[Tensor | None] = []
        for song in waiting:
            try:
                codes = song.result()
            except HeartlibError:
                found.append(None)
            else:
                whole = codes.shape[1] < song.max_frames
                found.append(codes if whole or codes.shape[1] == first else None)
        return found

    def hear(self, songs: Sequence[Tensor], seeds: Sequence[int]) -> list[Tensor]:
        """The styles float16 [C, E] of songs [K, T], decoded with these seeds."""
        waves = self.codec.detokenize_songs(songs, seeds=seeds)
        rate = self.codec.config.sample_rate
        return list(
            self.threads.map(
                lambda wave: self.clap.embed_clips(wave.float().numpy(), rate).half().cpu(), waves
            )
        )


def part(choir: Choir, pieces: Sequence[Piece], first_frames: int, out: Path) -> int:
    """Sings these and writes those that came to an end; how many."""
    pairs = zip(pieces, choir.sing(pieces, first_frames), strict=True)
    sung = [(piece, codes) for piece, codes in pairs if codes is not None]
    lines, codes, styles = list[dict[str, Any]](), list[Tensor](), list[Tensor]()
    for first in range(0, len(sung), DECODED):
        some = sung[first : first + DECODED]
        codes += [each.to(torch.int16) for _, each in some]
        styles += choir.hear([each for _, each in some], [piece.seed for piece, _ in some])
        for piece, each in some:
            words = {"tags": piece.tags, "lyrics": piece.lyrics}
            lines.append({"id": piece.name, **words, "frames": each.shape[1]})
    if sung:
        write(out, lines, codes, styles)
    return len(sung)


def run(args: argparse.Namespace) -> None:
    pipe = HeartMuLaGenPipeline.from_pretrained(args.model, args.device, lazy_load=True)
    clap = HeartCLAP.from_pretrained(clap_folder(args.clap), pipe.placement.codec_device)
    known = {tag for tags in known_tags(pipe.paths.root).values() for tag in tags}
    asked = prompts(args.songs, args.seed, known, args.length, args.jobs)
    choir = Choir(pipe, clap, args.at_once)
    try:
        with tqdm(total=args.songs, desc="songs", unit="song") as bar:
            number = 0
            while pieces := list(islice(asked, args.part)):
                number += 1
                out = args.out / f"part-{number:05d}"
                kept = 0 if out.is_dir() else part(choir, pieces, args.first_frames, out)
                bar.update(len(pieces))
                bar.set_postfix(kept=kept)
    finally:
        choir.close()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="nano", help="nano (default), or a family's folder")
    parser.add_argument("--clap", default="nano", help="nano (default), or a HeartCLAP's folder")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: auto)")
    parser.add_argument("--songs", type=int, default=4000, help="how many (default 4000)")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="of the first words")
    parser.add_argument("--length", type=float, default=80.0, help="longest in seconds (80)")
    parser.add_argument("--first-frames", type=int, default=0, help="of each song alone (all)")
    parser.add_argument("--at-once", type=int, default=64, help="songs sung side by side (64)")
    parser.add_argument("--part", type=int, default=256, help="songs of a part (256)")
    parser.add_argument("--jobs", type=int, default=2, help="processes that compose (2)")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    try:
        if args.first_frames < 0:
            raise UsageError(f"--first-frames is {args.first_frames}; 0 for whole songs, or more")
        for name in ("songs", "at_once", "part", "jobs"):
            if getattr(args, name) < 1:
                raise UsageError(f"--{name.replace('_', '-')} is {getattr(args, name)}; at least 1")
        run(args)
    except HeartlibError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
