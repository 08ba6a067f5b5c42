"""A finished song and what it says about itself."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import heartlib


@dataclass
class Song:
    """What `generate` returns.

    waveform: float32 [2, n] on the CPU. codes: LongTensor [K, T]. settings: everything that makes
    the song again, JSON-able. timings: seconds of `loading`, `singing` and `decoding`. model: name
    and weights hash. complete: False where it was cancelled. ended: whether the model came to an
    end by itself, rather than by the limit. extended: what was kept of another song, if this one
    goes on from it. repaired: where it was sung again and with which seeds, JSON-able, if it was
    listened to while it was made (see `pipelines.repair`). scores: what listeners made of it, JSON-able, where they were asked (see
    `pipelines.best_of`).
    """

    waveform: torch.Tensor
    sample_rate: int
    codes: torch.Tensor
    seed: int
    lyrics: str
    tags: str
    settings: dict[str, Any]
    timings: dict[str, float]
    model: dict[str, str]
    complete: bool = True
    ended: bool = True
    extended: dict[str, Any] | None = None
    repaired: dict[str, Any] | None = None
    scores: dict[str, Any] | None = None
    path: Path | None = field(default=None, compare=False)

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.waveform.shape[-1] / self.sample_rate

    @property
    def speed(self) -> float:
        """Seconds of song made in one second, loading included."""
        return self.duration / max(sum(self.timings.values()), 1e-9)

    def metadata(self) -> dict[str, Any]:
        """What goes into the file: enough to make the song again, where it does not extend another."""
        first = next((x for x in self.lyrics.split("\n") if x and not x.startswith("[")), "")
        reference = self.settings.get("reference")
        style = ", ".join(
            part for part in (self.tags, reference and f"like {reference['file']}") if part
        )
        extended = {} if self.extended is None else {"extended": self.extended}
        return extended | {
            "title": first.strip() or f"Instrumental {self.seed}",
            "comment": f"{style}; seed {self.seed}; {self.model['name']} {self.model['hash']}; "
            f"heartlib {heartlib.__version__}",
            "lyrics": self.lyrics,
            "tags": self.tags,
            "seed": self.seed,
            "settings": self.settings,
            "model": self.model,
            "complete": self.complete,
            "heartlib": heartlib.__version__,
            **({"repaired": self.repaired} if self.repaired else {}),
            **({"scores": self.scores} if self.scores else {}),
        }

    def save(self, path: str | Path, overwrite: bool = False) -> Path:
        """Write wav, flac, mp3 or ogg, by the suffix, with the metadata in it; returns the path.

        A song that peaks above -1 dB is turned down to it, unless it keeps another's samples.
        Raises as `heartlib.audio.write` does.
        """
        from heartlib import audio

        wave = self.waveform.numpy()
        if "samples" not in (self.extended or {}):
            wave = audio.limit_peak(wave)
        self.path = audio.write(
            path, wave, self.sample_rate, tags=self.metadata(), overwrite=overwrite
        )
        return self.path
