"""Takes the phrases of a brief apart: names in their forms, people by look and noun, places by kind and preposition.

Rules and word lists, in English. Knows no text.

    person("Idris, a young boatman in a cap") -> Person("Idris", "a young boatman in a cap", ("young",), "boatman", "in a cap")
    place_noun("a small café in Lyon") -> "café"
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from data.english import is_adjective, listed_gender
from data.lists import groups, words

__all__ = [
    "PREPOSITIONS",
    "Person",
    "gender_of_met",
    "gender_of_name",
    "has_walls",
    "is_area",
    "is_outside",
    "kind_of_place",
    "likely_gender",
    "name_forms",
    "person",
    "place_noun",
    "plain_place",
    "preposition",
]

PREPOSITIONS = frozenset(
    "in on at of with from by near under above below behind beside to into without who before after between among over outside "
    "inside along across off opposite beneath beyond against facing for where that which through around named called".split()
)
"""Words that open what stands behind a noun: "a man *with* a hat"."""


ENOUGH = 4
"""Listed names with an ending that say whose it is."""
NEARLY_ALL = 0.7
"""Share of them that are of one sex."""


_OUTSIDE = frozenset("market garden square water bridge seat street steps".split())


@dataclass(frozen=True)
class Person:
    """A description of somebody, taken apart: "Idris, a young boatman in a cap"."""

    name: str = ""
    """ "Idris", with a title where there is one."""
    told: str = ""
    """ "a young boatman in a cap"."""
    looks: tuple[str, ...] = ()
    """ ("young",)."""
    noun: str = ""
    """ "boatman"; "chess player"."""
    tail: str = ""
    """ "in a cap"."""

    @property
    def head(self) -> str:
        """The last word of the noun."""
        return self.noun.split()[-1] if self.noun else ""

    @property
    def age(self) -> str:
        """ "old", "young" or "child", where looks or noun say it, else ""."""
        for age, members in groups("ages").items():
            if self.head in members or not set(members).isdisjoint(self.looks):
                return age
        return ""


@cache
def person(meets: str) -> Person | None:
    """Take a brief's `meets` apart. None: it is a relative, several people, or a description without "a"."""
    name, told = _name_and_rest(meets)
    if name and not told:
        return Person(name)
    said = told.split()
    if not said or said[0] not in ("a", "an") or "," in told:
        return None
    end = next((at for at, word in enumerate(said) if word in PREPOSITIONS), len(said))
    looks: list[str] = []
    rest = said[1:end]
    while len(rest) > 1 and (is_adjective(rest[0]) or rest[0] in words("looks")):
        looks.append(rest.pop(0))
    tail = said[end:]
    if not rest or "and" in rest or not {"his", "her", "who", "that"}.isdisjoint(tail):
        return None
    return Person(name, told, tuple(looks), " ".join(rest), " ".join(tail))


def _name_and_rest(meets: str) -> tuple[str, str]:
    """ "Ana, a nurse" -> ("Ana", "a nurse"); "An old man" -> ("", "an old man")."""
    if meets.split()[:1] in (["A"], ["An"]):
        meets = meets[0].lower() + meets[1:]
    name, _, told = meets.partition(", ") if meets[:1].isupper() else ("", "", meets)
    return name, told


@cache
def name_forms(name: str) -> tuple[str, str, str]:
    """A name whole, its given name and its surname: each the whole where there is one word, or a title."""
    first, _, last = name.partition(" ")
    if not last or first.casefold().strip(".") in words("honorifics"):
        return name, name, name
    return name, first, last


@cache
def gender_of_name(name: str) -> str | None:
    """Say "f" or "m" by a title or a listed given name, else None."""
    first, *rest = (part.casefold().strip(".") for part in name.split())
    if rest and (titled := _gender_of_word(first)):
        return titled
    if first in words("given_either"):
        return None
    listed = [listed_gender(first), *(listed_gender(part) for part in first.split("-") if "-" in first)]
    return next(filter(None, listed), None)


@cache
def gender_of_met(meets: str) -> str | None:
    """Say "f" or "m" for a brief's `meets`: by the noun, else by the name; None where neither says it."""
    name, told = _name_and_rest(meets)
    said = told.split()
    end = next((at for at, word in enumerate(said) if at and word in PREPOSITIONS), len(said))
    noun = said[end - 1] if end else ""
    by_noun = _gender_of_word(noun)
    if by_noun is None and noun.endswith(("woman", "girl", "maid", "lady", "tress")):
        by_noun = "f"
    if by_noun is None and noun.endswith(("man", "boy")) and noun != "human":
        by_noun = "m"
    return by_noun or (gender_of_name(name) if name else None)


@cache
def likely_gender(name: str) -> str | None:
    """Say "f" or "m" for a name: as `gender_of_name`, else as nearly all listed names with the same ending; None where they differ."""
    said = [part.casefold().strip(".") for part in name.split()]
    first = next((part for part in said if part not in words("honorifics")), "")
    if (known := gender_of_name(name)) or not first or first in words("given_either") | words("surnames"):
        return known
    if known := gender_of_name(first):
        return known
    for length in range(min(4, len(first)), 0, -1):
        women, men = (
            sum(one.endswith(first[-length:]) for one in words(f"given_{gender}")) for gender in "fm"
        )
        if women + men >= ENOUGH:
            share = women / (women + men)
            return "f" if share > NEARLY_ALL else "m" if share < 1 - NEARLY_ALL else None
    return None


def _gender_of_word(low: str) -> str | None:
    return next((gender for gender in "fm" if low in words("person_gender", gender)), None)


@cache
def place_noun(place: str) -> str:
    """The noun of a place in lower case: "a café terrace in Lyon" -> "terrace", "Café de Flore" -> "café"; "" without a place."""
    core = _core(place)
    if not core:
        return ""
    kinds = words("place_kinds")
    first, last = core[0].casefold(), core[-1].casefold()
    return first if core[0][0].isupper() and first in kinds else last


@cache
def kind_of_place(place: str) -> str:
    """The group of `lists/place_kinds.txt` that a place is of, or ""; a café's terrace serves as the café does."""
    core = [word.casefold() for word in _core(place)]
    noun = place_noun(place)
    if len(core) > 1 and noun in ("terrace", "house", "room", "garden", "shop"):
        noun = core[-2] if core[-2] in words("place_kinds", "eat") else noun
    return next((kind for kind, nouns in groups("place_kinds").items() if noun in nouns), "")


@cache
def has_walls(place: str) -> bool:
    """Whether a place is a room or a house."""
    noun = place_noun(place)
    return noun != "terrace" and bool({noun, kind_of_place(place)} & words("place_prepositions", "walls"))


@cache
def is_outside(place: str) -> bool:
    """Whether a place is known to be under the sky."""
    noun, kind = place_noun(place), kind_of_place(place)
    listed = kind in _OUTSIDE or preposition(noun) in ("on", "by") or noun == "terrace"
    return listed and not has_walls(place) and kind != "eat"


@cache
def is_area(place: str) -> bool:
    """Whether a place is no room or spot: "by the Seine", "Paris"."""
    first = place.split()[0]
    named = first[0].isupper() and preposition(place_noun(place)) is None
    return first in PREPOSITIONS or (named and not has_walls(place))


@cache
def plain_place(place: str) -> str:
    """A place without the preposition before its article: "in a café" -> "a café"."""
    first, _, rest = place.partition(" ")
    return rest if first in ("in", "on", "at") and rest.startswith(("a ", "an ", "the ")) else place


@cache
def preposition(noun: str) -> str | None:
    """The preposition with which one is there: "on" for "bridge"; None for a noun that no list has."""
    found = groups("place_prepositions")
    for word in ("on", "by", "at"):
        if noun in found[word]:
            return word
    listed = {phrase.split()[-1] for phrase in words("places")} | words("place_kinds")
    return "in" if noun in listed or noun in words("place_prepositions", "walls") else None


def _core(place: str) -> list[str]:
    """The words of a place up to its noun: "a café terrace on the quay" -> ["café", "terrace"]."""
    said = [word.strip(",") for word in place.split() if word.casefold() not in ("a", "an", "the")]
    end = next((at for at, word in enumerate(said) if at and word in PREPOSITIONS), len(said))
    return said[:end]
