"""Abridges a long story to the length of a short one: its opening, something that happens, its true end.

Whole paragraphs are left out and nothing else is changed. What follows a gap opens like a new scene: nobody is speaking, the
first sentence names somebody or a time, and it knows nobody who was met in a gap. Draws no name anew.
"""

import random
import re
from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate

from data.names import name_counts

WORDS = (230, 460)
"""Words of the whole; with its brief it must fit into a row, or its end would be cut off."""

OPENING, MIDDLE, ENDING = (50, 170), (60, 220), (70, 230)
"""Words of each part."""

Span = tuple[int, int]
"""Paragraphs from the first to before the second."""

_TIME = re.compile(
    r"(Days|Eventually|Finally|Hours|Later|Moments|Months|Soon|Weeks|Years)\b|(After|As|At|By|From|In|On|Over|One|That|The|Then|When|With)"
    r"\b(\W+\w+){0,5}?\W+(afternoon|autumn|dawn|days?|dusk|end|evening|hours?|midnight|minutes?|moments?|months?|morning|night|noon|"
    r"seasons?|spring|summer|sunset|sun|sunrise|time|weeks?|winter|years?)\b"
)
_LEANS = re.compile(r"(He|Her|His|It|Its|She|Their|They)\b")
_WORD = re.compile(r"\b[A-Z]\w+")


def abridged(paragraphs: Sequence[str], rng: random.Random, number: int = 1, start: int = 0) -> list[str]:
    """At most ``number`` stories of `WORDS` words out of ``paragraphs`` from ``start`` on, random ones of the ways that there are."""
    ways = list(_ways(paragraphs, start))
    chosen = rng.sample(ways, min(number, len(ways)))
    return ["\n\n".join(p for first, last in way for p in paragraphs[first:last]) for way in chosen]


def _ways(paragraphs: Sequence[str], start: int) -> Iterator[tuple[Span, Span, Span]]:
    """All openings, middles and endings that go together."""
    counts = name_counts(" ".join(paragraphs))
    scene = [_opens(paragraph, counts) for paragraph in paragraphs]
    count = len(paragraphs)
    people = [{word for word in _WORD.findall(paragraph) if word in counts} for paragraph in paragraphs]
    hero = max(counts, key=lambda name: counts[name], default=None)
    if hero is None or start >= count or (start > 0 and not (scene[start] and hero in people[start])):
        return
    before = [0, *accumulate(len(paragraph.split()) for paragraph in paragraphs)]

    def words(span: Span) -> int:
        return before[span[1]] - before[span[0]]

    def there(first: int, last: int) -> set[str]:
        return set().union(*people[first:last])

    def fits(span: Span, limits: tuple[int, int]) -> bool:
        return limits[0] <= words(span) <= limits[1]

    # Whoever is met in a gap, or before the beginning, is a stranger after it.
    before_it = there(0, start) - {hero}
    endings = [
        (first, count) for first in range(start + 1, count) if scene[first] and fits((first, count), ENDING)
    ]
    for end in range(start + 1, count):
        opening = (start, end)
        if not fits(opening, OPENING) or hero not in there(*opening) or before_it & there(*opening):
            continue
        for first in range(end, count):
            if first > end and not scene[first]:
                continue
            strangers = before_it | (there(end, first) - there(*opening))
            for last in range(first + 1, count):
                middle = (first, last)
                if not fits(middle, MIDDLE) or strangers & there(*middle):
                    continue
                met = there(*opening) | there(*middle)
                for ending in endings:
                    if ending[0] < last or ((strangers | there(last, ending[0])) - met) & there(*ending):
                        continue
                    if WORDS[0] <= words(opening) + words(middle) + words(ending) <= WORDS[1]:
                        yield opening, middle, ending


def _opens(paragraph: str, names: Collection[str]) -> bool:
    """Whether a scene may begin here."""
    first = re.split(r"(?<=[.!?])\s", paragraph, maxsplit=1)[0]
    if first.startswith(('"', "'", "“", "‘")) or _LEANS.match(first):
        return False
    return bool(_TIME.match(first)) or any(word in names for word in _WORD.findall(first))
