"""What was sung against what was heard: one monotone alignment of phonemes, counted by section.

The edit distance and its path are jiwer's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from heartlib.errors import HeartlibError


@dataclass(frozen=True)
class Count:
    """Substitutions, deletions and insertions, and the phonemes that there were to hear."""

    errors: int
    phonemes: int

    @property
    def rate(self) -> float:
        """Errors a phoneme; may be above 1. 0 where there is nothing to hear."""
        return self.errors / self.phonemes if self.phonemes else 0.0


def align(sections: Sequence[Sequence[str]], heard: Sequence[str]) -> tuple[Count, list[Count]]:
    """The whole song's count, and each section's own within the one alignment.

    sections: the phonemes of each section, in order. What was heard between two sections counts
    for neither of them, and for the song.
    """
    sung = [symbol for section in sections for symbol in section]
    sizes = [len(section) for section in sections]
    ends = [sum(sizes[: index + 1]) for index in range(len(sizes))]
    errors = [0] * len(sections)
    total = 0
    for kind, start, stop, size in _edits(sung, heard):
        total += size if kind == "insert" else stop - start
        for index, end in enumerate(ends):
            first = end - sizes[index]
            if kind == "insert":
                errors[index] += size if first < start < end else 0
            else:
                errors[index] += max(0, min(stop, end) - max(start, first))
    parts = [Count(count, size) for count, size in zip(errors, sizes, strict=True)]
    return Count(total, len(sung)), parts


def _edits(sung: Sequence[str], heard: Sequence[str]) -> list[tuple[str, int, int, int]]:
    """Kind, first and last place in `sung`, and how many were inserted, of each edit."""
    if not sung or not heard:  # jiwer refuses empty references
        edits = [("delete", 0, len(sung), 0), ("insert", 0, 0, len(heard))]
        return [edit for edit in edits if edit[2] or edit[3]]
    try:
        import jiwer
    except ImportError as error:
        raise HeartlibError(
            "phoneme error rates need jiwer: pip install 'heartlib[evaluation]'"
        ) from error
    found = jiwer.process_words(" ".join(sung), " ".join(heard)).alignments[0]
    return [
        (c.type, c.ref_start_idx, c.ref_end_idx, c.hyp_end_idx - c.hyp_start_idx)
        for c in found
        if c.type != "equal"
    ]
