"""Trains tokenizer.json of the nano family from a corpus' lyrics and tags.

`python -m heartlib.training.tokenizer --data CORPUS_DIR --out tokenizer.json`

A byte-level BPE over lower-cased text: any text can be encoded, merges stay inside words, and a
word has the same tokens wherever it stands (each word is encoded with a space before it).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.trainers import BpeTrainer

from heartlib.errors import HeartlibError, UsageError

PAD_ID, BOS_ID, EOS_ID = 0, 1, 2
SECTIONS = ("intro", "verse", "prechorus", "chorus", "bridge", "outro", "instrumental")
SPECIAL = ("<pad>", "<bos>", "<eos>", "<tag>", "</tag>", *(f"[{name}]" for name in SECTIONS), "\n")


@dataclass(frozen=True)
class TokenizerRecipe:
    """What the tokenizer is trained to: its size, and how often a merged pair must occur."""

    vocab_size: int = 1024
    min_frequency: int = 2

    def __post_init__(self) -> None:
        smallest = len(SPECIAL) + 256
        if self.vocab_size < smallest:
            raise UsageError(
                f"vocab_size {self.vocab_size} is too small: {smallest} ids are special tokens and bytes"
            )


def train_tokenizer(texts: Iterable[str], recipe: TokenizerRecipe | None = None) -> Tokenizer:
    """A tokenizer with ids <pad> 0, <bos> 1, <eos> 2, then the markers of `SPECIAL`, then BPE."""
    recipe = recipe or TokenizerRecipe()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[ \t\r]+"), "removed"),
            pre_tokenizers.Split(Regex(r"[,.;:!?()\"…—-]"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=recipe.vocab_size,
        min_frequency=recipe.min_frequency,
        show_progress=False,
        special_tokens=[AddedToken(text, normalized=True, special=True) for text in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def read_tokenizer(file: Path) -> Tokenizer:
    """A tokenizer.json. HeartlibError where there is none, or something else."""
    if not file.is_file():
        raise HeartlibError(
            f"there is no tokenizer {file}: train one with heartlib.training.tokenizer"
        )
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises plain Exceptions
        raise HeartlibError(f"{file} is not a tokenizer.json: {error}") from error


def corpus_texts(folder: Path) -> Iterator[str]:
    """Lyrics and tags of every song in DIR/songs.jsonl, lower-cased as prompts are."""
    index = folder / "songs.jsonl"
    if not index.is_file():
        raise HeartlibError(f"songs.jsonl is missing in {folder}; write a corpus there first")
    with open(index, encoding="utf-8") as lines:
        for line in lines:
            song = json.loads(line)
            yield song["lyrics"].lower()
            yield song["tags"].lower()


def main() -> None:
    """Command line of the recipe."""
    parser = argparse.ArgumentParser(description="Train the nano tokenizer from a corpus.")
    parser.add_argument("--data", type=Path, required=True, help="folder with songs.jsonl")
    parser.add_argument("--out", type=Path, required=True, help="tokenizer.json to write")
    parser.add_argument("--vocab-size", type=int, default=TokenizerRecipe.vocab_size)
    parser.add_argument("--min-frequency", type=int, default=TokenizerRecipe.min_frequency)
    args = parser.parse_args()
    recipe = TokenizerRecipe(args.vocab_size, args.min_frequency)
    tokenizer = train_tokenizer(corpus_texts(args.data), recipe)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(args.out))
    print(f"{args.out}: {tokenizer.get_vocab_size()} ids")


if __name__ == "__main__":
    main()
