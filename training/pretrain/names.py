"""Gives the people of a story other names, the same one throughout, so that no name is favoured.

Language models call half of their heroes Elara, Elias, Kael or Lily; a base that learned from them would too, and would not
take the name a brief gives it. Works on single given names, found by where they stand and how often; surnames are added, not
replaced. Does not look at places.
"""

import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping

from data.english import given_names
from data.lists import entries
from data.names import CAPITAL, name_counts
from data.slots import gender_of


def dominating(texts: Iterable[str], share: float = 0.002) -> set[str]:
    """Names that are the most frequent one of more than ``share`` of ``texts``."""
    heroes: Counter[str] = Counter()
    total = 0
    for text in texts:
        total += 1
        heroes.update(name for name, count in name_counts(text).most_common(1) if count >= 3)
    return {name for name, count in heroes.items() if count > share * total}


def recast(text: str, favoured: set[str], rng: random.Random, *, hero: bool, surname: bool) -> str:
    """``text`` with every favoured name replaced, and its hero's too if ``hero``.

    With ``surname`` the hero, when renamed, is given a surname at the first mention. Nothing changes where a name is part of
    a longer one ("Lily Carter" keeps her surname) or a place's.
    """
    found = name_counts(text)
    given = {name for name, count in found.items() if count >= 2 and is_given(name, text)}
    ranked = [name for name, _ in found.most_common() if name in given]
    chosen = [name for name in ranked if name in favoured]
    if hero and ranked and ranked[0] not in chosen:
        chosen.insert(0, ranked[0])
    taken = taken_by(text)
    mapping = drawn({name: gender_of(name, text) for name in chosen}, taken, rng)
    renamed = replace(text, mapping)
    if surname and chosen and ranked and chosen[0] == ranked[0]:
        new = mapping[chosen[0]]
        full = f"{new} {_draw(entries('surnames'), taken, rng)}"
        renamed = re.sub(rf"\b{re.escape(new)}\b(?!(?:'s?)?[ -][{CAPITAL}]|')", full, renamed, count=1)
    return renamed


def replace(text: str, mapping: Mapping[str, str]) -> str:
    """``text`` with whole words replaced all at once."""
    if not mapping:
        return text
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, mapping)) + r")\b")
    return pattern.sub(lambda hit: mapping[hit[1]], text)


def is_given(name: str, text: str) -> bool:
    """Listed as a given name, or one that does what people do; and no place, going by what stands before it."""
    deeds = len(re.findall(rf"\b{re.escape(name)} (?:{_DEEDS})\b", text))
    inside = len(re.findall(rf"\b(?:{_INSIDE}) {re.escape(name)}\b(?!'s)", text))
    if name.casefold() in given_names():
        return inside < 2 or inside <= deeds  # one may confide in Ada
    return deeds > inside and not re.search(rf"\b{re.escape(name.lower())}\b", text)


_INSIDE = "in|throughout|the|[Ii]sland of|village of|town of|city of|land of|known as"
_DEEDS = (
    "said|asked|replied|whispered|smiled|nodded|felt|knew|had|was a|looked|turned|went|saw|took|stood|sat|walked|thought|"
    "could|did|would|laughed|sighed|found|heard|watched|stepped|remembered|reached"
)


def taken_by(text: str) -> set[str]:
    """The words of ``text`` in lower case, which no new name may be."""
    return {word.casefold() for word in re.findall(r"[^\W\d_]+", text)}


def drawn(genders: Mapping[str, str], taken: set[str], rng: random.Random) -> dict[str, str]:
    """The names of ``genders`` to new ones of that gender ("f", "m"), none of which is ``taken``; they join it."""
    mapping: dict[str, str] = {}
    for name, gender in genders.items():
        mapping[name] = _draw(entries(f"given_{gender}"), taken, rng)
        taken.add(mapping[name].casefold())
    return mapping


def _draw(names: tuple[str, ...], taken: set[str], rng: random.Random) -> str:
    """One of ``names`` that is one word and not ``taken`` (lower case); the last drawn where there seems to be none."""
    for _ in range(50):
        name = rng.choice(names)
        if name.casefold() not in taken and " " not in name:
            return name
    return name
