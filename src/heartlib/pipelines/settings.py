"""How a song is to be made, checked in this one place for the pipeline and the command line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from heartlib.errors import UsageError
from heartlib.heartcodec.configuration_heartcodec import HeartCodecConfig
from heartlib.heartmula.configuration_heartmula import FRAME_MS

if TYPE_CHECKING:
    from heartlib.pipelines.reference import Reference

LONGEST_MS = 240_000
SEEDS = 2**63


@dataclass(frozen=True)
class GenerationSettings:
    """One song's settings; UsageError where a value is not allowed.

    max_audio_length_ms: None for as long as the longest song that the model learned from, where its
    checkpoint tells, else for as long as it can sing, up to 240 s.
    num_steps, guidance_scale: of the codec's flow matching, None for what its config tells; the
    others of the language model. seed: None draws one. reference: a recording whose style to take after, its path or
    what `pipelines.reference` makes of it.
    """

    max_audio_length_ms: int | None = None
    temperature: float = 1.0
    topk: int = 50
    cfg_scale: float = 1.5
    num_steps: int | None = None
    guidance_scale: float | None = None
    seed: int | None = None
    reference: Reference | Mapping[str, str] | str | Path | None = None

    def __post_init__(self):
        for name in ("temperature", "cfg_scale"):
            _check_number(name, getattr(self, name))
        _check_whole("topk", self.topk, low=1)
        if self.num_steps is not None:
            _check_whole("num_steps", self.num_steps, low=1)
        if self.temperature <= 0:
            raise UsageError(
                f"temperature must be above 0, not {self.temperature}; "
                f"topk 1 always takes the likeliest code"
            )
        if self.cfg_scale < 1:
            raise UsageError(f"cfg_scale must be 1 (no guidance) or more, not {self.cfg_scale}")
        if self.guidance_scale is not None:
            _check_number("guidance_scale", self.guidance_scale)
            if self.guidance_scale < 1:
                raise UsageError(
                    f"guidance_scale must be 1 (no guidance) or more, not {self.guidance_scale}"
                )
        if self.seed is not None:
            _check_whole("seed", self.seed, low=0)
            if self.seed >= SEEDS:
                raise UsageError(f"seed must be below 2**63, not {self.seed}")
        if self.max_audio_length_ms is not None:
            _check_number("the length", self.max_audio_length_ms)
            if self.max_audio_length_ms < FRAME_MS:
                raise UsageError(
                    f"the length must be at least one frame of {FRAME_MS} ms, "
                    f"not {self.max_audio_length_ms} ms"
                )

    def for_codec(self, config: HeartCodecConfig) -> GenerationSettings:
        """With the codec's own steps and guidance where none were asked for."""
        steps, guidance = self.num_steps, self.guidance_scale
        return replace(
            self,
            num_steps=config.num_steps if steps is None else steps,
            guidance_scale=config.guidance_scale if guidance is None else guidance,
        )

    def frames(
        self,
        *,
        positions: int,
        prompt: int,
        name: str,
        longest_ms: int | None = None,
        prefix: int = 0,
    ) -> int:
        """How many frames the song may have: `positions` the model has, `prompt` of them taken by text.

        longest_ms: where no length was asked for, the most that is sung (the longest song that the
        model learned from; beyond it the model is lost). prefix: frames of the song that are given.
        UsageError with the numbers where the prompt leaves no room, the length asked for does not
        fit or the prefix leaves nothing to sing. `name`: the model's, for the message.
        """
        room = positions - prompt
        if room < 1:
            raise UsageError(
                f"lyrics and tags take {prompt} positions, {name} has {positions}: shorten the lyrics"
            )
        if self.max_audio_length_ms is None:
            frames = min(room, max(1, min(longest_ms or LONGEST_MS, LONGEST_MS) // FRAME_MS))
        else:
            frames = int(self.max_audio_length_ms // FRAME_MS)
        if frames > room:
            raise UsageError(
                f"{frames} frames ({frames * FRAME_MS / 1000:g} s) and {prompt} positions of lyrics "
                f"and tags make {frames + prompt}, {name} has {positions}: "
                f"ask for at most {room * FRAME_MS / 1000:g} s or shorten the lyrics"
            )
        if frames <= prefix:
            raise UsageError(
                f"the part that is kept has {prefix} frames ({prefix * FRAME_MS / 1000:g} s), the "
                f"whole song may have {frames} ({frames * FRAME_MS / 1000:g} s): keep less of it, or "
                f"ask for a longer song ({name} has room for {room * FRAME_MS / 1000:g} s after "
                f"these lyrics)"
            )
        return frames


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{name} must be a number, not {value!r}")
    if not math.isfinite(value):
        raise UsageError(f"{name} must be finite, not {value}")


def _check_whole(name: str, value: object, *, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{name} must be a whole number, not {value!r}")
    if value < low:
        raise UsageError(f"{name} must be {low} or more, not {value}")
