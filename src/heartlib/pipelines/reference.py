"""A recording to take after: its style, as the language model hears it.

E: muq_dim, n: samples.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from heartlib import audio
from heartlib.errors import CheckpointError, HeartlibError, UsageError
from heartlib.pipelines.inputs import known_tags

if TYPE_CHECKING:
    from heartlib.heartmula import HeartMuLaConfig

MUQ_MULAN = "OpenMuQ/MuQ-MuLan-large"
MUQ_RATE = 24_000
MUQ_SECONDS = 240
"""What MuQ-MuLan hears of a recording at most: it takes the whole of it at once."""
PLAYED = "instrumental"
"""A tag that no recording is told by: the words say whether somebody sings."""
SILENT = 1e-4
"""A recording whose samples are all lower, -80 dB, has no style."""


@dataclass(frozen=True)
class Reference:
    """The style of a recording, JSON-able by `asdict`.

    file: the recording's name; encoder: whose embedding it is; style: the embedding [E] as base64 of
    little-endian float16, so that a song's file can hold it; tags: of the model's, the nearest of each category, which are
    told where no others are ("" for a model that takes any). UsageError for what is not such a text.
    """

    file: str
    encoder: str
    style: str
    tags: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            if not isinstance(getattr(self, field.name), str):
                raise UsageError(
                    f"a reference's {field.name} is text, not {getattr(self, field.name)!r}"
                )
        try:
            data = base64.b64decode(self.style, validate=True)
        except binascii.Error:
            data = b""
        if not data or len(data) % 2 or not np.isfinite(np.frombuffer(data, "<f2")).all():
            raise UsageError("a reference's style is no embedding: give the recording again")

    @classmethod
    def of_embedding(cls, file: str, encoder: str, embedding: Tensor, tags: str = "") -> Reference:
        """From an embedding [E] of any device and dtype."""
        data = embedding.detach().float().cpu().numpy().astype("<f2").tobytes()
        return cls(file, encoder, base64.b64encode(data).decode("ascii"), tags)

    @property
    def embedding(self) -> Tensor:
        """float32 [E] on the CPU."""
        data = base64.b64decode(self.style)
        return torch.from_numpy(np.frombuffer(data, "<f2").astype(np.float32))


def reference_of(
    given: object, config: HeartMuLaConfig, root: Path, device: torch.device | str = "cpu"
) -> Reference | None:
    """What a song is to take after, as the model of `config` hears it; None for None.

    given: the path of a recording, a `Reference`, or one as a mapping. A recording is heard by HeartCLAP, of the
    family in `root` or nano's, or by MuQ-MuLan, as the model's style_encoder says. UsageError for anything else, for
    silence, and for a reference that was heard by another encoder; HeartlibError where the
    recording cannot be read or the encoder is not installed.
    """
    if given is None:
        return None
    if isinstance(given, str | Path):
        heard = _hear(Path(given), config, root, device)
    elif isinstance(given, Mapping):
        names = [field.name for field in fields(Reference)]
        if not set(names[:3]) <= set(given) <= set(names):
            raise UsageError(
                f"a reference has {', '.join(names)}, not {', '.join(map(str, given))}"
            )
        heard = Reference(**given)
    elif isinstance(given, Reference):
        heard = given
    else:
        raise UsageError(
            f"reference must be the path of a recording, not {type(given).__name__} {given!r:.80}"
        )
    size = len(heard.embedding)
    if heard.encoder != config.style_encoder or size != config.muq_dim:
        raise UsageError(
            f"the reference was heard by {heard.encoder} ({size} numbers), this model takes "
            f"{config.style_encoder} ({config.muq_dim}): give the recording itself"
        )
    return heard


def _hear(path: Path, config: HeartMuLaConfig, root: Path, device: torch.device | str) -> Reference:
    pieces, rate = audio.read_pieces(path)
    listen = _heartclap if config.style_encoder == "heartclap" else _muq_mulan
    try:
        embedding, tags = listen(_sounding(pieces), rate, root, device)
    except UsageError as error:
        raise UsageError(f"reference {path}: {error}") from error
    return Reference.of_embedding(path.name, config.style_encoder, embedding, tags)


def _sounding(pieces: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The same pieces; UsageError at the end of silence, and where a sample is no number."""
    peak = 0.0
    for piece in pieces:
        if not np.isfinite(piece).all():
            raise UsageError("it holds samples that are not finite")
        peak = max(peak, float(np.abs(piece).max(initial=0.0)))
        yield piece
    if peak < SILENT:
        raise UsageError("it is silent, so that there is no style to take after")


def _heartclap(
    pieces: Iterator[np.ndarray], rate: int, root: Path, device: torch.device | str
) -> tuple[Tensor, str]:
    from heartlib.heartclap import HeartCLAP
    from heartlib.heartclap.index import clap_folder

    own = (root / "HeartCLAP-oss").is_dir()
    clap = HeartCLAP.from_pretrained(clap_folder(root if own else "nano"), device)
    place = clap.embed_pieces(pieces, rate)
    nearest = []
    for tags in known_tags(root).values():
        told = [tag for tag in tags if tag != PLAYED]
        nearest.append(told[int((clap.embed_text(told) @ place).argmax())])
    return place, ",".join(nearest)


def _muq_mulan(
    pieces: Iterator[np.ndarray], rate: int, root: Path, device: torch.device | str
) -> tuple[Tensor, str]:
    if find_spec("muq") is None:
        raise HeartlibError(
            "a reference for this model is heard by MuQ-MuLan: pip install 'heartlib[reference]'"
        )
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        hf_hub_download(MUQ_MULAN, "config.json")
        hf_hub_download(MUQ_MULAN, "model.safetensors")
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"{MUQ_MULAN} could not be fetched as safetensors: {str(error).splitlines()[0]}"
        ) from error
    from muq import MuQMuLan  # pyright: ignore[reportMissingImports]

    model: Any = MuQMuLan.from_pretrained(MUQ_MULAN).to(device).eval()
    kept, samples = [], 0
    for piece in pieces:
        if samples < MUQ_SECONDS * rate:
            kept.append(piece.mean(0))
            samples += piece.shape[1]
    wave = np.concatenate(kept)[: MUQ_SECONDS * rate]
    mono = torch.from_numpy(audio.resample(wave[None], rate, MUQ_RATE))
    with torch.inference_mode():
        return model(wavs=mono.to(device))[0], ""
