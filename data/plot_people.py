"""Finds the two people of a plot in its beats, and makes a woman of a man there, or the other way about.

Knows names in their forms, descriptions, and pronouns. Where both people are of one gender afterwards, a pronoun that would be
anybody's becomes a name. Raises `Refused` where it is not clear whom a pronoun means. Puts no brief into a plot (`data.plot_fill`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from typing import NamedTuple

from data.english import person_nouns
from data.lists import words
from data.plot_scene import NP, Edit, Refused
from data.plots import Person

__all__ = [
    "Introduction",
    "Mention",
    "check_third",
    "find_again",
    "find_introduction",
    "find_name",
    "forms",
    "known_people",
    "regender",
    "words_of",
]

_PRONOUNS = {"f": ("she", "her", "her", "herself", "hers"), "m": ("he", "him", "his", "himself", "his")}
_SUBJECT, _OBJECT, _OWN, _SELF, _OWNED = range(5)
_PRONOUN = re.compile(r"\b(?:(?P<f>she|hers?|herself)|(?P<m>he|him|his|himself))\b", re.IGNORECASE)
_ENDS = re.compile(
    r"$|[^\w\s]|\s+(?:an?|and|as|at|back|for|from|how|if|in|into|of|off|on|onto|that|the|to|what|whether|why|with|by|but|because|before|"
    r"after|until|while|when|where|who|again|away|alone|down|up|out|home|about|over|through|there|here|so|too|every|his|my|another|"
    r"across|along|once|tomorrow|today|gently|is|was|has|one|two|three|some|something|nothing|everything|quietly|kindly|this|than|"
    r"beside|under|near|behind|towards?|inside|outside|more|only|just|half|both|all|how|which|come|sit|stay|go|wait|hold|keep|speak|"
    r"sing|play|read|dance|laugh|smile|talk|draw|paint|help|tell|look|listen|feel|forget|cry|sleep|eat|not|never|always|anyway|instead)\b"
)
_CLAUSE = re.compile(
    r"[,;:.]|\b(?:that|and|but|or|while|because|as|until|when|if|whether|so|who|before|after|where|what|how|why|than|which)\b"
)
_JOINED = re.compile(r"[,;:.]|and|but|or|while|until|when|so|before|after|as")


_GIVING = re.compile(
    r"\b(?:giv(?:es?|ing)|gave|shows?|showing|tells?|telling|offers?|offering|hands?|handing|brings?|bringing|sends?|lends?|teach(?:es)?|"
    r"promises?|wish(?:es)?|pours?|buys?|asks?|asking|passes|reads?|sings?|plays?|costs?|leaves?|makes?|pays?|owes|saves?|finds?|writes?|"
    r"watch(?:es|ing)?|sees?|seeing|hears?|hearing|helps?|helping|lets?|letting|has|notices?) $"
)
"""A verb before "her": "gives her hope", "gives her pen"."""


NO_PEOPLE = frozenset(
    "eye pan reader count general private little young old miss master model king chief lady saint".split()
)
"""Words that are seldom people, though lists have them."""


class Introduction(NamedTuple):
    """Where a beat introduces somebody. kind: "apposed" to a name, "called" or "before" one, "plain" name or "alone"."""

    start: int
    end: int
    kind: str


class Mention(NamedTuple):
    """Where a beat has a person. who: "hero" or "met"."""

    start: int
    end: int
    who: str
    role: int = -1


@cache
def known_people() -> frozenset[str]:
    """Nouns that mean people."""
    return person_nouns() - NO_PEOPLE


def words_of(*phrases: str) -> list[str]:
    """The words of some phrases, as they stand."""
    return [word for phrase in phrases for word in re.findall(r"[^\W\d_][\w'’\-]*", phrase)]


@cache
def forms(name: str) -> tuple[str, str, str]:
    """A name whole, its given name and its surname: each the whole where there is one word, or a title."""
    first, _, last = name.partition(" ")
    if not last or first.casefold().strip(".") in words("honorifics"):
        return name, name, name
    return name, first, last


def find_name(beat: str, names: tuple[str, str, str]) -> Iterator[tuple[int, int, int, bool]]:
    """Find a name in a beat: its form, start, end, and whether "'s" goes with it."""
    pattern = "|".join(re.escape(form) for form in dict.fromkeys(names) if form)
    if not pattern:
        return
    for hit in re.finditer(rf"(?<![\w\-])(?P<form>{pattern})(?P<own>['’]s?(?!\w))?(?![\w\-])", beat):
        own = bool(hit["own"]) and (hit["own"][1:] == "s" or hit["form"].endswith("s"))
        yield names.index(hit["form"]), hit.start(), hit.end() if own else hit.end("form"), own


def find_introduction(beat: str, met: Person) -> Introduction | None:
    """Find where a beat introduces somebody."""
    head, tail = re.escape(met.head), f"(?: {re.escape(met.tail)})?" if met.tail else ""
    name = "|".join(map(re.escape, dict.fromkeys(forms(met.name)))) if met.name else ""
    told = rf"[Aa]n? (?:{NP},? ){{0,4}}{head}(?![\w\-]){tail}"
    patterns = {} if name else {"alone": told}
    if name and met.noun:
        patterns = {
            "apposed": rf"(?:{name}), (?:the |an? )(?:{NP},? ){{0,4}}{head}(?![\w\-]){tail}",
            "called": rf"{told},? (?:named|called) (?:{name})(?![\w\-])",
            "before": rf"(?:[Tt]he )?(?:{NP} ){{0,2}}{head} (?:{name})(?![\w\-])",
        }
    if name:
        patterns["plain"] = rf"(?:{name})(?![\w\-])"
    for kind, pattern in patterns.items():
        if hit := re.search(rf"(?<![\w\-]){pattern}", beat):
            return Introduction(*hit.span(), kind)
    return None


def find_again(beat: str, met: Person, others: Sequence[str]) -> list[tuple[int, int, bool]]:
    """Find later mentions of the met person: start, end and whether "'s" goes with it.

    others: nouns that mean this person too: "the stranger".
    """
    found = [(start, end, own) for _, start, end, own in find_name(beat, forms(met.name))] if met.name else []
    nouns = "|".join(map(re.escape, sorted({met.head, *others} - {""})))
    if nouns:
        pattern = rf"\b(?:[Tt]he|[Tt]his|[Tt]hat) (?:{NP} ){{0,3}}?(?:{nouns})(?![\w\-])"
        found += [(*hit.span(), False) for hit in re.finditer(pattern, beat)]
    return sorted(found)


def regender(
    beat: str, mentions: Sequence[Mention], old: tuple[str, str], new: tuple[str, str], names: tuple[str, str]
) -> list[Edit]:
    """Find the edits that give a beat's pronouns to people of other genders.

    mentions: of both people, without pronouns. old, new: the protagonist's and the met person's gender. names: how each is said again.
    """
    events = [*mentions, *_pronouns(beat, old, new)]
    events.sort()
    edits: list[Edit] = []
    subject = before = last = None
    at = 0
    marks: list[str] = []
    inner = False  # whether the clause before is one in another: "asks whether she is"
    for index, event in enumerate(events):
        if found := _CLAUSE.findall(beat[at : event.start]):
            inner = bool(marks) and not _joins(marks)
            marks, before, subject = found, subject or before, None
        joined = _joins(marks)
        if event.role >= 0:
            form = text = _PRONOUNS[new[event.who == "met"]][event.role]
            near = events[index - 1 : index + 2] if index else [None, *events[:2]]
            if new[0] == new[1] and not (last is None and _soon_named(events, index)):
                text = _clear(beat, near, form, names, (subject, before, last), joined, inner)
            if beat[event.start].isupper():
                text = text[0].upper() + text[1:]
            if text != beat[event.start : event.end]:
                edits.append(Edit(event.start, event.end, text))
        if subject is None and event.role in (-1, _SUBJECT):
            subject = event.who
        last, at = event.who, event.end
    return edits


def _joins(marks: Sequence[str]) -> bool:
    """Whether what stands between two clauses lets the second have the subject of the first."""
    return all(_JOINED.fullmatch(mark) for mark in marks)


def check_third(beats: Sequence[str], own: Collection[str]) -> None:
    """Refuse beats in which a pronoun may be somebody else's than the two people's. own: words for these."""
    others = (known_people() | words("person_words", "beast")) - set(own)
    for at, beat in enumerate(beats):
        said = [re.sub(r"['’]s?$", "", word.casefold()) for word in words_of(beat)]
        third = next((index for index, word in enumerate(said) if word in others), None)
        if third is not None and not {"she", "he", "her", "him", "his", "hers"}.isdisjoint(
            [*said[third:], *(word.casefold() for word in words_of(*beats[at + 1 : at + 2])[:3])]
        ):
            raise Refused(f"it is not clear whether a pronoun means the {said[third]}")


def _clear(
    beat: str,
    near: Sequence[Mention | None],
    form: str,
    names: tuple[str, str],
    people: tuple[str | None, str | None, str | None],
    joined: bool,
    inner: bool,
) -> str:
    """A pronoun where it can mean one person only, else the name.

    near: the mention before, the pronoun, and the one after. people: who does what the clause tells, who does it in the clause before,
    and who was said last. joined: whether both clauses may have one subject. inner: whether
    the clause before stands in another one: "asks whether she is".
    """
    previous, event, after = (*near, None)[:3]
    assert event
    subject, before, last = people
    who, name = event.who, names[event.who == "met"]
    if event.role == _SELF:
        return form
    if event.role == _SUBJECT:
        if subject:
            return form if subject == who else name
        if joined:
            return form if before == last == who and not inner else name
        if before == who != last:
            raise Refused("it would not be clear whom a pronoun means")
        return form if last == who else name
    doer = subject or (before if joined else None)
    if event.role == _OBJECT:
        if after and after.start == event.end + 1 and after.role < 0:  # "beside her Grete sips"
            return form
        if re.match(r" (?:her|his)\b", beat[event.end :]):  # no "her her pen"
            return name
        if doer:
            return form
        return form if before == who and last == who else name
    if (
        after
        and after.who == who
        and after.role == _SUBJECT
        and not _CLAUSE.search(beat, event.end, after.start)
    ):
        return form  # "with her notebook Ada"
    doer = subject or before
    between = beat[previous.end : event.start] if previous else ""
    if doer == who or (
        previous and previous.who == who and re.match(r",? \w+ing\b| (?:to )?[a-z]+ $", between)
    ):
        return form
    if previous and previous.who == who and len(between.split()) < 2:
        raise Refused("it would not be clear whom a pronoun means")
    return f"{name}'s"


def _soon_named(events: Sequence[Mention], index: int) -> bool:
    """Whether the next person said is the same one, by a name: "as she leaves, Ada smiles"."""
    after = events[index + 1 : index + 2]
    return bool(after) and after[0].role < 0 and after[0].who == events[index].who


def _pronouns(beat: str, old: tuple[str, str], new: tuple[str, str]) -> Iterator[Mention]:
    for hit in _PRONOUN.finditer(beat):
        who = "hero" if old[0] == ("f" if hit["f"] else "m") else "met"
        kept = new[0] != new[1] and new[who == "met"] == "f"
        low = hit[0].casefold()
        if low in ("she", "he"):
            role = _SUBJECT
        elif low in ("herself", "himself"):
            role = _SELF
        elif low == "him":
            role = _OBJECT
        elif low == "hers":
            role = _OWNED
        elif low == "her":
            role = _OBJECT if _ENDS.match(beat, hit.end()) else _OWN
            if role == _OWN and not kept and _GIVING.search(beat[: hit.start()]):
                raise Refused("it is not clear whether somebody has or gets something")
        else:
            role = _OWNED if re.match(r"$|[^\w\s]|\s+(?:and|or|but|is|too)\b", beat[hit.end() :]) else _OWN
        yield Mention(*hit.span(), who, role)
