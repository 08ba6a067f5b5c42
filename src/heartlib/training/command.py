"""`heartlib train MODEL`: which module trains what, and its command line. Importing this is cheap."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, get_type_hints

MODELS = {
    "codec": ("sq_codec", "scalar codec: waveform to latents and back"),
    "codebooks": ("rvq", "encoder and codebooks: sound to codes"),
    "flow": ("flow", "flow matching: codes to latents"),
    "decoder": ("refine", "the scalar codec's decoder, on latents that the flow samples"),
    "lm": ("lm", "language model: tags and lyrics to codes"),
    "dpo": ("dpo", "language model: from pairs of songs, the better one of each"),
    "transcriptor": ("transcriptor", "singing to words"),
    "clap": ("clap", "songs and descriptions in one space"),
}


def main(model: str, arguments: Sequence[str]) -> int:
    """Trains `model` as the command line says; 0. HeartlibError where that is not possible."""
    from heartlib.training.settings import parse

    module: Any = import_module(f"heartlib.training.{MODELS[model][0]}")
    kinds = get_type_hints(module.train)
    recipe, options = parse(
        model, kinds["recipe"], kinds["options"], arguments, description=module.__doc__
    )
    module.train(recipe, options)
    return 0
