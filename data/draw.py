"""Draws briefs for new texts of the kind that some originals are.

Everything comes out of the originals (`data.detect`) and of generic word lists: names from all over the
world, none of which occurs in an original; the originals' occupations or near relatives of them; their kinds of
place in their neighbourhoods; encounters of their kind. Takes over no phrase of four words. Does not invent
what no original has: a corpus without a named protagonist gets no names.

    draw_briefs(four_texts_about_artists_in_cafés, n=1, seed=7)
    -> [Brief(name="Tomoko Brandt", occupation="poet", place="a quaint café in Montmartre",
              meets="an old man", keywords=(), length=380)]
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from data.brief import MAX_WORDS, Brief
from data.descriptions import gender_of_met
from data.detect import evidence
from data.english import given_names, indefinite
from data.lists import entries, groups, words
from data.slots import WOMANS_SURNAME, relatives

__all__ = ["complete_briefs", "draw_briefs"]

SURE = 2 / 3
"""A field that this share of the originals has is in every brief: where it is missing it was overlooked."""
COPIED = 4
"""Words in a row that count as a phrase taken from an original."""
TRIES = 24
"""Draws of one field, of which the first that is new is taken."""

_WORD = re.compile(r"[^\W\d_]+")
_BEFORE = frozenset("a an the his her their my our".split())
_AGES = frozenset(("young", "old", "elderly"))
_FEMALE = tuple("woman girl maid ress queen lady nun witch bride wife governess lass".split())
_MALE = tuple("man boy king monk bridegroom squire fellow guy lad".split())


def draw_briefs(originals: Sequence[str], n: int, seed: int) -> list[Brief]:
    """`n` briefs of the originals' kind. More briefs begin with the same ones, in any order of originals.

    name: a given name and a surname, neither of which occurs in any original, no given name twice while the
    lists last; where the originals' protagonists mostly have only one of the two, so do these. Drawn only
    where the detector found a protagonist's name in an original; in a story told by "I" its narrator's.
    occupation: one of the originals', or a near relative from its field in `lists/occupations.txt`.
    place: a kind of place and a neighbourhood, both of the originals, recombined.
    meets: a kind of person of the originals or of the same group; by a new name as often as theirs have one.
    length: between the shortest and the longest original, rounded to ten words.
    keywords, beats: never; they carry content.

    A field that two thirds of the originals have is always given; one that fewer have is given in as large a
    share of the briefs; one that none has is never given.

    Raises ValueError without originals and for a negative `n`.
    """
    if n < 0:
        raise ValueError(f"n must be 0 or more briefs, found {n}")
    return complete_briefs([Brief()] * n, originals, seed)


def complete_briefs(given: Sequence[Brief], originals: Sequence[str], seed: int) -> list[Brief]:
    """Each brief with what it leaves out drawn as `draw_briefs` draws it; what it gives stays to the letter.

    A brief at an index is completed with what `draw_briefs` has there, but that the occupation fits the given name, and that no
    protagonist is drawn who is given to another. A brief with beats stays as it is: they say who is there and where.

    The fields that it draws are in `Brief.drawn`. Raises ValueError without originals.
    """
    if isinstance(originals, str) or not originals:
        raise ValueError(
            f"briefs are drawn from texts, found {originals!r:.40}; type [o.text for o in originals]"
        )
    return list(_Source(originals, seed).briefs(given))


class _Source:
    """What one call draws from: made once from the originals."""

    def __init__(self, originals: Sequence[str], seed: int) -> None:
        texts = sorted(set(originals))
        self.seed = seed
        self.found = [evidence(text) for text in texts]
        self.lengths = [len(text.split()) for text in texts]
        self.taken = {word for text in texts for word in _folded(text)}
        self.phrases = {phrase for text in texts for phrase in _phrases(text)}
        self.women = words("given_f") - words("given_m")
        self.own_work = sorted({e.brief.occupation for e in self.found if e.brief.occupation})
        # Only these adjectives are moved; others stay with their noun: "a map room", "an auction house".
        looks = words("looks", "place")
        scenes = [f"{said} {noun}".split() for e in self.found for said, noun in e.kinds[:1]]
        kinds = {" ".join(word for word in scene if word not in looks) for scene in scenes}
        self.kinds = sorted(kinds - {""})
        self.looks = sorted({word for scene in scenes for word in scene if word in looks})
        self.areas = sorted({area for e in self.found for area in e.areas})
        met = [e.brief.meets for e in self.found if e.brief.meets]
        self.named_share = sum(m[0].isupper() for m in met) / max(1, len(met))
        self.people = _kinds_of_people(met)

    def briefs(self, partial_briefs: Sequence[Brief]) -> Iterator[Brief]:
        """The briefs completed, each by its own generators, so that none depends on how many come after it."""
        given = self._shuffled("given", self._unused((*entries("given_f"), *entries("given_m"))))
        anyones = (name for name in entries("surnames") if not name.endswith(WOMANS_SURNAME))
        surnames = self._shuffled("surname", self._unused(anyones))
        near = self._shuffled("work", relatives(self.own_work))
        # Nobody is called as somebody is whom a brief gives, its protagonist or another.
        wanted = {
            word
            for b in partial_briefs
            for word in _folded(" ".join([b.name or "", b.meets or "", *b.beats]))
        }
        free = [name for name in given if wanted.isdisjoint(_folded(name))] or given
        unfree = set(given) - set(free)
        used: set[str] = set()
        for index, brief in enumerate(partial_briefs):
            # Half of the list away the next thousand of briefs look for no name.
            instead = free[(len(free) // 2 + index) % len(free)]
            both = given[index % len(given)], given[-1 - index % len(given)]
            drawn, other = (instead if name in unfree else name for name in both)
            hero = (brief.name or drawn).split()[0]
            work = partial(self._occupation, near, hero.casefold() in self.women)
            fields = {
                "name": self._name(index, drawn, surnames[index % len(surnames)]),
                "occupation": self._drawn("occupation", index, used, work),
                "place": self._drawn("place", index, used, self._place),
                "meets": self._drawn("meets", index, used, partial(self._meets, other)),
                "length": self._length(index),
            }
            if brief.beats:
                fields = {}
            own = brief.to_dict()
            whole = Brief.from_dict({**fields, **own})
            yield replace(whole, drawn=brief.drawn | (frozenset(whole.to_dict()) - frozenset(own)))

    def _name(self, index: int, given: str, surname: str) -> str | None:
        """A protagonist's name in the form that the originals' have; None where too few have any."""
        if not self._has("name", index):
            return None
        names = [e.brief.name.casefold() for e in self.found if e.brief.name]
        single = [name for name in names if " " not in name]
        if 2 * len(single) <= len(names):
            return f"{given} {surname}"
        surnames = sum(name in words("surnames") for name in single)
        return surname if surnames > sum(name in given_names() for name in single) else given

    def _occupation(self, relatives: Sequence[str], woman: bool, rng: random.Random) -> str:
        """One of the originals' occupations, or more often a near relative."""
        pool = self.own_work if not relatives or rng.random() < 0.3 else relatives
        fitting = [work for work in pool if _fits(work, woman)]
        fitting = fitting or [work for work in relatives if _fits(work, woman)] or list(pool)
        return rng.choice(fitting)

    def _place(self, rng: random.Random) -> str:
        """A kind of place in a neighbourhood, or one of both where the originals have only one."""
        area = rng.choice(self.areas) if self.areas and rng.random() < 0.85 else ""
        look = rng.choice(["", *self.looks] if area or not self.looks else self.looks)
        if not self.kinds:
            return area.removeprefix("in ").removeprefix("near ") or rng.choice(self.areas)
        phrase = indefinite(f"{look} {rng.choice(self.kinds)}".strip())
        return f"{phrase} {area}".strip()

    def _meets(self, other: str, rng: random.Random) -> str:
        """A kind of person, under a name as often as in the originals."""
        named = rng.random() < self.named_share
        nouns, looks = self.people
        woman = other.casefold() in self.women
        fitting = [noun for noun in nouns if not named or _fits(noun, woman)]
        if not fitting:
            return other
        noun = rng.choice(fitting)
        own = [one for one in fitting if gender_of_met(f"a {one}") in (None, "f" if woman else "m")]
        if named and own and noun not in own:  # Harold is no widow
            noun = rng.choice(own)
        kinds = groups("person_words")
        look = ""
        if looks and (noun in kinds["man"] + kinds["woman"] or rng.random() < 0.5):
            fit = looks if noun not in kinds["youngster"] else [look for look in looks if look not in _AGES]
            look = rng.choice(fit or [""])
        phrase = indefinite(f"{look} {noun}".strip())
        return f"{other}, {phrase}" if named else phrase

    def _length(self, index: int) -> int:
        """Words wanted: a ten between the shortest and the longest original, or the ten next to them."""
        low, high = (min(MAX_WORDS, max(1, end)) for end in (min(self.lengths), max(self.lengths)))
        tens = range(-(-low // 10) * 10, high // 10 * 10 + 1, 10)
        rng = self._rng("length", index)
        return rng.choice(tens) if tens else round(rng.randint(low, high), -1) or low

    def _has(self, field: str, index: int) -> bool:
        """Whether the brief at an index gives a field."""
        share = sum(getattr(e.brief, field) is not None for e in self.found) / len(self.found)
        return share >= SURE or self._rng(f"has {field}", index).random() < share

    def _drawn(
        self, field: str, index: int, used: set[str], draw: Callable[[random.Random], str]
    ) -> str | None:
        """A phrase that is no original's and, if possible, no earlier brief's; None for a field not given."""
        if not self._has(field, index):
            return None
        rng = self._rng(field, index)
        drawn = [draw(rng) for _ in range(TRIES)]
        own = [phrase for phrase in drawn if self.phrases.isdisjoint(_phrases(phrase))]
        chosen = next((phrase for phrase in own if phrase not in used), own[0] if own else None)
        if chosen:
            used.add(chosen)
        return chosen

    def _unused(self, names: Iterable[str]) -> Iterable[str]:
        """Names, each once, that share no word with an original."""
        return (name for name in dict.fromkeys(names) if self.taken.isdisjoint(_folded(name)))

    def _shuffled(self, what: str, found: Iterable[str]) -> list[str]:
        """Entries in the order in which they are used."""
        drawn = list(found)
        random.Random(f"{self.seed} {what}").shuffle(drawn)
        return drawn

    def _rng(self, what: str, index: int) -> random.Random:
        """The generator of one field of one brief."""
        return random.Random(f"{self.seed} {what} {index}")


def _folded(text: str) -> list[str]:
    """The words of a text in lower case without accents; parts of hyphenated words apart."""
    plain = unicodedata.normalize("NFKD", text)
    return _WORD.findall("".join(mark for mark in plain if not unicodedata.combining(mark)).casefold())


def _phrases(text: str) -> Iterator[tuple[str, ...]]:
    """All runs of COPIED words of a text."""
    found = _folded(text)
    return zip(*(found[start:] for start in range(COPIED)), strict=False)


def _kinds_of_people(met: Iterable[str]) -> tuple[list[str], list[str]]:
    """Nouns for people like those met, and adjectives: ["Ana, an old man"] -> (["man", ...], ["old"])."""
    kinds = groups("person_words")
    nouns: dict[str, None] = {}
    looks: set[str] = set()
    for phrase in met:
        told = phrase.partition(", ")[2] if phrase[0].isupper() else phrase
        said = [word for word in told.casefold().split() if word not in _BEFORE]
        tails = [" ".join(said[at:]) for at in range(len(said))]
        noun = next((tail for tail in tails if tail in words("occupations")), *tails[-1:] or [""])
        if not noun:
            continue
        looks.update(word for word in said if word in groups("looks")["person"])
        alike = [member for members in kinds.values() if noun in members for member in members]
        if noun in kinds["man"] + kinds["woman"]:
            alike = [*kinds["man"][:3], *kinds["woman"][:3]]
        nouns.update(dict.fromkeys((noun, *alike, *relatives([noun], commonest=0))))
    return list(nouns), sorted(looks | (_AGES if looks & _AGES else set()))


def _fits(noun: str, woman: bool) -> bool:
    """Whether a noun can be said of a woman, or of a man."""
    if noun.endswith(_FEMALE):
        return woman
    return not (woman and noun.endswith(_MALE))
