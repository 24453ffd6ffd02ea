"""Finds everybody named in a page, and who of them the protagonist is.

Weighs for every name what speaks for a person and what for a place: lists of names, titles, the words
around it. Does not find people without a name ("the old woman"): `data.encounters` does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from data.english import given_names, grammar, is_ordinary, person_nouns
from data.lists import words
from data.names import Run, runs
from data.page import SPEAKER, Page

__all__ = ["Person", "find_people", "find_protagonist"]

_PLACE_CUES = {
    before: cue
    for cue, group in {
        2.0: "in across throughout the a an",
        1.5: "near outside into",
        1.0: "around through",
        0.7: "from",
        0.6: "at",
        0.3: "to",
        0.2: "of",
    }.items()
    for before in group.split()
}
"""How much a word before a name speaks for a place."""


@dataclass
class Person:
    """Somebody named, and where; `weight` counts the mentions, those in speech half."""

    tokens: tuple[str, ...]
    runs: list[Run] = field(default_factory=list)
    weight: float = 0.0

    @property
    def name(self) -> str:
        """The fullest name: "Ada Moreau"."""
        return " ".join(self.tokens)


def find_people(page: Page) -> list[Person]:
    """Everybody named, in order of first mention. Shorter forms of a full name count as that person."""
    uses: dict[tuple[str, ...], list[Run]] = defaultdict(list)
    for run in runs(page):
        uses[run.tokens].append(run)
    persons = _named_in_full(page, uses)
    owners = _owners(persons)
    for tokens in uses:
        if len(tokens) > 1:
            continue
        titled = _titled(uses[tokens])
        owner = owners.get((tokens[0], titled)) or owners.get((tokens[0], not titled))
        if owner:
            owner.runs += uses[tokens]
        elif _score(page, uses[tokens]) >= 2.0:
            persons.append(Person(tokens, uses[tokens]))
    persons += _speakers(page, {token.casefold() for person in persons for token in person.tokens})
    for person in persons:
        person.runs.sort(key=lambda run: run.first)
        person.weight = sum(0.5 if page.words[run.first].quoted else 1.0 for run in person.runs)
    return sorted(persons, key=lambda person: person.runs[0].first)


def _named_in_full(page: Page, uses: Mapping[tuple[str, ...], list[Run]]) -> list[Person]:
    """Everybody with a name of several words, of which a part may be used too: "Ada Moreau" of "Ada L. Moreau"."""
    alone = {tokens[0] for tokens in uses if len(tokens) == 1}
    persons: list[Person] = []
    forms: dict[tuple[str, ...], Person] = {}
    for tokens in sorted((tokens for tokens in uses if len(tokens) > 1), key=lambda tokens: -len(tokens)):
        if tokens in forms:
            forms[tokens].runs += uses[tokens]
        elif _score(page, uses[tokens], tokens[0] in alone) >= 1.5:
            person = Person(tokens, uses[tokens])
            persons.append(person)
            for cut in range(1, len(tokens)):
                forms.setdefault(tokens[:cut], person)
                forms.setdefault(tokens[cut:], person)
    return persons


def _owners(persons: Sequence[Person]) -> dict[tuple[str, bool], Person]:
    """Whose name a word is, by (word, whether a surname): who is named in full most often, then first."""
    owners: dict[tuple[str, bool], Person] = {}
    for person in sorted(persons, key=lambda person: (-len(person.runs), person.runs[0].first)):
        owners.setdefault((person.tokens[-1], True), person)
        for token in person.tokens[:-1]:
            owners.setdefault((token, False), person)
    return owners


def _speakers(page: Page, known: set[str]) -> list[Person]:
    """Speakers of a script, in capitals before at least two lines, who are not known otherwise."""
    lines: dict[str, list[Run]] = defaultdict(list)
    starts = {match.start() for match in SPEAKER.finditer(page.text)}
    for index, word in enumerate(page.words):
        if word.start in starts and word.low not in known:
            lines[word.low].append(Run((word.text.title(),), index, index, ""))
    return [Person(found[0].tokens, found) for found in lines.values() if len(found) > 1]


def _titled(mentions: Sequence[Run]) -> bool:
    """Whether most mentions have a title."""
    return 2 * sum(bool(run.title) for run in mentions) > len(mentions)


def _score(page: Page, mentions: Sequence[Run], alone: bool = False) -> float:
    """How much speaks for a person where a name stands; `alone`: its first word also stands by itself."""
    tokens = [token.casefold() for token in mentions[0].tokens]
    first, last, several = tokens[0], tokens[-1], len(tokens) > 1
    named = first in given_names()
    if not named and not page.english:
        return -1.0
    score = (1.5 if several else 0.0) + (1.0 if alone else 0.0)
    if named:
        score += 1.0 if is_ordinary(first) or first in words("cities") else 3.0
    if several and last in words("surnames"):
        score += 1.0
    if all(token in words("cities") for token in tokens):
        score -= 4.0
    elif last in words("cities") and not named:
        score -= 2.0
    if first in words("places_proper") or first in grammar("articles") or first.startswith("saint-"):
        score -= 4.0
    elif several and last in words("places_proper"):
        score -= 1.0 if named else 3.0
    if not several:
        opening = all(page.words[run.first].opens for run in mentions)
        score += 0.0 if opening else 0.5
        score -= 2.0 if opening and (page.plain[first] or (not named and len(mentions) == 1)) else 0.0
        score -= 1.5 if not named and first.endswith(("ian", "ean", "ese", "ish")) else 0.0
    cues = min(3.0, sum(_person_cue(page, run) for run in mentions))
    return score + cues - min(5.0, sum(_place_cue(page, run) for run in mentions))


def _person_cue(page: Page, run: Run) -> float:
    """What the words around one mention say for a person."""
    cue = 2.5 if run.title else 0.0
    before, earlier = page.low(run.first - 1), page.low(run.first - 2)
    if before in ("named", "called"):
        cue += 3.0 if earlier in person_nouns() else -1.0
    elif before in ("is", "was", "am", "i'm") and earlier in ("name", "i"):
        cue += 3.0
    elif before in grammar("speech") and not page.words[run.first].opens:
        cue += 2.0
    elif before in person_nouns() and page.gap(run.first) == " ":
        cue += 1.5
    if page.words[run.last].own:
        return cue + 0.3
    return cue + (0.8 if page.gap(run.last + 1) == " " and _acts(page, run) else 0.0)


def _acts(page: Page, run: Run) -> bool:
    """Whether what follows a name is what people do: "said", "opened"."""
    after = page.low(run.last + 1)
    return after in grammar("acts") or after.endswith("ed")


def _place_cue(page: Page, run: Run) -> float:
    """What the words around one mention say for a place, or for a title in quotation marks."""
    before, cue = page.low(run.first - 1), 0.0
    if not run.title and page.gap(run.first).isspace():
        proper = before in words("places_proper") and before not in person_nouns()
        cue = 3.0 if proper else _PLACE_CUES.get(before, 0.0)
    start, end = page.words[run.first].start, page.words[run.last].end
    marks = page.text[start - 1 : start] + page.text[end : end + 1]
    return cue + (3.0 if len(run.tokens) > 1 and marks in ('""', "“”", "«»") else 0.0)


def find_protagonist(page: Page, found: Sequence[Person]) -> Person | None:
    """Whom a text is about: who is named most and first, in full, without "Mr", and whose mind we see."""
    if page.first_person:
        return _narrator(page, found)

    def rank(person: Person) -> float:
        score = person.weight + 0.7 * sum(page.low(run.last + 1) in grammar("inward") for run in person.runs)
        score += 4.0 if len(person.tokens) > 1 else 0.0
        score += 1.5 if person.runs[0].first * 8 < len(page.words) else 0.0
        score += 1.0 if person is found[0] else 0.0
        return score - (3.0 if _titled(person.runs) else 0.0)

    return max(found, key=rank, default=None)


def _narrator(page: Page, found: Sequence[Person]) -> Person | None:
    """Who says "I": who is introduced so, or signs, or else is named in full and does nothing else."""
    signature = min((run.first for person in found for run in person.runs if _signs(page, run)), default=-1)

    def rank(person: Person) -> float:
        score = 2.0 if len(person.tokens) > 1 and person.weight < 6 else 0.0
        for run in person.runs:
            score += _narrator_cue(page, run, signature)
        return score

    best = max(found, key=rank, default=None)
    return best if best and rank(best) >= 1.5 else None


def _narrator_cue(page: Page, run: Run, signature: int) -> float:
    """What the words around one mention say for the narrator; `signature`: the first name that signs."""
    before, earlier = page.low(run.first - 1), page.low(run.first - 2)
    quoted = page.words[run.first].quoted
    if before in ("i", "i'm", "me", "mine") or (
        before in ("is", "am", "name", "says") and earlier in ("i", "name", "mine", "my", "which")
    ):
        return 1.0 if quoted else 4.0
    if run.first == signature or (run.first <= 4 and before in ("of", "by", "from")):
        return 4.0
    if _signs(page, run):
        return 0.5
    if run.title:
        return -0.3
    return -1.5 if not quoted and _acts(page, run) else 0.0


def _signs(page: Page, run: Run) -> bool:
    """Whether a name ends a line as under a letter: alone, or at the text's end after a comma."""
    word, end = page.words[run.first], page.words[run.last].end
    if page.text[end : end + 60].split("\n")[0].strip(" ."):
        return False
    return word.opens or ("," in word.gap and end > 0.9 * len(page.text.rstrip()))
