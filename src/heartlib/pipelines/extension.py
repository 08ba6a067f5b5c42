"""A recording that goes on: kept up to a moment, sample by sample, and sung on from there.

K: codebooks, T: frames of 80 ms, n: samples at the codec's rate.
"""

import threading
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from heartlib.audio.seams import join
from heartlib.errors import UsageError
from heartlib.pipelines.music_generation import HeartMuLaGenPipeline, Progress
from heartlib.pipelines.settings import FRAME_MS, GenerationSettings
from heartlib.pipelines.song import Song

CROSS_FADE_SECONDS = 0.08
LISTEN_SECONDS = 4.0
HEARD_BEYOND_SECONDS = 3.0
"""What encoders hear after a frame; more of the song than this need not be encoded."""


@dataclass(frozen=True)
class Cut:
    """Where the kept part of a recording ends: on a frame, `samples` from its beginning."""

    frames: int
    samples: int
    fade: int

    @classmethod
    def at(
        cls,
        length: int,
        rate: int,
        start: float | None = None,
        cross_fade: float = CROSS_FADE_SECONDS,
    ) -> "Cut":
        """The last frame that ends `start` seconds into a recording of `length` samples, or at its end.

        UsageError where that is not in the recording, or where the cross-fade is longer than what is kept.
        """
        seconds, frame = length / rate, rate * FRAME_MS // 1000
        if start is not None and not FRAME_MS / 1000 <= start <= seconds:
            raise UsageError(
                f"cannot go on from {start:g} s: the song has {seconds:.2f} s; give "
                f"{FRAME_MS / 1000:g} to {seconds:.2f}, or nothing for its end"
            )
        frames = (length if start is None else round(start * rate)) // frame
        if frames == 0:
            raise UsageError(f"the song has {seconds:.3f} s, less than a frame of {FRAME_MS} ms")
        kept = frames * frame / rate
        if not 0 <= cross_fade <= kept:
            raise UsageError(
                f"the cross-fade must be 0 to {kept:g} s, what is kept, not {cross_fade:g}"
            )
        return cls(frames, frames * frame, round(cross_fade * rate))

    def heard(self, rate: int) -> int:
        """How many samples to encode for the codes of what is kept."""
        return self.samples + round(HEARD_BEYOND_SECONDS * rate)


def extend(
    pipe: HeartMuLaGenPipeline,
    wave: np.ndarray,
    codes: torch.Tensor,
    cut: Cut,
    lyrics: str,
    tags: str,
    settings: GenerationSettings,
    *,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
    about: dict[str, Any] | None = None,
) -> Song:
    """Sing on after `wave` [2, n], at the codec's rate, from `cut`.

    codes [K, T]: those of the wave, T at least cut.frames. lyrics: of the whole song, what is kept
    included. The song's waveform begins with the samples of `wave`, unchanged up to the cross-fade
    that ends at the cut. settings.max_audio_length_ms is the whole song's. about: goes into the
    song's `extended`. Raises as `HeartMuLaGenPipeline.generate` does.
    """
    if codes.ndim == 2 and codes.shape[1] < cut.frames:
        raise UsageError(
            f"the codes have {codes.shape[1]} frames, {cut.frames} are to be kept: "
            f"they are not of this song, or of less of it"
        )
    song = pipe.generate(
        lyrics,
        tags,
        **asdict(settings),
        prefix_codes=codes[:, : cut.frames] if codes.ndim == 2 else codes,
        progress=progress,
        cancel=cancel,
    )
    joined = join(
        wave[:, : cut.samples],
        song.waveform.numpy(),
        fade=cut.fade,
        listen=round(LISTEN_SECONDS * song.sample_rate),
    )
    song.waveform = torch.from_numpy(joined)
    song.extended = (about or {}) | {
        "frames": cut.frames,
        "samples": cut.samples,
        "crossfade": cut.fade,
    }
    return song
