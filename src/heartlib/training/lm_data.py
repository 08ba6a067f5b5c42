"""Songs as the language model's recipe reads them: a Codes folder in, padded batches out.

A Codes folder holds songs.jsonl, lines {"id", "tags", "lyrics", "offset", "frames"}, and
codes.safetensors with "codes", int16 [K, total frames]. A line may also have "words", [[start, end,
word], …]: when each word of the lyrics is sung, in seconds; without the words, these are what spaces part. And it may have "clips",
[first, count]: rows of "styles", float16 [total clips, E], in codes.safetensors, embeddings of stretches of the song.
Legend: B songs, S positions, T frames of a song, K codebooks, N predicted frames of a batch, C clips, E muq_dim.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors.numpy import load_file
from tokenizers import Encoding, Tokenizer
from torch import Tensor

from heartlib.errors import HeartlibError
from heartlib.heartmula.configuration_heartmula import FRAME_MS, GenConfig
from heartlib.heartmula.prompt import bracket

LENGTH_STEP = 64  # batches are padded to multiples of this, so that few shapes occur
PREDICTED_SHARE = 0.75  # of the positions, the frames to predict in a batch of fixed size
MARKER = re.compile(r"^\[.*\]$", re.MULTILINE)
Item = TypeVar("Item")


@dataclass(frozen=True)
class Song:
    """One song: its tags' token ids one by one, its lyrics' ids, its frames with the end frame.

    `sung` says for each frame which of the lyrics' ids is sung in it, −1 where none or not known; `styles` are
    the embeddings of its clips, None where there are none.
    """

    id: str
    tags: tuple[tuple[int, ...], ...]
    lyrics: tuple[int, ...]
    frames: np.ndarray  # [T + 1, K]
    sung: np.ndarray  # int32 [T + 1]
    styles: np.ndarray | None = None  # float32 [C, E]

    @property
    def positions(self) -> int:
        """An upper bound of its positions in a batch; the end frame is never an input."""
        text = sum(len(tag) + 1 for tag in self.tags) + len(self.lyrics)
        return text + 4 + len(self.frames)


@dataclass(frozen=True)
class Batch:
    """Songs padded on the right, and what is to be predicted from them."""

    tokens: Tensor  # int32 [B, S, K+1]
    mask: Tensor  # bool [B, S, K+1]
    style_at: Tensor  # int64 [B]: the reference slot
    unconditional: Tensor  # bool [B]
    at: Tensor  # int64 [N]: flat positions with a next frame
    frames: Tensor  # int64 [N, K]: the next frames
    depth: Tensor  # int64 [M]: which of the N the depth decoder learns from
    sung: Tensor  # int64 [N]: the position in its row of the token sung in the next frame, or −1
    prompt: int  # positions of the longest prompt, or more
    style: Tensor | None = None  # float32 [B, E]: of a reference, zeros where there is none

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Its tensors by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}

    def to(self, device: torch.device) -> Batch:
        """The batch on `device`; the copy of a pinned one to a CUDA device does not hold up the host."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> Batch:
        """The batch in host memory that a CUDA device can fetch by itself."""
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        changed: dict[str, Any] = {name: change(value) for name, value in self.tensors.items()}
        return replace(self, **changed)


def sung_tokens(entry: dict[str, Any], lyrics: str, encoding: Encoding) -> np.ndarray:
    """Which of the bracketed ids of `lyrics` is sung in each frame: int32 [T + 1], −1 for none.

    entry: a song's line of songs.jsonl; encoding: that of `lyrics`. The tokens of a word share its
    time evenly. `HeartlibError` where the line has not as many "words" as the lyrics.
    """
    sung = np.full(entry["frames"] + 1, -1, dtype=np.int32)
    if "words" not in entry:
        return sung
    spans = word_spans(entry, lyrics)
    first, last = np.array(encoding.offsets).reshape(-1, 2).T  # characters of each token
    middle = (np.arange(entry["frames"]) + 0.5) * FRAME_MS / 1000  # seconds
    for (left, right), (start, end, *_) in zip(spans, entry["words"], strict=True):
        tokens = 1 + np.flatnonzero((first < right) & (last > left))  # BOS is before them
        frames = np.flatnonzero((middle >= start) & (middle < end))
        passed = (middle[frames] - start) / (end - start) * len(tokens)
        sung[frames] = tokens[np.minimum(passed.astype(int), len(tokens) - 1)]
    return sung


def word_spans(entry: dict[str, Any], lyrics: str) -> list[tuple[int, int]]:
    """Where the words of `entry` stand in `lyrics`: first character and the one behind, in order.

    `HeartlibError` where they are not all there.
    """
    sung = MARKER.sub(lambda match: " " * len(match[0]), lyrics)
    if not all(len(word) == 3 for word in entry["words"]):
        spans = [match.span() for match in re.finditer(r"\S+", sung)]
        if len(spans) != len(entry["words"]):
            raise HeartlibError(
                f"song {entry['id']} has {len(spans)} words in its lyrics, but times of "
                f"{len(entry['words'])}; encode its corpus again"
            )
        return spans
    spans, here = list[tuple[int, int]](), 0
    for *_, word in entry["words"]:
        at = sung.find(word, here)
        if at < 0:
            raise HeartlibError(
                f"song {entry['id']} sings {word!r}, which is not in its lyrics behind what is sung "
                "before; encode its corpus again"
            )
        here = at + len(word)
        spans.append((at, here))
    return spans


def read_songs(
    folder: Path, tokenizer: Tokenizer, gen_config: GenConfig, codebooks: int
) -> list[Song]:
    """All songs of a Codes folder. `HeartlibError` where a file is missing or does not fit."""
    for name in ("songs.jsonl", "codes.safetensors"):
        if not (folder / name).is_file():
            raise HeartlibError(f"{name} is missing in {folder}; it must be a Codes folder")
    tensors = load_file(folder / "codes.safetensors")
    codes, styles = tensors["codes"].T, tensors.get("styles")  # [total, K], [total clips, E]
    if codes.shape[1] != codebooks:
        raise HeartlibError(f"{folder} has {codes.shape[1]} codebooks, the recipe {codebooks}")
    if codes.min() < 0 or codes.max() >= gen_config.audio_eos_id - 1:
        raise HeartlibError(
            f"{folder} has codes {codes.min()}…{codes.max()}; "
            f"allowed with audio_eos_id {gen_config.audio_eos_id}: 0…{gen_config.audio_eos_id - 2}"
        )
    end = np.full((1, codebooks), gen_config.audio_eos_id, dtype=np.int32)
    songs = []
    with open(folder / "songs.jsonl", encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            start, count = entry["offset"], entry["frames"]
            if count < 1 or start < 0 or start + count > len(codes):
                raise HeartlibError(
                    f"song {entry['id']} has frames {start}…{start + count}, "
                    f"codes.safetensors {len(codes)}"
                )
            clips = None
            if styles is not None and "clips" in entry:
                first, rows = entry["clips"]
                if first < 0 or rows < 1 or first + rows > len(styles):
                    raise HeartlibError(
                        f"song {entry['id']} has clips {first}…{first + rows}, "
                        f"codes.safetensors {len(styles)}"
                    )
                clips = styles[first : first + rows].astype(np.float32)
            names = [tag.strip() for tag in entry["tags"].lower().split(",")]
            lyrics = entry["lyrics"].strip().lower()
            encoding = tokenizer.encode(lyrics)
            songs.append(
                Song(
                    id=entry["id"],
                    tags=tuple(tuple(tokenizer.encode(tag).ids) for tag in names if tag),
                    lyrics=tuple(bracket(encoding.ids, gen_config)),
                    frames=np.concatenate((codes[start : start + count].astype(np.int32), end)),
                    sung=sung_tokens(entry, lyrics, encoding),
                    styles=clips,
                )
            )
    if not songs:
        raise HeartlibError(f"songs.jsonl in {folder} is empty")
    return songs


def padded(positions: int) -> int:
    """The length of a row that holds so many positions."""
    return -(-positions // LENGTH_STEP) * LENGTH_STEP


def plan_epoch(
    songs: Sequence[Song], budget: int, rng: np.random.Generator, *, full: bool = False
) -> list[np.ndarray]:
    """One pass over the songs in batches of like lengths, each at most `budget` padded positions.

    Returns arrays of song indices; a song longer than the budget is a batch of its own. With `full`
    the few batches with room for more rows are filled up with songs that are no longer.
    """
    lengths = np.array([song.positions for song in songs])
    order = np.argsort(lengths * rng.uniform(0.9, 1.1, len(songs)))
    batches: list[np.ndarray] = []
    first = longest = 0  # of the current batch
    for place, index in enumerate([*order, None]):
        grown = longest if index is None else max(longest, int(lengths[index]))
        if index is None or (place > first and padded(grown) * (place - first + 1) > budget):
            batches.append(order[first:place])
            first, grown = place, 0 if index is None else int(lengths[index])
        longest = grown
    rng.shuffle(batches)
    if not full:
        return batches
    filled = []
    for chosen in batches:
        longest = int(lengths[chosen].max())
        room = max(0, budget // padded(longest) - len(chosen))
        filled.append(np.append(chosen, rng.choice(np.flatnonzero(lengths <= longest), room)))
    return filled


def ahead(items: Iterator[Item]) -> Generator[Item]:
    """The same endless items, each made by a thread while the one before is in use."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items)
        while True:
            item = coming.result()
            coming = thread.submit(next, items)
            yield item


class Collator:
    """Builds batches: joins prompts and frames, drops tags and whole conditions at random.

    `frame_noise`: at most this share of a song's input codes is replaced by random ones (how much
    differs from song to song), so that the model neither learns songs by heart nor loses its place
    when, singing freely, it has sung a wrong code. What it must predict stays true.
    `reference_share`: of the songs that have styles, how many are told one, the mean of some clips that follow one
    another; `tagless_share`: of these, how many are told no tags, and the others a random share of theirs.
    `fixed_size`: batches of as many rows of one length have the same shapes, for CUDA graphs; the
    frames to predict are drawn, so that some are left out or counted twice.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        gen_config: GenConfig,
        *,
        condition_dropout: float,
        tag_dropout: float,
        depth_share: float,
        frame_noise: float = 0.0,
        fixed_size: bool = False,
        reference_share: float = 0.0,
        tagless_share: float = 0.5,
    ) -> None:
        self.gen_config = gen_config
        self.condition_dropout = condition_dropout
        self.tag_dropout = tag_dropout
        self.depth_share = depth_share
        self.frame_noise = frame_noise
        self.fixed_size = fixed_size
        self.reference_share, self.tagless_share = reference_share, tagless_share
        self.comma = tokenizer.encode(",").ids
        self.open_tags = tokenizer.encode("<tag>").ids
        self.close_tags = tokenizer.encode("</tag>").ids

    def tag_ids(self, tags: Sequence[Sequence[int]]) -> list[int]:
        """The prompt's ids for these tags: BOS <tag> a , b </tag> EOS."""
        ids = list(self.open_tags)
        for number, tag in enumerate(tags):
            ids += [*(self.comma if number else ()), *tag]
        return bracket([*ids, *self.close_tags], self.gen_config)

    def with_noise(self, frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Frames [T, K] as the model might have sung them: some codes wrong."""
        if not self.frame_noise:
            return frames
        wrong = rng.random(frames.shape) < rng.random() * self.frame_noise
        others = rng.integers(0, self.gen_config.audio_eos_id - 1, frames.shape, dtype=frames.dtype)
        return np.where(wrong, others, frames)

    def style(self, song: Song, rng: np.random.Generator) -> np.ndarray | None:
        """A unit vector [E] of some clips of a song, zeros for none; None where it has no styles, or none is asked for."""
        if song.styles is None or not self.reference_share:
            return None
        if rng.random() >= self.reference_share:
            return np.zeros_like(song.styles[0])
        first = rng.integers(len(song.styles))
        mean = song.styles[first : rng.integers(first, len(song.styles)) + 1].mean(0)
        return mean / np.linalg.norm(mean)

    def __call__(self, songs: Sequence[Song], rng: np.random.Generator) -> Batch:
        """A batch of these songs on the CPU; `rng` decides what is dropped."""
        prompts, slots, styles = [], [], [self.style(song, rng) for song in songs]
        for song, style in zip(songs, styles, strict=True):
            dropped = self.tag_dropout
            if style is not None and style.any():
                dropped = 1.0 if rng.random() < self.tagless_share else rng.random()
            kept = [tag for tag in song.tags if rng.random() >= dropped]
            tag_ids = self.tag_ids(kept)
            slots.append(len(tag_ids))
            prompts.append([*tag_ids, self.gen_config.empty_id, *song.lyrics])
        codebooks = songs[0].frames.shape[1]
        if self.fixed_size:  # whatever tags are dropped
            length = padded(max(song.positions for song in songs))
        else:
            length = padded(
                max(len(p) + len(s.frames) - 1 for p, s in zip(prompts, songs, strict=True))
            )
        shape = (len(songs), length, codebooks + 1)
        tokens, mask = np.zeros(shape, np.int32), np.zeros(shape, bool)
        at = []
        for row, (prompt, song) in enumerate(zip(prompts, songs, strict=True)):
            start, count = len(prompt), len(song.frames)
            noisy = self.with_noise(song.frames[:-1], rng)
            tokens[row, :start, codebooks] = prompt
            mask[row, :start, codebooks] = True
            tokens[row, start : start + count - 1, :codebooks] = noisy
            mask[row, start : start + count - 1, :codebooks] = True
            at.append(row * length + np.arange(start - 1, start - 1 + count))
        unconditional = rng.random(len(songs)) < self.condition_dropout
        sung = np.concatenate(
            [
                np.where((song.sung < 0) | dropped, -1, song.sung + slot + 1)
                for song, slot, dropped in zip(songs, slots, unconditional, strict=True)
            ]
        )
        at, targets = np.concatenate(at), np.concatenate([song.frames for song in songs])
        prompt = max(map(len, prompts))
        if self.fixed_size:
            drawn = draw(len(at), round(PREDICTED_SHARE * len(songs) * length), rng)
            at, targets, sung = at[drawn], targets[drawn], sung[drawn]
            prompt = min(padded(prompt), length)
        depth = draw(len(at), max(1, round(len(at) * self.depth_share)), rng)
        return Batch(
            torch.from_numpy(tokens),
            torch.from_numpy(mask),
            torch.tensor(slots),
            torch.from_numpy(unconditional),
            torch.from_numpy(at),
            torch.from_numpy(targets.astype(np.int64)),
            torch.from_numpy(depth),
            torch.from_numpy(sung.astype(np.int64)),
            prompt,
            stacked(styles),
        )


def stacked(styles: Sequence[np.ndarray | None]) -> Tensor | None:
    """The styles of a batch, [B, E], zeros where there is none; None where there is none at all."""
    some = next((style for style in styles if style is not None), None)
    if some is None:
        return None
    rows = [np.zeros_like(some) if style is None else style for style in styles]
    return torch.from_numpy(np.stack(rows))


def draw(count: int, wanted: int, rng: np.random.Generator) -> np.ndarray:
    """So many of 0…count − 1 in order, each at most once or, where more are wanted, all and some again."""
    chosen = rng.permutation(count)[:wanted]
    return np.sort(np.append(chosen, rng.integers(count, size=wanted - len(chosen))))
