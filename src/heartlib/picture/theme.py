"""The colours of a picture, light or dark."""

from dataclasses import dataclass

SECTIONS = {
    "Intro": "#8a94a6",
    "Verse": "#3d7dd8",
    "Prechorus": "#17a2a2",
    "Chorus": "#ee6c4d",
    "Bridge": "#8e62d0",
    "Instrumental": "#46a35e",
    "Outro": "#8a94a6",
}
OTHER = "#b08a3c"  # a section of another name


@dataclass(frozen=True)
class Theme:
    """paper: behind everything; ink: the title; faint: figures and facts; tint: how much of a section's
    colour lies behind its words; heat: from silence to the loudest."""

    paper: str
    ink: str
    faint: str
    line: str
    unnamed: str
    tint: float
    heat: tuple[str, ...]


LIGHT = Theme(
    paper="#ffffff",
    ink="#1d2433",
    faint="#6b7486",
    line="#d9dee7",
    unnamed="#7d8797",
    tint=0.09,
    heat=("#ffffff", "#f1f2fa", "#d5daf0", "#a3addd", "#6f6fc0", "#45378f", "#1e1147"),
)
DARK = Theme(
    paper="#12151d",
    ink="#eef1f7",
    faint="#98a2b5",
    line="#2b3140",
    unnamed="#8d97a8",
    tint=0.16,
    heat=("#12151d", "#231a45", "#5a2a78", "#a63c78", "#e36a5c", "#f6b26b", "#fdf3d0"),
)


def colour_of(name: str, theme: Theme) -> str:
    """A section's colour; that of no section for several in one band."""
    return theme.unnamed if " · " in name else SECTIONS.get(name, OTHER)
