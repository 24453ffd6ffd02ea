"""Finds the protagonist's occupation: phrases that give one, such as "was a", "as a" or "the baker Ada".

A phrase counts only if its noun is one of `lists/occupations.txt`. Does not infer an occupation from what
somebody does.
"""

from __future__ import annotations

import re

from data.english import grammar, is_adjective, occupation_heads
from data.lists import words
from data.names import Run
from data.page import WORD, Page
from data.people import Person

__all__ = ["find_occupation"]

_PHRASE = r"([^\W\d_][^.,;:!?\n\"()—–]{2,70})"
_BEING = (
    r"(?:was|is|'s|am|'m|has been|had been|have been|had once been|became|becomes|had become"
    r"|works as|work as|worked as|has worked as|had worked as|had trained as)"
)


def find_occupation(page: Page, hero: Person | None) -> str | None:
    """The protagonist's occupation: the best supported of all phrases that give one, early ones first."""
    found: list[tuple[float, str]] = []

    def look(pattern: str, score: float, text: str = page.told) -> None:
        for match in re.finditer(pattern, text):
            role = _role(match[1])
            if role:
                found.append((score - 2.0 * match.start() / len(text), role))

    if page.first_person:
        look(rf"\bI ?{_BEING} (?:an?|the) {_PHRASE}", 5.0)
        look(rf"\bI, [^.,]{{3,40}}, (?:an? |the )?{_PHRASE}", 4.0)
        look(rf"\b(?:I'm|I am|I was) (?:an?|the) {_PHRASE}", 3.0, page.text)
    if hero:
        names = "(?:" + "|".join(re.escape(form) for form in (hero.name, *hero.tokens)) + ")"
        look(rf"\b{names},? (?:who )?{_BEING} (?:an?|the|our|their) {_PHRASE}", 5.0)
        look(rf"\b{names}, (?:an? |the |once an? )?{_PHRASE}", 4.5)
        look(rf"(?:\A|[.!?]\s+)An? {_PHRASE}, (?:{names}|he|she)\b", 4.0)
        for run in hero.runs:
            role = _role_before(page, run)
            if role:
                found.append((4.0 - 2.0 * run.first / len(page.words), role))
        if not page.first_person:
            look(rf"\b(?:[Hh]e|[Ss]he|who) {_BEING} (?:an?|the) {_PHRASE}", 3.2)
    if hero or page.first_person:
        look(rf"\b[Aa]s (?:an?|the) {_PHRASE}", 3.0)
        look(rf"\b(?:job|work|career|years?|life|living) as (?:an?|the) {_PHRASE}", 3.5)
    return max(found, key=lambda pair: pair[0])[1] if found else None


def _role(text: str) -> str | None:
    """The occupation with which a text begins: "brilliant young cellist from Lyon" -> "cellist"."""
    phrase: list[str] = []
    for match in WORD.finditer(text):
        low = match[0].casefold()
        if low in grammar("stops") or len(phrase) == 7:
            break
        if phrase or low not in ("a", "an", "the"):
            phrase.append(low)
    while phrase and phrase[-1] not in occupation_heads():
        phrase.pop()
    occupations = words("occupations")
    if not phrase or (phrase[-1] in grammar("loose") and " ".join(phrase[-2:]) not in occupations):
        return None
    kept = phrase[-1:]
    for low in reversed(phrase[:-1]):
        known = " ".join([low, *kept]) in occupations or low in grammar("kept")
        if not known and (len(kept) > 2 or is_adjective(low)):
            break
        kept.insert(0, low)
    return " ".join(kept)


def _role_before(page: Page, run: Run) -> str | None:
    """The occupation right before a name: "the old engineer Halldór", "a potter named Zaynab"."""
    end = run.first - (2 if page.low(run.first - 1) in ("named", "called") else 1)
    if page.low(end) not in occupation_heads() or page.gap(end + 1) != " ":
        return None
    start = end
    while start > 0 and end - start < 5 and page.gap(start) in (" ", ", "):
        before = page.low(start - 1)
        if before in grammar("stops"):
            break
        start -= 1
        if before in ("a", "an", "the"):
            break
    return _role(page.text[page.words[start].start : page.words[end].end])
