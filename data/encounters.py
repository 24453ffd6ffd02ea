"""Finds whom the protagonist meets: "a young woman", or by a name with what is said of it: "Sophia, the barista".

Takes the other person who comes back most for the one met; does not understand whether they meet at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from data.english import grammar, indefinite, is_adjective, person_nouns
from data.lists import groups
from data.names import Run
from data.page import Page
from data.people import Person

__all__ = ["find_encounter"]


def find_encounter(page: Page, hero: Person | None, others: Sequence[Person], occupation: str) -> str | None:
    """Whom the protagonist meets: the other person, named or described, who comes back most.

    `others` come likeliest first; `occupation` is the protagonist's, so that "the baker" is nobody else, or "".
    """
    described = _described(page, hero, occupation)
    if others and (not described or others[0].weight + 0.5 >= described[0]):
        return _introduced(page, others[0])
    return described[1] if described else None


def _described(page: Page, hero: Person | None, occupation: str) -> tuple[int, str] | None:
    """The person without a name who comes back most: (mentions, "a young woman")."""
    heroes = {index for run in hero.runs for index in range(run.first, run.last + 1)} if hero else set()
    tally: Counter[str] = Counter()
    phrases: dict[str, str] = {}
    for index, word in enumerate(page.words):
        if word.quoted or word.low not in person_nouns() or word.own or occupation.endswith(word.low):
            continue
        start = page.determiner(index)
        if start < 0:
            continue
        tally[word.low] += 1
        own = heroes & {start - 1, start - 2, index + 1, index + 2} or page.low(start - 1) in grammar(
            "likening"
        )
        if word.low not in phrases and not own and page.low(start) in ("a", "an"):
            said = [w.low for w in page.words[start + 1 : index] if w.low not in ("and", "but")]
            phrases[word.low] = indefinite(" ".join([*said[-2:], word.low]))
    for beast in groups("person_words")["beast"]:
        phrases.pop(beast, None)  # a beast is met only where it has a name
    best = max(phrases, key=lambda low: tally[low], default=None)
    return (tally[best], phrases[best]) if best else None


def _introduced(page: Page, person: Person) -> str:
    """A person's name with what is said of them where they are first named: "Colette, a fellow artist"."""
    name = person.name
    titled = [run for run in person.runs if run.title not in ("", "initial") and not is_adjective(run.title)]
    if titled and 2 * len(titled) >= len(person.runs):
        run = titled[0]
        name = page.text[page.words[run.first - 1].start : page.words[run.last].end]
    for run in person.runs[:3]:
        told = _told_before(page, run) or _told_after(page, run)
        if told:
            return f"{name}, {told}"
    return name


def _told_before(page: Page, run: Run) -> str | None:
    """What is said of a person right before the name: "a fellow artist named Colette", "her sister Graça"."""
    end = run.first - 1
    if page.low(end) in ("named", "called"):
        end -= 1
    elif page.low(end) == "as" and page.low(end - 3) == "who":
        end -= 4  # "the barista, who introduced herself as Sophia"
    if page.low(end) not in person_nouns() or page.words[end].text[0].isupper():
        return None
    return _person_phrase(page, end)


def _told_after(page: Page, run: Run) -> str | None:
    """What is said of a person right after the name: "Colette, a fellow artist", "Colette was an artist"."""
    after = run.last + 1
    if page.words[run.last].own or not (page.gap(after) == ", " or page.low(after) in ("was", "is")):
        return None
    for index in range(after, after + 7):
        if index > after and page.gap(index) not in (" ", ", "):
            return None
        if page.low(index) in person_nouns():
            near = run.last < page.determiner(index) <= run.last + 2
            return _person_phrase(page, index) if near else None
    return None


def _person_phrase(page: Page, index: int) -> str | None:
    """The noun phrase that ends at an index, at most five words after its determiner."""
    start = page.determiner(index)
    if start < 0:
        return None
    said = " ".join(word.low for word in page.words[start + 1 : index + 1])
    if page.low(start) in ("a", "an"):
        return indefinite(said)
    return f"{page.low(start)} {said}" if page.low(start) in grammar("owners") else f"the {said}"
