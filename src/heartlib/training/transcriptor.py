"""Train HeartTranscriptor, a Whisper that writes down what is sung.

    heartlib train transcriptor --data heard --tokenizer tokenizer.json --out runs/transcriptor --minutes 8
    heartlib train transcriptor --data heard --tokenizer tokenizer.json --out runs/more --init runs/transcriptor/HeartTranscriptor-oss

Its encoder learns along which phoneme is sung in every frame, by a head that is left behind: the corpus
knows, and Whisper's own loss finds the alignment late. Crops are warped in time and pitch, tilted and
masked, so that few voices make many. Writes into --out HeartTranscriptor-oss,
log.jsonl, tensorboard and state.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import AddedToken, Tokenizer
from torch import Tensor, nn

from heartlib.corpus.lexicon import LANGUAGES
from heartlib.errors import HeartlibError, UsageError
from heartlib.training.lm_data import ahead
from heartlib.training.loop import EMA, adamw, autocast
from heartlib.training.run import Run
from heartlib.training.tokenizer import read_tokenizer
from heartlib.training.transcriptor_corpus import Corpus, Following
from heartlib.training.transcriptor_data import (
    MELS,
    N_FFT,
    RATE,
    WINDOW,
    Crops,
    Cutter,
    Recordings,
)
from heartlib.training.transcriptor_hearing import Heard, hear, noise_mel
from heartlib.training.transcriptor_recipe import TranscriptorOptions, TranscriptorRecipe

START, TASK, PLAIN, END = (
    "<|startoftranscript|>",
    "<|transcribe|>",
    "<|notimestamps|>",
    "<|endoftext|>",
)
MARKS = {language: f"<|{language}|>" for language in LANGUAGES}
PREFIX = 4  # marks before the text
STEPS_A_LOOK = 30  # for new songs


def whisper_tokenizer(words: Tokenizer) -> Tokenizer:
    """The lyrics' tokenizer with Whisper's marks behind its ids."""
    tokenizer = Tokenizer.from_str(words.to_str())
    tokenizer.add_special_tokens(
        [AddedToken(mark, special=True) for mark in (END, START, *MARKS.values(), TASK, PLAIN)]
    )
    return tokenizer


def whisper_config(recipe: TranscriptorRecipe, vocab_size: int, **marks: Any) -> Any:
    """The shape as transformers has it; `marks`: its token ids. HeartlibError without transformers."""
    try:
        from transformers import WhisperConfig
    except ImportError as error:
        raise HeartlibError(
            "the transcriptor needs transformers: pip install 'heartlib[transcribe]'"
        ) from error
    return WhisperConfig(
        vocab_size=vocab_size,
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
        suppress_tokens=[],
        begin_suppress_tokens=[],
        **marks,
    )


def build(recipe: TranscriptorRecipe, tokenizer: Tokenizer) -> nn.Module:
    """A new WhisperForConditionalGeneration."""
    number: dict[str, int] = tokenizer.get_vocab()
    config = whisper_config(
        recipe,
        tokenizer.get_vocab_size(),
        pad_token_id=number[END],
        bos_token_id=number[END],
        eos_token_id=number[END],
        decoder_start_token_id=number[START],
    )
    from transformers import WhisperForConditionalGeneration

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
    right = {
        "tokens": share(text.argmax(-1) == wanted, wanted >= 0),
        "phonemes": share(phonemes.argmax(-1) == heard.phonemes, heard.phonemes > 0),
    }
    return loss, right


def share(right: Tensor, counted: Tensor) -> Tensor:
    """How many of those that count are right, 0 … 1."""
    return (right & counted).sum() / counted.sum().clamp_min(1)


def begin_with(model: Listener, folder: Path) -> None:
    """Takes the weights of a trained transcriptor; UsageError where it has another shape or vocabulary."""
    from heartlib.hearttranscriptor import HeartTranscriptor

    trained: Any = HeartTranscriptor.from_pretrained(folder).model
    try:
        model.whisper.load_state_dict(trained.state_dict())
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise UsageError(f"{folder} has another shape than the recipe: {reason}") from error


def train(recipe: TranscriptorRecipe, options: TranscriptorOptions) -> dict[str, float]:
    """Trains until the schedule, the lot or Ctrl-C ends it; resumes from OUT/state; last figures."""
    run, out = Run("transcriptor", recipe, options), options.out
    device, workers = run.device, run.workers
    tokenizer = whisper_tokenizer(read_tokenizer(options.tokenizer))
    number: dict[str, int] = tokenizer.get_vocab()
    prefixes = {
        language: tuple(number[m] for m in (START, mark, TASK, PLAIN))
        for language, mark in MARKS.items()
    }
    filters, hours = mel_filters(device), options.follow
    workers.alone(hours, "--follow")

    def read(known: list[str] | None) -> Corpus | Following:
        data, held_out = options.data, recipe.held_out
        if hours:
            return Following(data, known, tokenizer, filters, held_out, hours)
        return Corpus.load(data, known, tokenizer, filters, held_out)

    corpus = run.symbols(read)
    torch.manual_seed(recipe.seed)
    noise = noise_mel(filters)
    model = Listener(recipe, tokenizer, len(corpus.symbols))
    if options.init and not run.begun:
        begin_with(model, options.init)
    model.to(device).train()
    ema = EMA(model, recipe.ema_decay).to(device)
    optimizer = adamw(
        model.parameters(), recipe.peak_lr, (0.9, 0.98), recipe.weight_decay, run.graphed
    )
    descend = run.descent("adamw", optimizer, model)
    run.modules |= {"model": model, "ema": ema}
    run.resume()
    weights, songs = sum(p.numel() for p in model.whisper.parameters()), corpus.learned
    run.start_log(songs=len(songs.songs), hours=songs.hours, parameters=weights, begins_at=run.step)
    draw = Cutter(prefixes, number[END], recipe.most_tokens, recipe.spliced)
    whole = Cutter(prefixes, number[END], recipe.most_tokens)

    def cuts() -> Iterator[Crops]:
        for step in count(run.step):
            for part in range(recipe.accumulate):
                rng = np.random.default_rng([recipe.seed, step, part, workers.rank])
                yield draw(corpus.learned.songs, recipe.batch, rng)

    def one_step(part: int, mel: Tensor, phonemes: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        with autocast(device):
            loss, right = losses(model, Heard(mel, phonemes, tokens), recipe.token_noise)
        total = loss[0] + recipe.phoneme_weight * loss[1]
        norm = descend(total, part)
        if part == recipe.accumulate - 1:
            ema.update(model)
        found = {"loss": total.detach(), "norm": norm, "text_loss": loss[0].detach()}
        return found | {"phoneme_loss": loss[1].detach(), **right}

    graphed = run.graph(one_step)

    def learn(part: int) -> dict[str, Tensor]:
        if run.step % STEPS_A_LOOK == 0:
            corpus.grow()
        heard = hear(corpus.learned, next(drawn), recipe, noise)
        found = graphed(part, mel=heard.mel, phonemes=heard.phonemes, tokens=heard.tokens)
        return found | {"hours": torch.tensor(corpus.learned.hours)}

    def look() -> dict[str, float]:
        with ema.in_place(model):
            model.eval()
            figures = measure(model, corpus.held, whole, recipe)
            write(model, tokenizer, out / "HeartTranscriptor-oss")
            model.train()
        return figures

    with closing(ahead(cuts())) as drawn:
        figures = run.train(learn, look)
    corpus.close()
    return figures


@torch.inference_mode()
def measure(
    model: Listener, held: Recordings, draw: Cutter, recipe: TranscriptorRecipe
) -> dict[str, float]:
    """Losses and how often each is right on crops of held-out songs, always the same ones."""
    device = held.mel.device
    totals = torch.zeros(4, device=device)
    for seed in range(4):
        crops = draw(held.songs, recipe.batch, np.random.default_rng(seed))
        with autocast(device):
            loss, right = losses(model, hear(held, crops))
        totals += torch.cat((loss, torch.stack([*right.values()]))) / 4
    names = ("held_loss", "held_phoneme_loss", "held_tokens", "held_phonemes")
    return dict(zip(names, totals.tolist(), strict=True))


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
        alignment_heads=[
            [config.decoder_layers - 1, head] for head in range(config.decoder_attention_heads)
        ],
        max_length=config.max_target_positions,
    )
    half = {name: x.to(torch.bfloat16) for name, x in whisper.state_dict().items()}
    del half["proj_out.weight"]  # is the embedding, which transformers knows
    whisper.save_pretrained(folder, state_dict=half)
    tokenizer.save(str(folder / "tokenizer.json"))
    WhisperTokenizer(
        tokenizer_object=tokenizer, bos_token=END, eos_token=END, unk_token=END, pad_token=END
    ).save_pretrained(folder)
    WhisperFeatureExtractor(MELS, RATE, n_fft=N_FFT).save_pretrained(folder)


if __name__ == "__main__":
    from heartlib.cli import main

    sys.exit(main(["train", "transcriptor", *sys.argv[1:]]))
