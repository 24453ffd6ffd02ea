"""A text's names as slots that can be filled anew: the same text about people of other names, consistently.

A model that is shown an original twice would learn whom it is about. Here a given name is replaced by one of the same gender,
so that pronouns stay right, and a surname by a surname, wherever `data.people` finds them and in every later form: "Ada Moreau",
"Mrs. Moreau", "Ada's", "ADA". Leaves places and occupations as they are, and people without a name.

    text = "Ada Moreau met Colette. Ada smiled."
    fill(text, find_slots(text), random.Random(0), taken=())
    -> ("Yara Lindqvist met Odile. Yara smiled.", {"Ada": "Yara", "Moreau": "Lindqvist", "Colette": "Odile"})
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from data.brief import Brief
from data.english import given_names, is_ordinary
from data.lists import entries, words
from data.page import read
from data.people import Person, find_people

__all__ = ["Slot", "fill", "find_slots", "gender_of", "rename"]

WOMANS_SURNAME = ("ová", "ova", "ieva", "ska", "cka", "zka", "rubá", "otná", "dóttir")
"""Endings of surnames that only women have."""


@dataclass(frozen=True)
class Slot:
    """One name: the word as it stands, which list ("given_f", "given_m" or "surnames") another may come from, and where it
    stands, as character offsets (end exclusive)."""

    word: str
    kind: str
    spans: tuple[tuple[int, int], ...]


def find_slots(text: str) -> tuple[Slot, ...]:
    """The names of people in ``text``, in order of first mention. Takes any str; offsets are those of its NFC form."""
    text = unicodedata.normalize("NFC", text)
    page = read(text)
    kinds: dict[str, str] = {}
    found: dict[str, set[tuple[int, int]]] = {}
    for person in find_people(page):
        for at, token in enumerate(person.tokens):
            if not token[0].isupper() or len(token) == 1:  # a particle, an initial
                continue
            kinds.setdefault(token, _kind(person, at, text))
            found.setdefault(token, set())
        for run in person.runs:
            for word in page.words[run.first : run.last + 1]:
                if word.text in found:
                    found[word.text].add((word.start, word.end))
                elif word.text.title() in found:  # ADA, as scripts name who speaks
                    found[word.text.title()].add((word.start, word.end))
    for token, spans in found.items():
        # What the rules overlooked, but not a Rose that is a flower at the beginning of a sentence.
        if not is_ordinary(token.casefold()) and not page.plain[token.casefold()]:
            forms = rf"(?<!\w)(?:{re.escape(token)}|{re.escape(token.upper())})(?!\w)"
            spans.update(match.span() for match in re.finditer(forms, page.text))
    slots = [Slot(token, kinds[token], tuple(sorted(spans))) for token, spans in found.items() if spans]
    return tuple(sorted(slots, key=lambda slot: slot.spans[0]))


def fill(
    text: str, slots: Sequence[Slot], rng: random.Random, taken: Collection[str]
) -> tuple[str, dict[str, str]]:
    """``text`` with another name in each of its ``slots``, and which stands for which.

    None of the new ones is in ``taken`` (words in any case), and no two slots get the same.
    """
    text = unicodedata.normalize("NFC", text)
    used = {name.casefold() for name in taken} | {slot.word.casefold() for slot in slots}
    mapping: dict[str, str] = {}
    for slot in slots:
        mapping[slot.word] = _draw(slot.kind, used, rng)
        used.add(mapping[slot.word].casefold())
    where = {span: slot.word for slot in slots for span in slot.spans}
    pieces, position = [], 0
    for (start, end), word in sorted(where.items()):
        if start < position:  # a word of two people's names counts once
            continue
        new = mapping[word]
        pieces += [text[position:start], new.upper() if text[start:end].isupper() else new]
        position = end
    return "".join(pieces) + text[position:], mapping


def rename(brief: Brief, mapping: Mapping[str, str]) -> Brief:
    """``brief`` about the people that ``mapping`` makes of its own."""
    if not mapping:
        return brief
    pattern = re.compile(r"(?<!\w)(" + "|".join(map(re.escape, mapping)) + r")(?!\w)")

    def renamed(phrase: str | None) -> str | None:
        return phrase and pattern.sub(lambda hit: mapping[hit[1]], phrase)

    return replace(brief, name=renamed(brief.name), place=renamed(brief.place), meets=renamed(brief.meets))


def gender_of(name: str, text: str) -> str:
    """ "f" or "m": by the lists where they are of one mind, else by the pronouns of the sentences that have the name."""
    low = name.casefold()
    listed = [g for g in "fm" if low in words(f"given_{g}")]
    if len(listed) == 1:
        return listed[0]
    near = (
        " ".join(re.findall(rf"[^.!?]*\b{re.escape(name)}\b[^.!?]*[.!?][^.!?]*", text)[:20]).lower().split()
    )
    counted = Counter(near)
    women = counted["she"] + counted["her"] + counted["hers"]
    return "f" if women > counted["he"] + counted["his"] + counted["him"] else "m"


def _kind(person: Person, at: int, text: str) -> str:
    """Which list the person's name at a position comes from."""
    token = person.tokens[at]
    low, several = token.casefold(), len(person.tokens) > 1
    titled = 2 * sum(bool(run.title) for run in person.runs) > len(person.runs)
    last = at == len(person.tokens) - 1
    surname = (
        last and (several or low not in given_names()) and (several or titled or low in words("surnames"))
    )
    return "surnames" if surname else f"given_{gender_of(token, text)}"


def _draw(kind: str, used: Collection[str], rng: random.Random) -> str:
    """A name of the list ``kind`` that is one word and not in ``used``; the last drawn where there seems to be none."""
    for _ in range(200):
        name = rng.choice(entries(kind))
        whole = re.fullmatch(r"[^\W\d_]+", name) and not name.endswith(
            WOMANS_SURNAME if kind == "surnames" else ()
        )
        if whole and name.casefold() not in used:
            break
    return name
