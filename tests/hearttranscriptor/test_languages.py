"""A tiny random Whisper that knows two languages."""

from pathlib import Path

import numpy as np
import pytest
import torch

from heartlib.errors import UsageError
from heartlib.training.tokenizer import train_tokenizer

transformers = pytest.importorskip("transformers")

from heartlib.hearttranscriptor import HeartTranscriptor  # noqa: E402
from heartlib.training.transcriptor import Listener, whisper_tokenizer, write  # noqa: E402
from heartlib.training.transcriptor_recipe import TranscriptorRecipe  # noqa: E402

TINY = TranscriptorRecipe(
    width=32, heads=2, encoder_layers=1, decoder_layers=1, dropout=0.0, most_tokens=24
)


@pytest.fixture(scope="module")
def transcriptor(tmp_path_factory: pytest.TempPathFactory) -> HeartTranscriptor:
    torch.manual_seed(0)
    folder: Path = tmp_path_factory.mktemp("whisper")
    tokenizer = whisper_tokenizer(train_tokenizer(["low middle high"] * 3))
    write(Listener(TINY, tokenizer, 4), tokenizer, folder)
    found = HeartTranscriptor.from_pretrained(folder)
    marks = found.model.generation_config.lang_to_id
    found.model.generation_config.lang_to_id = {"<|ko|>": 5, **marks}
    return found


def test_the_language_is_the_second_mark(
    transcriptor: HeartTranscriptor, monkeypatch: pytest.MonkeyPatch
):
    asked: list[int] = []
    decode = transcriptor.model.model.decoder.forward

    def watched(input_ids: torch.Tensor | None = None, **rest: object):
        if input_ids is not None and input_ids.shape[1] > 1:
            asked.append(int(input_ids[0, 1]))
        return decode(input_ids=input_ids, **rest)

    monkeypatch.setattr(transcriptor.model.model.decoder, "forward", watched)
    assert {"en", "ko"} <= set(transcriptor.languages)
    wave = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    for language, mark in (("en", "<|en|>"), ("ko", "<|ko|>")):
        asked.clear()
        transcriptor.transcribe(wave, language=language, max_new_tokens=4)
        assert asked[0] == transcriptor.model.generation_config.lang_to_id[mark]


def test_a_language_that_it_was_not_taught(transcriptor: HeartTranscriptor):
    with pytest.raises(UsageError, match=r"this HeartTranscriptor knows .*en.*, not 'fr'"):
        transcriptor.transcribe(np.zeros(800, np.float32), language="fr")
