"""Regular inflections, for the script that makes the entries: base forms in, all forms out.

An item is a base form and what is irregular about it: `walk`, `leaf:leaves`, `sing:sang`,
`forget:forgot:forgetting`. The forms are (part of speech, text) pairs.
"""

import re

_CONSONANT = "bcdfghjklmnpqrstvwxz"
Forms = list[tuple[str, str]]


def inflect(language: str, part: str, item: str) -> Forms:
    """All forms of an item of a part of speech; a part without rules has one form."""
    rules = {"en": english, "es": spanish, "ko": korean}
    return rules[language](part, item) if language in rules else [(part, item)]


def english(part: str, item: str) -> Forms:
    """Plurals of nouns; third person, past and -ing form of verbs and acts."""
    base, *odd = item.split(":")
    if part == "noun":
        return [("noun", base), ("plural", odd[0] if odd else _with_s(base))]
    if part not in ("verb", "act"):
        return [(part, base)]
    past = odd[0] if odd else _with_ed(base)
    ing = odd[1] if len(odd) > 1 else _with_ing(base)
    return [(part, base), (f"{part}s", _with_s(base)), (f"{part}ed", past), (f"{part}ing", ing)]


def spanish(part: str, item: str) -> Forms:
    """Plurals of nouns by gender, both genders of adjectives, the present of regular -ar verbs."""
    base, *odd = item.split(":")
    if part in ("el", "la"):
        return [(part, base), (f"{part}s", odd[0] if odd else _spanish_plural(base))]
    if part in ("happy", "sad", "plain"):
        feminine = re.sub("o$", "a", base)
        both = (("_el", base), ("_la", feminine))
        return [(part + gender, form) for gender, form in both] + [
            (f"{part}{gender}s", _spanish_plural(form)) for gender, form in both
        ]
    if part in ("verb", "act"):
        stem = base.removesuffix("ar")
        endings = {"": "ar", "_yo": "o", "_tú": "as", "_él": "a", "_ellos": "an", "_ando": "ando"}
        return [(part + person, stem + ending) for person, ending in endings.items()]
    return [(part, base)]


def korean(part: str, item: str) -> Forms:
    """Nouns with the particles of subject, object and topic, which sound as one word with them."""
    if part != "noun":
        return [(part, item)]
    closed = (ord(item[-1]) - 0xAC00) % 28 != 0
    particles = {"subject": "이가", "object": "을를", "topic": "은는"}
    forms = [(role, item + pair[0 if closed else 1]) for role, pair in particles.items()]
    return [("noun", item), *forms]


def _with_s(base: str) -> str:
    if re.search(f"[{_CONSONANT}]y$", base):
        return base[:-1] + "ies"
    return base + ("es" if re.search("(s|x|z|ch|sh)$|^(go|echo)$", base) else "s")


def _with_ed(base: str) -> str:
    if base.endswith("e"):
        return base + "d"
    if re.search(f"[{_CONSONANT}]y$", base):
        return base[:-1] + "ied"
    return _doubled(base) + "ed"


def _with_ing(base: str) -> str:
    if base.endswith("ie"):
        return base[:-2] + "ying"
    if re.search("[^eoy]e$", base):
        return base[:-1] + "ing"
    return _doubled(base) + "ing"


def _doubled(base: str) -> str:
    """`hug` → `hugg`: the last consonant of one short syllable is written twice."""
    short = re.search(r"^[^aeiouy]*(qu)?[aeiouy][bdgklmnprtvz]$", base)
    return base + base[-1] if short else base


def _spanish_plural(base: str) -> str:
    if base[-1] in "aeioué":
        return base + "s"
    if base.endswith("z"):
        return base[:-1] + "ces"
    plain = str.maketrans("áéíóú", "aeiou")
    if re.search("[áéíóú][ns]$", base):
        return base[:-2] + base[-2:].translate(plain) + "es"
    return base + "es"
