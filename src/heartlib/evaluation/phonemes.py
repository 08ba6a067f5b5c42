"""How much of the lyrics is sung: phoneme error rate of what a recogniser writes down.

Words become phonemes by espeak-ng, so that "sea" and "see" count as the same, and the edit distance is
counted by jiwer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from heartlib.corpus.espeak import engine
from heartlib.errors import HeartlibError, UsageError

MARKER = re.compile(r"^\[.*\]$", re.MULTILINE)
NOT_SPOKEN = re.compile(r"[ˈˌː‿‖|ˑ]")  # stress, length, ties


def spoken(lyrics: str, voice: str = "en-us") -> list[str]:
    """The phonemes (IPA, without stress and length) of lyrics, section markers left out."""
    lines = MARKER.sub("", lyrics).split("\n")
    joined = " ".join(engine().ipa(line, voice) for line in lines if line.strip())
    return [symbol for symbol in NOT_SPOKEN.sub("", joined).replace(" ", "_").split("_") if symbol]


def phoneme_error_rate(
    references: Sequence[str], found: Sequence[str], voice: str = "en-us"
) -> float:
    """Substitutions, deletions and insertions by the number of phonemes, over all songs together.

    Songs without lyrics do not count, whatever was found in them. UsageError where no song has any.
    """
    try:
        import jiwer
    except ImportError as error:
        raise HeartlibError(
            "phoneme error rates need jiwer: pip install 'heartlib[evaluation]'"
        ) from error
    pairs = [
        (" ".join(spoken(a, voice)), " ".join(spoken(b, voice)))
        for a, b in zip(references, found, strict=True)
    ]
    kept = [(a, b) for a, b in pairs if a]  # without lyrics there is nothing to miss
    if not kept:
        raise UsageError("none of these songs has lyrics: there is no phoneme to miss")
    return jiwer.wer([a for a, _ in kept], [b for _, b in kept])
