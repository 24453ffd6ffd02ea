"""Makes training documents of clean texts: whole stories, abridged ones, openings, endings, passages; some with a brief, in new names.

An end of text stands only where a story truly ended, an opening token only where one begins as a reader would take it. What
is random depends on the text's id and the seed alone. Does not tokenise.
"""

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from data.brief import FIELDS, Brief
from data.detect import detect_brief
from data.names import name_counts
from training.pretrain.abridge import abridged
from training.pretrain.clean import curl
from training.pretrain.corpus import Text
from training.pretrain.names import recast

SHORT = 520
"""Words up to which a whole story is one document."""

ENDING = (220, 450)
"""Words of an ending cut from a long story; with its brief it must fit into a row, or its end would be cut off."""

PASSAGE = 420
"""Words of an opening or a passage; the sequence length cuts what is too much."""

ABRIDGED = 2
"""Short stories that a long one gives, cut in different ways."""

WITH_BRIEF = 0.6
"""Share of the stories that stand behind a brief, where nothing else is wanted. Endings never do: what is asked for begins where a
story begins."""

CURLY = 0.15
OPENING_SHARE = 0.015
"""Share of a source's stories that may open with the same four words."""


@dataclass(frozen=True)
class Piece:
    """One document: ``bucket`` is source/kind; ``header`` carries no loss."""

    bucket: str
    header: str
    text: str
    begins: bool
    ends: bool


def capped_openings(texts: Sequence[Text]) -> set[str]:
    """Ids of the texts that open like more than their share of their source: their openings are not used."""
    totals = Counter(text.source for text in texts if text.begins)
    seen: Counter[tuple[str, str]] = Counter()
    capped = set()
    for text in texts:
        if text.begins and text.source != "vignettes":
            key = (text.source, " ".join(re.findall(r"\w+", text.text.lower())[:4]))
            seen[key] += 1
            if seen[key] > max(3, OPENING_SHARE * totals[text.source]):
                capped.add(text.id)
    return capped


def pieces(
    text: Text, favoured: set[str], capped: bool, seed: int, with_brief: float = WITH_BRIEF
) -> list[Piece]:
    """The documents that ``text`` gives; those that are a story's beginning have a brief with probability ``with_brief``."""
    rng = random.Random(f"{seed}:{text.id}")
    body = text.text
    if text.source != "vignettes":
        body = recast(body, favoured, rng, hero=rng.random() < 0.5, surname=rng.random() < 0.5)
    curly = rng.random() < CURLY
    found = []
    for kind, part, begins, ends in _cut(text, body, capped, rng):
        header = ""
        if begins and kind != "ending" and rng.random() < with_brief:
            # An opening is asked for by what the whole story is, the only one that says how long it gets.
            asked = body if kind == "opening" else part
            header = _some_fields(
                Brief.from_dict(text.brief) if text.brief else detect_brief(asked), asked, rng
            )
        found.append(Piece(f"{text.source}/{kind}", header, curl(part) if curly else part, begins, ends))
    return found


def _cut(text: Text, body: str, capped: bool, rng: random.Random) -> Iterator[tuple[str, str, bool, bool]]:
    """(kind, words, begins, ends) of each part."""
    paragraphs = body.split("\n\n")
    sizes = [len(p.split()) for p in paragraphs]
    if text.begins and sum(sizes) <= SHORT:
        if not capped:
            yield "whole", body, True, text.ends
        return
    first, last = 0, len(paragraphs)
    if text.begins:
        first = _take(sizes, 0, PASSAGE)
        if not capped:
            yield "opening", "\n\n".join(paragraphs[:first]), True, False
    if text.begins and text.ends:
        # One that opens like too many others may still open with its second paragraph.
        for short in abridged(paragraphs, rng, ABRIDGED, start=int(capped)):
            yield "abridged", short, True, True
    if text.ends:
        last = _ending(paragraphs, sizes, rng)
        if last < len(paragraphs):
            yield "ending", "\n\n".join(paragraphs[last:]), True, True
    while first < last:
        stop = min(_take(sizes, first, PASSAGE), last)
        if sum(sizes[first:stop]) >= PASSAGE // 4:
            yield "passage", "\n\n".join(paragraphs[first:stop]), False, False
        first = stop


def _take(sizes: Sequence[int], first: int, words: int) -> int:
    """The paragraph after the last of a part of at least ``words`` words that begins with paragraph ``first``."""
    total, stop = 0, first
    while stop < len(sizes) and total < words:
        total += sizes[stop]
        stop += 1
    return max(stop, first + 1)


def _ending(paragraphs: Sequence[str], sizes: Sequence[int], rng: random.Random) -> int:
    """Where an ending of `ENDING` words starts: one of the paragraphs that open best.

    Best is a first sentence that names the hero rather than says "she", and that nobody speaks. The number of paragraphs if
    none fits.
    """
    hero = next((name for name, _ in name_counts(" ".join(paragraphs)).most_common(1)), None)
    total, found = 0, []
    for start in range(len(paragraphs) - 1, -1, -1):
        total += sizes[start]
        if total > ENDING[1]:
            break
        if total >= ENDING[0]:
            opening = re.split(r"(?<=[.!?])\s", paragraphs[start], maxsplit=1)[0]
            found.append(((hero is not None and hero in opening, not opening.startswith(('"', "'"))), start))
    best = [start for quality, start in found if quality == max(found)[0]]
    return rng.choice(best) if best else len(paragraphs)


def _some_fields(brief: Brief, text: str, rng: random.Random) -> str:
    """The header of a random choice of the brief's fields, the name nearly always; "" where none is left."""
    fields = brief.to_dict() | {"length": round(len(text.split()), -1) or 10}
    share = rng.choice((0.5, 1.0, 1.0))
    kept = {
        f: fields[f]
        for f in FIELDS
        if f in fields and rng.random() < (max(share, 0.9) if f == "name" else share)
    }
    return Brief.from_dict(kept).header()
