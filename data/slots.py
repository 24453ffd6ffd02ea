"""A text's names as slots that can be filled anew: the same text about people of other names, consistently.

A model that is shown an original twice would learn whom it is about. Here a given name is replaced by one of the same gender,
so that pronouns stay right, and a surname by a surname, wherever `data.people` finds them and in every later form: "Ada Moreau",
"Mrs. Moreau", "Ada's", "ADA". On request the protagonist's occupation becomes a near relative of itself, and towns and streets
that are named get other names (`find_scene`). Leaves people without a name as they are, and kinds of place: a café's waiters and
cups would not go with it.

    text = "Ada Moreau met Colette. Ada smiled."
    fill(text, find_slots(text), random.Random(0), taken=())
    -> ("Yara Lindqvist met Odile. Yara smiled.", {"Ada": "Yara", "Moreau": "Lindqvist", "Colette": "Odile"})
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from data.brief import MAX_BEAT_WORDS, Brief
from data.english import given_names, grammar, indefinite, is_ordinary, listed_gender, pronouns
from data.lists import entries, groups, words
from data.page import read
from data.people import Person, find_people

__all__ = ["Slot", "fill", "find_names", "find_scene", "find_slots", "gender_of", "relatives", "rename"]

NEAR = 10
"""Occupations of a field, its commonest, that count as relatives of each of its members."""

CLEAR = 3
"""Pronouns of one gender, and none of the other, that are surer than a list of names."""

WOMANS_SURNAME = ("ová", "ova", "ieva", "ska", "cka", "zka", "rubá", "otná", "dóttir")
"""Endings of surnames that only women have."""


@dataclass(frozen=True)
class Slot:
    """One name: the word as it stands, which list ("given_f", "given_m", "surnames", "occupations" or "towns") another may come
    from, and where it stands, as character offsets (end exclusive)."""

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
            # "the Harts" too; not the half of a double name.
            after = r"(?=(?:e?s)?(?![\w\-]))" if kinds[token] == "surnames" else r"(?![\w\-])"
            forms = rf"(?<![\w\-])(?:{re.escape(token)}|{re.escape(token.upper())}){after}"
            spans.update(match.span() for match in re.finditer(forms, page.text))
    slots = [Slot(token, kinds[token], tuple(sorted(spans))) for token, spans in found.items() if spans]
    return tuple(sorted(slots, key=lambda slot: slot.spans[0]))


def find_scene(text: str) -> tuple[Slot, ...]:
    """What the protagonist is, and the towns and streets that say where the scene is, in order of first mention."""
    from data.detect import evidence

    text = unicodedata.normalize("NFC", text)
    found = evidence(text)
    wanted: dict[str, str] = {}
    work = (found.brief.occupation or "").split()
    role = next(
        (" ".join(work[at:]) for at in range(len(work)) if " ".join(work[at:]) in words("occupations")), ""
    )
    if role and relatives([role]):
        wanted[role] = "occupations"
    for area in found.areas:
        said = re.findall(r"[^\W\d_][\w'’\-]*", area)
        street = any(word.casefold() in grammar("streets") for word in said)
        for word in said:
            low = word.casefold()
            if low in words("towns"):
                wanted.setdefault(word, "towns")
            elif street and word[0].isupper() and not is_ordinary(low) and low not in words("places_proper"):
                wanted.setdefault(word, "surnames")
    slots = []
    for word, kind in wanted.items():
        spans = tuple(match.span() for match in re.finditer(rf"(?<![\w\-]){re.escape(word)}(?![\w\-])", text))
        slots.append(Slot(word, kind, spans))
    return tuple(sorted((slot for slot in slots if slot.spans), key=lambda slot: slot.spans[0]))


def relatives(occupations: Collection[str], commonest: int = NEAR) -> list[str]:
    """Occupations of the same fields: the commonest of each field, and those listed next to the given one."""
    near: dict[str, None] = {}
    for occupation in occupations:
        forms = {" ".join(occupation.split()[start:]) for start in range(len(occupation.split()))}
        for members in groups("occupations").values():
            at = [index for index, member in enumerate(members) if member in forms]
            if at:
                near.update(dict.fromkeys((*members[:commonest], *members[max(0, at[0] - 3) : at[0] + 4])))
    return [occupation for occupation in near if occupation not in occupations]


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
        mapping[slot.word] = _draw(slot, used, rng)
        used.add(mapping[slot.word].casefold())
    where = {span: slot.word for slot in slots for span in slot.spans}
    pieces, position = [], 0
    for (start, end), word in sorted(where.items(), key=lambda found: (found[0][0], -found[0][1])):
        if start < position:  # a word of two people's names counts once
            continue
        new = mapping[word]
        pieces += [_before(text[position:start], new), new.upper() if text[start:end].isupper() else new]
        position = end
    return "".join(pieces) + text[position:], mapping


def rename(brief: Brief, mapping: Mapping[str, str]) -> Brief:
    """``brief`` about the people that ``mapping`` makes of its own."""
    if not mapping:
        return brief
    pattern = re.compile(r"(?<!\w)(" + "|".join(map(re.escape, mapping)) + r")(?!\w)")

    def renamed(phrase: str) -> str:
        pieces, position = [], 0
        for hit in pattern.finditer(phrase):
            pieces += [_before(phrase[position : hit.start()], mapping[hit[1]]), mapping[hit[1]]]
            position = hit.end()
        return "".join(pieces) + phrase[position:]

    return replace(
        brief,
        name=brief.name and renamed(brief.name),
        occupation=brief.occupation and renamed(brief.occupation),
        place=brief.place and renamed(brief.place),
        meets=brief.meets and renamed(brief.meets),
        keywords=tuple(map(renamed, brief.keywords)),
        # A new occupation may have more words than the old one.
        beats=tuple(" ".join(renamed(beat).split()[:MAX_BEAT_WORDS]) for beat in brief.beats),
    )


def _before(text: str, new: str) -> str:
    """``text`` with the article at its end, if there is one, as it goes before ``new``."""
    article = re.search(r"\b([Aa])n? $", text) if new[0].islower() else None
    return text[: article.start()] + article[1] + indefinite(new)[1 : -len(new)] if article else text


def find_names(brief: Brief) -> tuple[Slot, ...]:
    """The names in a brief's name and in that of whom its protagonist meets, as slots that stand nowhere."""
    found: dict[str, str] = {}
    for phrase in (brief.name or "", (brief.meets or "").partition(",")[0]):
        said = [word for word in re.findall(r"[^\W\d_][\w'’\-]*", phrase) if word[0].isupper()]
        said = [
            word
            for word in said
            if word.casefold() not in words("honorifics") and not is_ordinary(word.casefold())
        ]
        for at, word in enumerate(said):
            surname = at == len(said) - 1 and at > 0
            found.setdefault(word, "surnames" if surname else f"given_{gender_of(word, '')}")
    return tuple(Slot(word, kind, ()) for word, kind in found.items())


def gender_of(name: str, text: str) -> str:
    """ "f" or "m": by the pronouns of the sentences that have the name where these are clear, else by the lists, for a double name by
    its first part that is listed, else by what there is of pronouns."""
    near = " ".join(re.findall(rf"[^.!?]*\b{re.escape(name)}\b[^.!?]*[.!?][^.!?]*", text)[:20])
    women, men = pronouns(near)
    if min(women, men) == 0 and max(women, men) >= CLEAR:
        return "f" if women else "m"
    listed = filter(None, map(listed_gender, (name.casefold(), *name.casefold().split("-"))))
    return next(listed, "f" if women > men else "m")


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


def _draw(slot: Slot, used: Collection[str], rng: random.Random) -> str:
    """What stands in ``slot`` next: not in ``used``, and a name one word; the last drawn where there seems to be none."""
    pool = relatives([slot.word]) if slot.kind == "occupations" else entries(slot.kind)
    for _ in range(200):
        name = rng.choice(pool)
        womans = slot.kind == "surnames" and name.endswith(WOMANS_SURNAME)
        whole = slot.kind == "occupations" or re.fullmatch(r"[^\W\d_]+", name)
        if whole and not womans and name.casefold() not in used:
            break
    return name
