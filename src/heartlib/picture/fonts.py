"""Fonts for what is to be written, and another spelling where this machine has none."""

import unicodedata
from collections.abc import Iterable
from typing import Any

MAIN = "DejaVu Sans"  # comes with matplotlib
BOXES = "Last Resort"  # so does this one: a box for every sign there is
FOLLOWED = ("LETTER ", "SYLLABLE ")  # in Unicode's names by the sound of kana and hangul


class Lettering:
    """Which fonts to write `texts` with: `families`, the first that has a sign; `missing` has none."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.families = [MAIN]
        self.missing = {sign for text in texts for sign in text} - _signs(MAIN)
        if not self.missing:
            return
        owned = _installed(self.missing)
        while self.missing and owned:
            family = max(sorted(owned), key=lambda name: len(owned[name] & self.missing))
            if not owned[family] & self.missing:
                return
            self.families.append(family)
            self.missing -= owned.pop(family)

    def spell(self, text: str) -> str:
        """The text; kana and hangul without a font by their sound, other signs without one as a dot."""
        if not self.missing.intersection(text):
            return text
        return "".join(_by_sound(sign) if sign in self.missing else sign for sign in text)


def _by_sound(sign: str) -> str:
    name = unicodedata.name(sign, "")
    if name.startswith(("HIRAGANA", "KATAKANA", "HANGUL")):
        for word in FOLLOWED:
            if word in name:
                return name.split(word)[1].split()[-1].lower()
    return " " if sign.isspace() else "·"


def _signs(family: str) -> set[str]:
    """What the font can write that matplotlib takes for a family."""
    from matplotlib import font_manager

    path = font_manager.findfont(font_manager.FontProperties(family=family))
    return {chr(code) for code in font_manager.get_font(path).get_charmap()}


def _installed(wanted: set[str]) -> dict[str, set[str]]:
    """Each upright font of this machine that has some of the wanted signs, and which."""
    from matplotlib import font_manager

    owned: dict[str, set[str]] = {}
    entry: Any
    for entry in font_manager.fontManager.ttflist:
        if entry.style != "normal" or entry.name in owned or entry.name.startswith(BOXES):
            continue
        try:
            font = font_manager.get_font(entry.fname)
            if any(font.get_char_index(ord(sign)) for sign in wanted):
                owned[entry.name] = _signs(entry.name) & wanted
        except (OSError, RuntimeError):  # a font that FreeType cannot read
            continue
    return owned
