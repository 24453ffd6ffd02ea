"""What kind of word an English word is, and its article, by word lists and endings.

Looks at words alone, in lower case, never at what stands around them (`data.page`, `data.names`); counts pronouns. Knows
nothing of meaning: what no list has and no ending shows is of no kind.
"""

from __future__ import annotations

import re
from functools import cache

from data.lists import words

__all__ = [
    "given_names",
    "grammar",
    "indefinite",
    "is_adjective",
    "is_ordinary",
    "listed_gender",
    "occupation_heads",
    "person_nouns",
    "pronouns",
    "singular",
]

_PRONOUN = re.compile(r"\b(?:(she|hers?|herself)|he|him|his|himself)\b")
_VOWEL = re.compile(r"(?!eu|uni[a-z]|one\b)[aeiouàâäéèêëíîïóôöúûü]|hour|heir|honest", re.IGNORECASE)


@cache
def grammar(group: str) -> frozenset[str]:
    """One of the closed sets of `lists/grammar.txt`: grammar("next") -> {"near", "outside", "at", ...}."""
    return words("grammar", group)


@cache
def given_names() -> frozenset[str]:
    """Given names of women and men."""
    return words("given_f") | words("given_m")


def listed_gender(low: str) -> str | None:
    """ "f" or "m" where the lists have a given name under one of the two alone, else None."""
    listed = [gender for gender in "fm" if low in words(f"given_{gender}")]
    return listed[0] if len(listed) == 1 else None


def pronouns(text: str) -> tuple[int, int]:
    """How often women's pronouns and men's stand in ``text``, in any case."""
    found = _PRONOUN.findall(text.casefold())
    men = found.count("")
    return len(found) - men, men


@cache
def occupation_heads() -> frozenset[str]:
    """Last words of occupations: "tuner" of "piano tuner"."""
    return frozenset(phrase.split()[-1] for phrase in words("occupations"))


@cache
def person_nouns() -> frozenset[str]:
    """Nouns for people, titles among them: "baker", "woman", "captain"."""
    titles = words("honorifics") - grammar("adjectives")
    return (occupation_heads() - {"tender", "server"}) | words("person_words") | titles


def is_ordinary(low: str) -> bool:
    """Whether a word that is written with a capital is no name: "the", "winter", "that's"."""
    head, mark, tail = low.partition("'")
    common = words("common_words")
    return low in common or (bool(mark) and tail in grammar("contractions") and head in common)


def is_adjective(low: str) -> bool:
    """Whether a word before the name of an occupation says how, not what: "famous", not "night"."""
    return low in grammar("adjectives") or low.endswith(tuple(grammar("endings")))


def indefinite(phrase: str) -> str:
    """A noun phrase with its article: "an old café", "a university", "the docks", "the sea"."""
    last = phrase.split()[-1]
    several = last.endswith("s") and not last.endswith(("ss", "us", "is", "as", "lens"))
    if several or last in grammar("uncounted"):
        return f"the {phrase}"
    return f"{'an' if _VOWEL.match(phrase) else 'a'} {phrase}"


def singular(low: str) -> str:
    """A noun without the ending of its plural: "berries" -> "berry", "boxes" -> "box", "glass" -> "glass"."""
    if low.endswith("ies") and len(low) > 5:
        return low[:-3] + "y"
    if low.endswith(("shes", "ches", "xes", "sses")):
        return low[:-2]
    return low[:-1] if low.endswith("s") and not low.endswith("ss") and len(low) > 3 else low
