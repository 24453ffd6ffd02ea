"""Finds where a scene is: kinds of place ("a small café") and named places ("near Rue de Rivoli").

A kind is a noun of `lists/places.txt` with a determiner; a named place is a name after a preposition. What
comes early and often, and is not come from or gone to, is likelier the scene. Does not find a place that no
noun names, and does not know which place lies in which.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from data.english import grammar, indefinite, is_ordinary
from data.lists import groups, words
from data.names import Run, runs
from data.page import Page, Word

__all__ = ["Kind", "find_areas", "find_kinds", "place"]

SCENE = 1.2
"""What a named place must score to count as where the scene is."""

_ARRIVING = frozenset(("entered", "opened", "visited", "found", "ran"))
_TAIL = re.compile(
    r" (on the corner of|at the foot of|at the end of|in the heart of|in the middle of|off|in|on|at|near|by"
    r"|of|along|outside|above|behind|opposite|beside|under|overlooking)"
    r"( the| old| downtown| central)?((?: [^\W\d_][\w'\-]*){1,6})"
)


@dataclass
class Kind:
    """A kind of place; `tail` says where it is, or is ""; `score`: how much it looks like the scene."""

    noun: str
    adjectives: str
    tail: str
    score: float


def place(kinds: Sequence[Kind], areas: Sequence[str]) -> str | None:
    """The likeliest scene and where it is: "a small café in Lyon"."""
    area = areas[0] if areas else ""
    if not kinds:
        return area.removeprefix("in ").removeprefix("near ") or None
    kind = kinds[0]
    phrase = indefinite(f"{kind.adjectives} {kind.noun}".strip())
    if kind.tail:
        return (re.sub("^an? ", "the ", phrase) if kind.tail.startswith(" of ") else phrase) + kind.tail
    return f"{phrase} {area}".strip()


def find_areas(page: Page, taken: set[int]) -> list[str]:
    """Named places with their preposition, likeliest scene first: "in Lyon", "by the Seine".

    `taken` holds the indices at which people's names begin.
    """
    scores: dict[str, float] = defaultdict(float)
    phrases: dict[str, str] = {}
    for run in runs(page):
        low = [token.casefold() for token in run.tokens]
        the = page.low(run.first - 1) == "the"
        before = page.low(run.first - (2 if the else 1))
        if run.first in taken or run.title or low[0] in grammar("articles") or all(map(is_ordinary, low)):
            continue
        if before not in grammar("where") or page.words[run.first].opens or not page.gap(run.first).isspace():
            continue
        if the and _qualifies(page, run):
            continue
        listed = all(token in words("cities") or token in grammar("particles") for token in low)
        street = low[0] in grammar("streets") or low[-1] in grammar("streets")
        if not listed and not street and before not in grammar("scene"):
            continue
        name = " ".join(run.tokens)
        score = (3.5 if listed else 2.5) - 2.0 * run.first / len(page.words)
        score *= 0.3 if before in grammar("apart") else 0.5 if page.words[run.first].quoted else 1.0
        scores[name] += max(0.1, score)
        phrases.setdefault(name, f"{_preposition(before, the, street)} {name}")
    scenes = [name for name in scores if scores[name] >= SCENE]
    return [phrases[name] for name in sorted(scenes, key=lambda name: -scores[name])]


def _qualifies(page: Page, run: Run) -> bool:
    """Whether a name after "the" belongs to a noun that follows: "the Paris laundrette"."""
    after = page.low(run.last + 1)
    return page.gap(run.last + 1) == " " and after not in grammar("stops") and not after.endswith("ed")


def _preposition(before: str, the: bool, street: bool) -> str:
    """How a brief says where a named place is that the text names after the preposition `before`."""
    if not the:
        return "near" if street or before in grammar("next") else "in"
    if before in grammar("along"):
        return "by the"
    return "in the" if before in grammar("within") else "near the"


def find_kinds(page: Page, names: set[str]) -> list[Kind]:
    """Kinds of place, likeliest scene first: telling nouns that come early and often, after a preposition.

    `names` holds the words of people's names, which say of no place where it is.
    """
    found: dict[str, Kind] = {}
    tally: Counter[str] = Counter()
    index = 0
    while index < len(page.words):
        parts, weight = _place_noun(page, index)
        if parts:
            noun = " ".join(parts)
            tally[noun] += 1
            start = page.determiner(index)
            if start >= 0:
                score = weight + _scene_score(page, start, index)
                if noun not in found or score > found[noun].score + 0.5:
                    said = [word.low for word in page.words[start + 1 : index] if _describes(word)]
                    tail = _tail(page, index + len(parts) - 1, names)
                    found[noun] = Kind(noun, " ".join(said[-2:]), tail, score)
        index += len(parts) or 1
    for noun, kind in found.items():
        kind.score *= 1.0 + 0.25 * min(5, tally[noun] - 1)
    return sorted(found.values(), key=lambda kind: -kind.score)


@cache
def _place_nouns() -> dict[str, list[tuple[tuple[str, ...], float]]]:
    """Nouns for places with their weights by their first word, longest first."""
    table: dict[str, list[tuple[tuple[str, ...], float]]] = defaultdict(list)
    for weight, nouns in groups("places").items():
        for noun in nouns:
            parts = tuple(noun.casefold().split())
            table[parts[0]].append((parts, float(weight)))
    for options in table.values():
        options.sort(key=lambda option: -len(option[0]))
    return table


def _place_noun(page: Page, index: int) -> tuple[tuple[str, ...], float]:
    """The longest noun for a place that begins at an index, with its weight: (("train", "station"), 4.0)."""
    if page.words[index].text[0].islower():
        for parts, weight in _place_nouns().get(page.low(index), ()):
            if all(page.low(index + offset) == part for offset, part in enumerate(parts)):
                return parts, weight
    return (), 0.0


def _scene_score(page: Page, start: int, index: int) -> float:
    """How much one mention of a place, from its determiner to its noun, looks like a scene being set."""
    before = page.low(start - 1)
    score = 2.0 - 3.0 * index / len(page.words)
    score += 0.8 if before in grammar("where") or before in _ARRIVING else 0.0
    score += 0.3 if page.low(start) in ("a", "an") else 0.0
    return score - (1.0 if page.words[index].quoted else 0.0)


def _describes(word: Word) -> bool:
    """Whether a word before the noun of a place says what the place is like."""
    low = word.low
    return word.text[0].islower() and low not in grammar("pointing") and not low.endswith(("ly", "est"))


def _tail(page: Page, last: int, names: set[str]) -> str:
    """What says by a name where a place is, right after it: " on the corner of Rue de Rivoli"; or ""."""
    match = _TAIL.match(page.text, page.words[last].end)
    if not match:
        return ""
    taken: list[str] = []
    for word in match[3].split():
        if not word[0].isupper() and not (taken and word in grammar("particles")):
            break
        taken.append(word)
    while taken and not taken[-1][0].isupper():
        taken.pop()
    first = taken[0].removesuffix("'s") if taken else ""
    if not first or first in names or is_ordinary(first.casefold()) or first.casefold() in grammar("self"):
        return ""
    name = " ".join(taken).removesuffix("'s")
    return f" {match[1]}{match[2] or ''} {name}"
