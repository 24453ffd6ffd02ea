"""Warns of beats that are not English or do not fit the rest of their brief.

Uses plain rules and word lists. Refuses nothing: `data.brief` does.

    check_beats(Brief(name="Nadia Benali", beats=["Elle entre dans le café", "she sits down"]))
    -> ["beat 1 does not read as English, found 'Elle entre dans le café'; type it in English",
        "no beat names Nadia Benali; type the name in one beat at least"]
"""

from __future__ import annotations

import math
import re
import unicodedata
from functools import cache
from itertools import pairwise

from data.brief import MAX_BEATS, Brief
from data.english import given_names, grammar, is_ordinary, listed_gender, person_nouns, pronouns, singular
from data.lists import words
from data.names import CAPITAL
from data.page import WORD

__all__ = ["check_beats"]

MOST_WORDS = 150
"""Words of text to a beat, at most. The base learned from stories with 29 to 71 words to a beat."""
LEAST_WORDS = 15
"""Words of text to a beat, at least."""

KNOWN = 0.125
"""Share of listed words that a longer English beat has at least. The base's beats have 0.2 or more."""
LONGER = 6
"""Words from which a beat is a longer one."""

_PARTICLES = re.compile(
    rf"\b([{CAPITAL}][\w\-]*)(?: (?:{'|'.join(sorted(grammar('particles')))}))+(?= [{CAPITAL}])"
)
"""A word of a name and the small words behind it: "Miguel de la" of "Miguel de la Cruz"."""
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|«[^»]*»")
_OTHERS = frozenset(
    "another bird cat dog each everybody everyone horse nobody others people somebody someone stranger they two".split()
)
_OTHER_GENDER = {"f": frozenset(("he", "his", "himself")), "m": frozenset(("she", "hers", "herself"))}
"""Pronouns that a protagonist of a gender does not have. "Him" is most often somebody else, and so may be "her"."""


def check_beats(brief: Brief) -> list[str]:
    """Return warnings about the beats of ``brief``, one sentence each.

    brief: may have any fields. Without beats there are no warnings.
    """
    if not brief.beats:
        return []
    found = [
        f"beat {number} does not read as English, found {beat[:60]!r}; type it in English"
        for number, beat in enumerate(brief.beats, start=1)
        if not _is_english(beat)
    ]
    told_by_i = any("I" in _words(beat) for beat in brief.beats)
    if brief.name and not told_by_i:
        found += _about_name(brief, brief.name)
    if brief.length:
        found += _about_length(len(brief.beats), brief.length)
    return found


def _is_english(beat: str) -> bool:
    """Whether a beat may be English. A short beat without any word of another language may be."""
    letters = [mark for mark in beat if mark.isalpha()]
    if 2 * sum(unicodedata.name(mark, "").startswith("LATIN") for mark in letters) < len(letters):
        return False
    said = _words(_PARTICLES.sub(r"\1", _QUOTED.sub(" ", beat)))
    opening = {word.casefold() for word in said[:1]} & (_english() | grammar("foreign"))
    low = [*opening, *(word for word in said if word[0].islower() and word not in opening)]
    foreign = set(low) & grammar("foreign")
    if len(foreign) > max(1, sum(word in _english() for word in low)):
        return False
    known = sum(word in _listed() or singular(word) in _listed() for word in low)
    return len(low) < LONGER or known >= KNOWN * len(low)


@cache
def _english() -> frozenset[str]:
    """Words of which English has many."""
    return words("common_words") | grammar("english")


@cache
def _listed() -> frozenset[str]:
    """All English words that the lists have, but for names."""
    phrases = (
        words("things") | words("places") | words("occupations") | words("looks") | words("person_words")
    )
    closed = grammar("where") | grammar("acts") | grammar("inward") | grammar("adjectives")
    return _english() | closed | {word for phrase in phrases for word in phrase.split()}


def _about_name(brief: Brief, name: str) -> list[str]:
    """Warnings about the protagonist: named in no beat, or called by the other gender's pronoun."""
    own = {word for word in _words(name) if word.casefold() not in words("honorifics")} or {name}
    low = {word.casefold() for word in own}
    if not any(low & {word.casefold() for word in _words(beat)} for beat in brief.beats):
        return [f"no beat names {name}; type the name in one beat at least"]
    gender = _gender(name)
    if gender is None:
        return []
    met = {word.casefold() for word in _words(brief.meets or "")}
    met -= {word for word in met if is_ordinary(word)}
    # "Nadia, a piano tuner" is one person.
    role = re.compile(rf"\b({'|'.join(map(re.escape, own))}), an? [^,;.]*")
    first = 0
    for number, beat in enumerate(brief.beats, start=1):
        if _has_others(role.sub(r"\1", beat), own, met):
            break  # from here on a pronoun may be somebody else's
        if pronouns(beat)["fm".index(gender)]:
            return []
        if not first and _says_other(beat, gender):
            first = number
    other, right = ("he", "she") if gender == "f" else ("she", "he")
    said = f"beat {first} calls {name} '{other}', and the name is listed for '{right}'; change the name or the pronouns"
    return [said] if first else []


def _gender(name: str) -> str | None:
    """Return "f" or "m" where the lists have the given name for one of the two, else None."""
    first, *rest = name.casefold().split()
    titled, surname = first.strip(".") in words("honorifics"), not rest and first in words("surnames")
    return None if titled or surname or first in words("given_either") else listed_gender(first)


def _says_other(beat: str, gender: str) -> bool:
    """Whether a beat has a pronoun that a person of ``gender`` does not have."""
    low = [word.casefold() for word in _words(beat)]
    # "Her case", but not "meets her again".
    owns = gender == "m" and any(word == "her" and not is_ordinary(after) for word, after in pairwise(low))
    return owns or not _OTHER_GENDER[gender].isdisjoint(low)


def _has_others(beat: str, own: set[str], met: set[str]) -> bool:
    """Whether a beat has anybody besides the protagonist whose name has the words ``own``."""
    for at, word in enumerate(_words(beat)):
        low = word.casefold()
        if word in own:
            continue
        if low in met or low in _OTHERS or low in person_nouns() or singular(low) in person_nouns():
            return True
        if word[0].isupper() and (low in given_names() or (at == 0 and not is_ordinary(low))):
            return True
    return False


def _about_length(count: int, length: int) -> list[str]:
    """A warning where ``count`` beats are too few or too many for ``length`` words."""
    fewest, most = math.ceil(length / MOST_WORDS), min(MAX_BEATS, max(1, length // LEAST_WORDS))
    if fewest > MAX_BEATS:
        longest = MAX_BEATS * MOST_WORDS
        return [
            f"{MAX_BEATS} beats take at most {longest} words, found length {length}; type length={longest}"
        ]
    if fewest <= count <= most:
        return []
    fitting = f"{fewest} to {most} beats" if fewest < most else f"{most} beats" if most > 1 else "1 beat"
    return [f"{length} words take {fitting}, found {count}; type as many or another length"]


def _words(text: str) -> list[str]:
    """The words of ``text`` without a final 's."""
    return [hit[0].removesuffix("'s") for hit in WORD.finditer(text.replace("’", "'"))]
