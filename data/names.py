"""Finds where names may stand: runs of words with capitals, cut free of titles and of ordinary words.

Does not say whether a name is a person's (`data.people`) or a place's (`data.places`).

    list(runs(read("There old Captain Ada Moreau of Lyon slept.")))
    -> [Run(tokens=("Ada", "Moreau"), first=3, last=4, title="captain"),
        Run(tokens=("Lyon",), first=6, last=6, title="")]
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from data.english import given_names, grammar, is_ordinary, person_nouns
from data.lists import words
from data.page import Page, Word

__all__ = ["Run", "name_counts", "proper_words", "runs"]

CAPITAL = "A-ZÀ-ÖØ-ÞĆČĎĐĒĚĞĪİĶĻŁŃŇŌŐŒŘŚŞŠȘŤȚŪŮŰŹŻŽ"
"""Letters that a name begins with, for a class of a pattern."""
_CAPITALISED = re.compile(rf"(?<=[a-z,;] )([{CAPITAL}][^\W\d_{CAPITAL}]{{2,}})(?='s\b|\b(?!-))")
"""A capitalised word inside a sentence: a name, or close to one."""

_CALENDAR = frozenset(
    "monday tuesday wednesday thursday friday saturday sunday january february march april june july august september october "
    "november december god christmas easter english french american german italian spanish chinese japanese british".split()
)

_PREFIXED = re.compile(r"(?:al|el|d|l)['-](\w)")  # al-Rashid, d'Arc


_WORD = re.compile(r"[^\W\d_][^\W_]*(?:['’\-](?!s\b)[^\W_]+)*")
_OPENING = re.compile(r"(^|[.!?:] )[^\W\d_][\w'’\-]*", re.MULTILINE)
"""The first word of a sentence, and what is before it."""


def proper_words(text: str) -> set[str]:
    """The capitalised words of plain sentences that are names: no ordinary word, and none that only begins sentences, unless it is a
    listed given name."""
    inner = set(_WORD.findall(_OPENING.sub(r"\1", text)))
    return {
        word
        for word in _WORD.findall(text)
        if word[0].isupper()
        and not is_ordinary(word.casefold())
        and (word in inner or word.casefold() in given_names())
    }


class Run(NamedTuple):
    """Where a name may stand: words `first` to `last` of the page.

    `title` is the word before, in lower case, that is no part of the name: a title, a noun ("skipper"), or
    "initial" for any initial; "" without one.
    """

    tokens: tuple[str, ...]
    first: int
    last: int
    title: str


def runs(page: Page) -> Iterator[Run]:
    """All runs of words written like names, with the particles between them, in order."""
    index = 0
    while index < len(page.words):
        if _capital(page.words[index]):
            last = _run_end(page, index)
            run = _trimmed(page, index, last)
            if run:
                yield run
            index = last
        index += 1


def _capital(word: Word) -> bool:
    """Whether a word is written like a name: its first letter a capital, not all of them."""
    prefixed = _PREFIXED.match(word.text)
    if prefixed:
        return prefixed[1].isupper()
    shouted = len(word.text) > 1 and word.text.isupper()
    return word.text[0].isupper() and not shouted and word.low not in grammar("self")


def _run_end(page: Page, last: int) -> int:
    """The last word of the run that begins at an index."""
    while not page.words[last].own:
        ahead = last + 1
        while ahead <= last + 2 and page.gap(ahead) == " " and page.low(ahead) in grammar("particles"):
            if _capital(page.words[ahead]):
                break
            ahead += 1
        if ahead >= len(page.words) or not _capital(page.words[ahead]):
            break
        if page.gap(ahead) != " " and not (page.gap(ahead) == ". " and page.words[ahead - 1].short):
            break
        last = ahead
    return last


def _trimmed(page: Page, first: int, last: int) -> Run | None:
    """A run without titles and ordinary words at its ends; None if what is left is no name."""
    title = ""
    while first <= last:
        word, more, named = page.words[first], first < last, page.words[first].low in given_names()
        before_given = more and not named and page.low(first + 1) in given_names()
        if word.low in words("honorifics") and (word.low in grammar("short") or not named):
            title = word.low
        elif more and word.low in person_nouns() and not named:
            title = word.low  # Skipper Arntsen
        elif more and len(word.text) == 1:
            title = title or "initial"
        elif is_ordinary(word.low) and not (named and (more or not word.opens)):
            title = ""
        elif before_given and word.opens and page.plain[word.low]:
            title = ""  # the first word of a sentence
        else:
            break
        first += 1
    while last >= first and is_ordinary(page.words[last].low) and not _ends_name(page.words[last].low):
        last -= 1
    tokens = tuple(word.text for word in page.words[first : last + 1])
    if not 1 <= len(tokens) <= 5:
        return None
    low = tokens[0].casefold()
    if len(tokens) == 1 and (len(low) == 1 or (low in person_nouns() and low not in given_names())):
        return None
    return Run(tokens, first, last, title)


def _ends_name(low: str) -> bool:
    """Whether an ordinary word may end a name, of a person or of a place: "Dae-hyun Moon", "Pier Street"."""
    return low in given_names() or low in words("surnames") or low in words("places_proper")


def name_counts(text: str) -> Counter[str]:
    """Words of ``text`` that may be given names, with how often they stand inside a sentence."""
    found = Counter(_CAPITALISED.findall(text))
    return Counter({word: count for word, count in found.items() if word.casefold() not in _no_names()})


@cache
def _no_names() -> frozenset[str]:
    titles = words("honorifics") | words("person_words")
    return titles | words("common_words") | words("places_proper") | words("cities") | _CALENDAR
