"""Makes the entries of a language from its words and lines: `python -m heartlib.corpus.lexicon en`.

Needs espeak-ng; run it after `words.txt` or `lines.txt` changed, and keep what it writes.
"""

import re
import sys
from hashlib import sha256
from pathlib import Path

from heartlib.corpus.espeak import engine, is_vowel
from heartlib.corpus.lexicon import LANGUAGES, read, templates
from heartlib.corpus.lexicon.inflect import inflect

HELD_OUT = 20
"""One content word in so many is held out."""
MOST = 6
"""Notes of the longest word."""


def make_entries(language: str) -> str:
    """The text of entries.txt; a word that espeak-ng cannot sing is left out and named."""
    found, says, unseen = _words(language)
    literals = {item for line in templates(language) for item in line if item[0] != "{"}
    for word in sorted(literals):
        found.setdefault(word, []).append("function")
    rows = []
    for text in sorted(found):
        spoken = _pronounced(says.get(text, text), language)
        names = [name for name, _, _ in engine().say(spoken, LANGUAGES[language])[1]]
        count = sum(map(is_vowel, names))
        if not 1 <= count <= MOST or any(name[0] == "(" for name in names):
            print(f"left out: {text} ({' '.join(names)})", file=sys.stderr)
            continue
        marks = "o" * is_vowel(names[0]) + "u" * (text in unseen - literals)
        rows.append(
            (
                text,
                str(count),
                _rhyme(spoken, names, language),
                "-" if spoken == text else spoken,
                marks or "-",
                " ".join(dict.fromkeys(found[text])),
            )
        )
    return "".join("\t".join(row) + "\n" for row in rows)


def _words(language: str) -> tuple[dict[str, list[str]], dict[str, str], set[str]]:
    """The parts of each form, what is spoken for it, and the forms whose base is held out."""
    found: dict[str, list[str]] = {}
    says: dict[str, str] = {}
    unseen: set[str] = set()
    part = ""
    for item in re.sub("(?m)^#.*", "", read(language, "words")).split():
        if item[0] == "[":
            part = item.strip("[]")
            continue
        item, _, sound = item.partition("=")
        forms = inflect(language, part, item)
        digest = int(sha256(forms[0][1].encode()).hexdigest(), 16)
        for role, text in forms:
            if sound:
                says[text] = sound
            found.setdefault(text, []).append(role)
            if part not in ("function", "particle") and digest % HELD_OUT == 0:
                unseen.add(text)
    return found, says, unseen


def _pronounced(text: str, language: str) -> str:
    """The text, or for long vowels and nasals of Japanese its phonemes, so that each mora is sung."""
    if language != "ja":
        return text
    pieces = [piece for piece in re.split("(?<=[んン])", text) if piece]
    names = [name for piece in pieces for name, _ in engine().spell(piece, LANGUAGES["ja"])]
    morae = [half for name in names for half in [name.rstrip(":")] * (1 + name.count(":"))]
    return f"[[{'|'.join(morae)}]]"


def _rhyme(spoken: str, names: list[str], language: str) -> str:
    """The sounds from the last stressed vowel on; where stress is not heard, from the last vowel."""
    sounds = [(name, False) for name in names]
    if language in ("en", "es", "ko"):
        sounds = engine().spell(spoken, LANGUAGES[language])
    vowels = [i for i, (name, _) in enumerate(sounds) if is_vowel(name)]
    heavy = [i for i in vowels if sounds[i][1]] if language in ("en", "es") else []
    return " ".join(name for name, _ in sounds[(heavy or vowels)[-1] :])


def main() -> None:
    """Writes the entries of the languages named, of all when none is."""
    for language in sys.argv[1:] or LANGUAGES:
        path = Path(__file__).parent / language / "entries.txt"
        text = make_entries(language)
        path.write_text(text, encoding="utf-8")
        held = sum("u" in row.split("\t")[4] for row in text.splitlines())
        print(f"{language}: {text.count(chr(10))} words, {held} held out")


if __name__ == "__main__":
    main()
