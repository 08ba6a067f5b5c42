"""Sing several songs to each of many prompts, judge them, and pair the better with the worse.

    python -m heartlib.training.candidates --model family --prompts 256 --out candidates --jobs 16
    heartlib train dpo --init family/HeartMuLa-oss-nano --pairs candidates/pairs.jsonl \\
        --data candidates/codes --out runs/dpo

The HeartTranscriptor beside the model judges the words, as phoneme error rate, and its HeartCLAP the tags, as
the cosine between the song and what was asked for. The best and the worst song of a prompt become a pair where
they are far enough apart, once by words and once by tags; songs that were cut off are left out. Writes into
--out: songs/ with the audio and the codes, where the same command goes on; scores.jsonl, pairs.jsonl, and
codes/, a Codes folder.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from tqdm import tqdm

from heartlib import checkpoints
from heartlib.corpus.compose import compose
from heartlib.errors import HeartlibError, UsageError
from heartlib.evaluation.examiner import Setup
from heartlib.evaluation.heard import Heard
from heartlib.evaluation.jobs import examine
from heartlib.evaluation.pieces import Piece, piece_of
from heartlib.evaluation.singing import codes_file
from heartlib.evaluation.structure import compare
from heartlib.heartclap import HeartCLAP
from heartlib.pipelines.inputs import known_tags
from heartlib.training.encode import write

FIRST_SEED = 6_000_001  # of prompts that no corpus and no evaluation has
WORDS_APART = 0.10  # phoneme error rate between the songs of a pair, at least
TAGS_APART = 0.05  # cosine between them, at least
WORDS_LOST = 0.02  # by how much a song with better tags may be understood worse
LOOKED = 100  # songs that are composed for one prompt that fits
INTERRUPTED = 130


@dataclass(frozen=True)
class Candidate:
    """A song and how it was judged: phoneme error rate, and cosine to its tags (None without HeartCLAP)."""

    id: str
    prompt: str
    error_rate: float
    likeness: float | None
    ended: bool


@dataclass(frozen=True)
class Pair:
    """Two songs of one prompt, and by what the chosen one is better: words or tags."""

    chosen: str
    rejected: str
    by: str


def prompts(count: int, seed: int, known: Collection[str], length: float) -> Iterator[Piece]:
    """Tags and lyrics that the model can be given, from `seed` on; none may last longer than `length` seconds.

    UsageError where hardly any fits.
    """
    found = 0
    for score in map(compose, range(seed, seed + LOOKED * count)):
        piece = piece_of(score, "candidates")
        fits = not known or set(piece.tags.split(",")) <= set(known)
        if score.words and fits and piece.length <= length:
            yield piece
            found += 1
        if found == count:
            return
    raise UsageError(
        f"{found} of {LOOKED * count} songs of the corpus have words, tags that the model knows and "
        f"at most {length:g} s; {count} are needed: a greater --length, or fewer --prompts"
    )


def takes(prompt: Piece, each: int) -> list[Piece]:
    """A prompt's candidates: the same words and tags, `each` seeds."""
    return [
        replace(prompt, name=f"{prompt.name}-{take}", seed=prompt.seed * each + take)
        for take in range(each)
    ]


def pairs_of(songs: Sequence[Candidate]) -> list[Pair]:
    """At most two pairs of the candidates of one prompt."""
    found, whole = [], [song for song in songs if song.ended]
    if len(whole) < 2:
        return []
    best, worst = (end(whole, key=lambda song: song.error_rate) for end in (min, max))
    if worst.error_rate - best.error_rate >= WORDS_APART:
        found.append(Pair(best.id, worst.id, "words"))
    like = [(song.likeness, song) for song in whole if song.likeness is not None]
    if len(like) == len(whole):
        (least, worst), (most, best) = (end(like, key=lambda pair: pair[0]) for end in (min, max))
        understood = best.error_rate <= worst.error_rate + WORDS_LOST
        if most - least >= TAGS_APART and understood:
            found.append(Pair(best.id, worst.id, "tags"))
    return found


def judged(song: Heard, prompt: str, clap: HeartCLAP | None) -> Candidate:
    """How good a song is."""
    assert song.truth is not None
    count = compare(song.truth, song.text or "").whole
    likeness = None
    if clap is not None and song.place is not None:
        told = clap.embed_text([song.truth.told])[0].float().cpu()
        likeness = round(float(told @ torch.from_numpy(song.place)), 4)
    return Candidate(song.name, prompt, round(count.rate, 4), likeness, bool(song.ended))


def run(args: argparse.Namespace) -> int:
    """Sings, judges and writes; 130 where Ctrl-C ended it, with what was there written."""
    paths = checkpoints.find(args.model, args.version)
    listeners = {"transcriptor": "HeartTranscriptor-oss", "clap": "HeartCLAP-oss"}
    folders = {name: paths.root / folder for name, folder in listeners.items()}
    present = {name: folder for name, folder in folders.items() if folder.is_dir()}
    if "transcriptor" not in present:
        raise HeartlibError(
            f"{paths.root} has no HeartTranscriptor-oss, which must judge the words"
        )
    songs = args.out / "songs"
    songs.mkdir(parents=True, exist_ok=True)
    setup = Setup(
        model=args.model,
        version=args.version,
        device=args.device,
        dtype=None,
        songs=songs,
        transcriptor=present["transcriptor"],
        clap=present.get("clap"),
        codes=True,
    )
    clap = HeartCLAP.from_pretrained(present["clap"]) if "clap" in present else None
    known = {tag for tags in known_tags(paths.root).values() for tag in tags}
    asked = list(prompts(args.prompts, args.seed, known, args.length))
    songs_of = [(prompt.name, take) for prompt in asked for take in takes(prompt, args.each)]
    pieces = [take for _, take in songs_of]
    found, stopped = dict[int, Candidate](), False
    with tqdm(total=len(pieces), unit="song") as bar:
        try:
            for number, (heard, *_) in examine(pieces, setup, args.jobs):
                found[number] = judged(heard, songs_of[number][0], clap)
                bar.update()
        except KeyboardInterrupt:
            stopped = True
    candidates = [found[number] for number in sorted(found)]
    pairs = keep(args.out, asked, candidates)
    by_words = sum(pair.by == "words" for pair in pairs)
    print(f"{len(candidates)} songs, {by_words} pairs by words, {len(pairs) - by_words} by tags")
    if stopped:
        print("stopped; the same command goes on", file=sys.stderr)
    return INTERRUPTED if stopped else 0


def keep(out: Path, asked: Sequence[Piece], candidates: Sequence[Candidate]) -> list[Pair]:
    """Writes scores, pairs and the codes of the songs that are in pairs; the pairs."""
    write_lines(out / "scores.jsonl", [asdict(song) for song in candidates])
    pieces = {prompt.name: prompt for prompt in asked}
    pairs, lines, codes = list[Pair](), list[dict](), list[torch.Tensor]()
    told = list[dict]()
    for name, prompt in pieces.items():
        mine = pairs_of([song for song in candidates if song.prompt == name])
        words = {"tags": prompt.tags, "lyrics": prompt.lyrics}
        told += [words | asdict(pair) for pair in mine]
        for song in sorted({song for pair in mine for song in (pair.chosen, pair.rejected)}):
            codes.append(load_file(codes_file(out / "songs", song))["codes"])
            lines.append({"id": song, **words, "frames": codes[-1].shape[1]})
        pairs += mine
    write_lines(out / "pairs.jsonl", told)
    if codes:
        write(out / "codes", lines, codes)
    return pairs


def write_lines(path: Path, rows: Sequence[dict]) -> None:
    """A file of JSON lines, which appears when it is whole."""
    draft = path.with_name(f".{path.name}")
    draft.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    draft.replace(path)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="nano", help="nano (default), a folder or a hub id")
    parser.add_argument("--version", help="which HeartMuLa-oss-NAME of the folder")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: auto)")
    parser.add_argument("--prompts", type=int, default=256, help="how many (default 256)")
    parser.add_argument("--each", type=int, default=4, help="songs to each (default 4)")
    parser.add_argument(
        "--length", type=float, default=60.0, help="longest song in seconds (default 60)"
    )
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="of the first prompt")
    parser.add_argument("--jobs", type=int, default=1, help="songs at once, a process each")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    try:
        for name, least in (("prompts", 1), ("each", 2), ("jobs", 1), ("seed", 0), ("length", 10)):
            if getattr(args, name) < least:
                raise UsageError(f"--{name} is {getattr(args, name)}; it must be at least {least}")
        return run(args)
    except HeartlibError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
