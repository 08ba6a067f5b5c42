"""Metre and swing: where a written beat falls."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Groove:
    """Bars of `meter` beats of `beat` seconds; the middle of every `grid` beats comes `swing` beats
    late, and what lies around it is stretched along."""

    beat: float
    meter: int
    swing: float = 0.0
    grid: float = 1.0

    def seconds(self, at: float) -> float:
        """The time of a beat, counted from the song's start; whole beats are never moved."""
        cell, inside = divmod(at / self.grid, 1.0)
        middle = 0.5 + self.swing / self.grid
        if inside < 0.5:
            warped = inside * 2 * middle
        else:
            warped = middle + (inside - 0.5) * 2 * (1 - middle)
        return (cell + warped) * self.grid * self.beat
