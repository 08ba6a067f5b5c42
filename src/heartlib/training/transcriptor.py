"""Train HeartTranscriptor-nano, a small Whisper that writes down what is sung.

    python -m heartlib.training.transcriptor --data CORPUS --tokenizer tokenizer.json --out DIR --minutes 8

Its encoder learns along which phoneme is sung in every frame, by a head that is left behind: the corpus
knows, and Whisper's own loss finds the alignment late. Crops are warped in time and pitch, tilted and
masked, so that few voices make many. Writes DIR/HeartTranscriptor-oss, DIR/log.jsonl and DIR/state.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import fields
from itertools import count
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import AddedToken, Tokenizer
from torch import Tensor, nn

from heartlib.corpus.lexicon import LANGUAGES
from heartlib.errors import HeartlibError
from heartlib.training.listener_run import Run
from heartlib.training.lm_data import ahead
from heartlib.training.loop import autocast
from heartlib.training.transcriptor_corpus import Corpus, Following
from heartlib.training.transcriptor_data import (
    MELS,
    N_FFT,
    RATE,
    WINDOW,
    Crops,
    Cutter,
)
from heartlib.training.transcriptor_hearing import Heard, hear
from heartlib.training.transcriptor_recipe import TranscriptorRecipe

START, TASK, PLAIN, END = (
    "<|startoftranscript|>",
    "<|transcribe|>",
    "<|notimestamps|>",
    "<|endoftext|>",
)
MARKS = {language: f"<|{language}|>" for language in LANGUAGES}
PREFIX = 4  # marks before the text
STEPS_A_LOOK = 100  # for new songs


def whisper_tokenizer(words: Tokenizer) -> Tokenizer:
    """The lyrics' tokenizer with Whisper's marks behind its ids."""
    tokenizer = Tokenizer.from_str(words.to_str())
    tokenizer.add_special_tokens(
        [AddedToken(mark, special=True) for mark in (END, START, *MARKS.values(), TASK, PLAIN)]
    )
    return tokenizer


def build(recipe: TranscriptorRecipe, tokenizer: Tokenizer) -> nn.Module:
    """A new WhisperForConditionalGeneration. HeartlibError without transformers."""
    try:
        from transformers import WhisperConfig, WhisperForConditionalGeneration
    except ImportError as error:
        raise HeartlibError(
            "the transcriptor needs transformers: pip install 'heartlib[transcribe]'"
        ) from error
    number: dict[str, int] = tokenizer.get_vocab()
    config = WhisperConfig(
        vocab_size=tokenizer.get_vocab_size(),
        num_mel_bins=MELS,
        d_model=recipe.width,
        encoder_layers=recipe.encoder_layers,
        decoder_layers=recipe.decoder_layers,
        encoder_attention_heads=recipe.heads,
        decoder_attention_heads=recipe.heads,
        encoder_ffn_dim=4 * recipe.width,
        decoder_ffn_dim=4 * recipe.width,
        max_source_positions=WINDOW // 2,
        max_target_positions=2 * recipe.most_tokens,
        dropout=recipe.dropout,
        pad_token_id=number[END],
        bos_token_id=number[END],
        eos_token_id=number[END],
        decoder_start_token_id=number[START],
        suppress_tokens=[],
        begin_suppress_tokens=[],
    )
    return WhisperForConditionalGeneration(config)


def mel_filters(device: torch.device) -> Tensor:
    """Whisper's filters [201, 80]."""
    from transformers import WhisperFeatureExtractor

    filters = WhisperFeatureExtractor(MELS, RATE, n_fft=N_FFT).mel_filters
    return torch.from_numpy(np.asarray(filters)).float().to(device)


class Listener(nn.Module):
    """The transcriptor in training, with the head that names phonemes."""

    def __init__(self, recipe: TranscriptorRecipe, tokenizer: Tokenizer, phonemes: int) -> None:
        super().__init__()
        self.whisper = build(recipe, tokenizer)
        self.phonemes = nn.Linear(recipe.width, phonemes)
        self.text_ids: int = tokenizer.get_vocab()[END]  # the ids below are text

    def forward(self, mel: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """mel [B, 80, W], tokens [B, L] → logits of the next tokens [B, L, V], of phonemes [B, W/2, P]."""
        found = self.whisper(input_features=mel, decoder_input_ids=tokens, use_cache=False)
        return found.logits, self.phonemes(found.encoder_last_hidden_state)


def losses(model: Listener, heard: Heard, noise: float = 0.0) -> tuple[Tensor, dict[str, Tensor]]:
    """Losses of text and phonemes [2], and how often each is right; `noise` of the tokens are wrong."""
    tokens, wanted = heard.tokens[:, :-1].clamp_min(0), heard.tokens[:, 1:]
    if noise:
        wrong = torch.rand(tokens.shape, device=tokens.device) < noise
        wrong[:, :PREFIX] = False
        tokens = torch.where(wrong, torch.randint_like(tokens, model.text_ids), tokens)
    text, phonemes = model(heard.mel, tokens)
    loss = torch.stack(
        [
            F.cross_entropy(text.float().transpose(1, 2), wanted, ignore_index=-100),
            F.cross_entropy(phonemes.float().transpose(1, 2), heard.phonemes, ignore_index=-100),
        ]
    )
    told, sung = wanted >= 0, heard.phonemes > 0
    right = {
        "tokens": (text.argmax(-1) == wanted)[told].float().mean(),
        "phonemes": (phonemes.argmax(-1) == heard.phonemes)[sung].float().mean(),
    }
    return loss, right


def train(
    data: Sequence[Path],
    tokenizer_file: Path,
    out: Path,
    recipe: TranscriptorRecipe,
    *,
    lot: float | None = None,
    device: torch.device,
    follow: float = 0.0,
) -> dict[str, float]:
    """Trains until the schedule, the lot or Ctrl-C ends it; resumes from OUT/state; last figures.

    `follow`: begin while the corpora are being made and take up to so many hours of them as they come.
    """
    torch.manual_seed(recipe.seed)
    tokenizer = whisper_tokenizer(Tokenizer.from_file(str(tokenizer_file)))
    number: dict[str, int] = tokenizer.get_vocab()
    prefixes = {
        language: tuple(number[m] for m in (START, mark, TASK, PLAIN))
        for language, mark in MARKS.items()
    }
    filters, known = mel_filters(device), out / "phonemes.json"
    symbols = json.loads(known.read_text("utf-8")) if known.is_file() else None
    corpus: Corpus | Following
    if follow:
        corpus = Following(data, symbols, tokenizer, filters, recipe.held_out, follow)
    else:
        corpus = Corpus.load(data, symbols, tokenizer, filters, recipe.held_out)
    out.mkdir(parents=True, exist_ok=True)
    known.write_text(json.dumps(corpus.symbols, ensure_ascii=False) + "\n", "utf-8")
    model = Listener(recipe, tokenizer, len(corpus.symbols)).to(device)
    run = Run(model, recipe, out)
    weights = sum(p.numel() for p in model.whisper.parameters())
    songs = corpus.learned
    run.log(songs=len(songs.songs), hours=songs.hours, parameters=weights, step=run.step)
    draw = Cutter(prefixes, number[END], recipe.most_tokens, recipe.spliced)
    whole = Cutter(prefixes, number[END], recipe.most_tokens)

    def cuts() -> Iterator[Crops]:
        for step in count(run.step):
            yield draw(
                corpus.learned.songs, recipe.batch, np.random.default_rng([recipe.seed, step])
            )

    @torch.inference_mode()
    def measure() -> dict[str, float]:
        model.eval()
        totals = torch.zeros(4, device=device)
        for seed in range(4):
            crops = whole(corpus.held.songs, recipe.batch, np.random.default_rng(seed))
            with autocast(device):
                loss, right = losses(model, hear(corpus.held, crops, None))
            totals += torch.cat((loss, torch.stack([*right.values()]))) / 4
        model.train()
        names = ("held_loss", "held_phoneme_loss", "held_tokens", "held_phonemes")
        return dict(zip(names, totals.tolist(), strict=True))

    def learn(_: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        if run.step % STEPS_A_LOOK == 0:
            corpus.grow()
        heard = hear(corpus.learned, next(drawn), recipe)
        with autocast(device):
            loss, right = losses(model, heard, recipe.token_noise)
        total = loss[0] + recipe.phoneme_weight * loss[1]
        found = {"loss": loss[0].detach(), "phoneme_loss": loss[1].detach(), **right}
        return total, found | {"hours": torch.tensor(corpus.learned.hours)}

    def keep(mean: nn.Module) -> None:
        write(cast(Listener, mean), tokenizer, out / "HeartTranscriptor-oss")

    with closing(ahead(cuts())) as drawn:
        figures = run.train(learn, measure, lot, keep)
    corpus.close()
    return figures


def write(model: Listener, tokenizer: Tokenizer, folder: Path) -> None:
    """A checkpoint folder as transformers reads it, in bfloat16."""
    from transformers import GenerationConfig, WhisperFeatureExtractor, WhisperTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    number: dict[str, int] = tokenizer.get_vocab()
    whisper: Any = model.whisper
    config = whisper.config
    whisper.generation_config = GenerationConfig(
        bos_token_id=number[END],
        eos_token_id=number[END],
        pad_token_id=number[END],
        decoder_start_token_id=number[START],
        is_multilingual=True,
        lang_to_id={mark: number[mark] for mark in MARKS.values()},
        task_to_id={"transcribe": number[TASK]},
        no_timestamps_token_id=number[PLAIN],
        max_length=config.max_target_positions,
    )
    whisper.to(torch.bfloat16).save_pretrained(folder)
    whisper.float()
    tokenizer.save(str(folder / "tokenizer.json"))
    WhisperTokenizer(
        tokenizer_object=tokenizer, bos_token=END, eos_token=END, unk_token=END, pad_token=END
    ).save_pretrained(folder)
    WhisperFeatureExtractor(MELS, RATE, n_fft=N_FFT).save_pretrained(folder)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the recipe: a flag for every field of `TranscriptorRecipe`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="corpus folders")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.json")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--lot", type=float, help="stop after so many minutes; run again to go on")
    parser.add_argument(
        "--follow",
        type=float,
        default=0.0,
        metavar="HOURS",
        help="begin while the corpus is being made; take so many hours of it as they come",
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    for field in fields(TranscriptorRecipe):
        flag = f"--{field.name.replace('_', '-')}"
        parser.add_argument(flag, type=type(field.default), default=field.default)
    given = parser.parse_args(arguments)
    values = {field.name: getattr(given, field.name) for field in fields(TranscriptorRecipe)}
    recipe, device = TranscriptorRecipe(**values), torch.device(given.device)
    train(
        given.data,
        given.tokenizer,
        given.out,
        recipe,
        lot=given.lot,
        device=device,
        follow=given.follow,
    )


if __name__ == "__main__":
    main()
