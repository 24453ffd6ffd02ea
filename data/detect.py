"""Finds in an English text what a brief says: protagonist, occupation, place, encounter, keywords, length.

Rules and word lists (`data/lists`), no language model: any text gives an answer and none gives an error.
What is not found stays None; what is found is a short phrase of the text's own words. Does not understand:
a protagonist without a name, an occupation that is only shown and a place that no noun names are not found.
Outside English only the length and people with a listed given name are.

    detect_brief("Ada Moreau was a baker in Lyon. Ada smiled.")
    -> Brief(name="Ada Moreau", occupation="baker", place="Lyon", length=9)
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from data.brief import MAX_WORDS, Brief
from data.encounters import find_encounter
from data.english import indefinite, singular
from data.lists import words
from data.occupations import find_occupation
from data.page import Page, read
from data.people import find_people, find_protagonist
from data.places import find_areas, find_kinds, place

__all__ = ["Evidence", "detect_brief", "evidence", "indefinite", "people"]


@dataclass(frozen=True)
class Evidence:
    """What was found in one text, with what was passed over when its brief was made."""

    brief: Brief
    """The same as `detect_brief(text)`."""
    people: tuple[tuple[str, int], ...] = ()
    """Everybody named, the protagonist first: (fullest name, mentions)."""
    first_person: bool = False
    """Whether the narrator says "I"."""
    kinds: tuple[tuple[str, str], ...] = ()
    """Kinds of place, likeliest scene first: (adjectives, noun), such as ("small quaint", "café")."""
    areas: tuple[str, ...] = ()
    """Named places with their preposition, likeliest first: "in Lyon", "by the Seine"."""


def detect_brief(text: str) -> Brief:
    """The brief that a text could have been written to. Takes any str; what is not found is not given."""
    return evidence(text).brief


def people(text: str) -> tuple[str, ...]:
    """Names of all people found: full names as they stand, then by its given name; or the one word.

    people("Ada Moreau met Colette. Ada smiled.") -> ("Ada Moreau", "Ada", "Colette")
    """
    found = find_people(read(text))
    return tuple(dict.fromkeys(name for person in found for name in (person.name, person.tokens[0])))


def evidence(text: str) -> Evidence:
    """What is found in a text. Takes any str; the time is in proportion to its length."""
    page = read(text)
    found = find_people(page)
    hero = find_protagonist(page, found)
    found.sort(key=lambda person: (person is not hero, -person.weight))
    named = tuple((person.name, len(person.runs)) for person in found)
    name, length = hero.name if hero else None, len(text.split())
    if not page.english:
        return Evidence(_brief(length, name=name), named, page.first_person)
    kinds = find_kinds(page, {token for person in found for token in person.tokens})
    areas = find_areas(page, {run.first for person in found for run in person.runs})
    occupation, where = find_occupation(page, hero), place(kinds, areas)
    meets = find_encounter(page, hero, [person for person in found if person is not hero], occupation or "")
    used = {word for phrase in (occupation, where, meets) if phrase for word in phrase.split()}
    return Evidence(
        _brief(
            length,
            name=name,
            occupation=occupation,
            place=where,
            meets=meets,
            keywords=_keywords(page, used),
        ),
        named,
        page.first_person,
        tuple((kind.adjectives, kind.noun) for kind in kinds),
        tuple(areas),
    )


def _brief(length: int, **fields: str | tuple[str, ...] | None) -> Brief:
    """A brief of what was found; of the length alone where the format refuses a field."""
    given = {"length": length} if 1 <= length <= MAX_WORDS else {}
    try:
        return Brief.from_dict({**fields, **given})
    except ValueError:
        return Brief.from_dict(given)


def _keywords(page: Page, used: set[str]) -> tuple[str, ...]:
    """Up to three things that come back most, in singular or plural as they mostly do; none in `used`."""
    forms: dict[str, Counter[str]] = defaultdict(Counter)
    for word in page.words:
        single = singular(word.low)
        listed = word.low in words("things") or single in words("things")
        if listed and word.text[0].islower() and used.isdisjoint((word.low, single)):
            forms[single][word.low] += 1
    best = sorted(forms, key=lambda single: -forms[single].total())[:3]
    return tuple(forms[single].most_common(1)[0][0] for single in best)
