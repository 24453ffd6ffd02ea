"""Puts a brief into a plot: the same beats about the brief's people, at its place, with its keywords.

Changes names, an occupation, a place, pronouns, and nothing else. Does not understand a plot: a plot is refused with the reason
where no rule says that its beats stay right. `data.plot_people` finds people in beats, `data.plot_scene` moves them.

    fill_plot(plot, Brief(name="Tomoko Brandt", occupation="poet", meets="an old man"), random.Random(0))
    -> Filled(brief, ("Tomoko, a poet, waits ...", "Out of the fog comes an old man ...", ...)) or "the reason"
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from data.brief import Brief
from data.english import is_ordinary, singular
from data.lists import entries, words
from data.plot_people import (
    Introduction,
    Mention,
    check_third,
    find_again,
    find_introduction,
    find_name,
    forms,
    known_people,
    regender,
    words_of,
)
from data.plot_scene import NP, Edit, Refused, apply, article, has_words, put_keywords, put_place, without
from data.plot_trades import (
    AGES,
    CHILDREN,
    YOUTH,
    check_looks,
    check_met,
    check_met_work,
    check_met_work_left,
    check_work,
    check_work_left,
)
from data.plots import (
    INSIDE,
    PREPOSITIONS,
    Person,
    Plot,
    gender_of_met,
    gender_of_name,
    kind_of_place,
    person,
)

__all__ = ["Filled", "fill_plot"]

_SPOUSES = {"wife": "husband", "husband": "wife"}
_SAME = {
    "f": "woman lady stranger visitor guest newcomer",
    "m": "man gentleman fellow stranger visitor guest newcomer",
}
"""Nouns that mean the plot's own encounter too."""

_HOSTS = frozenset("waiter waitress owner barman".split())
"""People whom a café has without their being introduced."""

_GENDERED = re.compile(
    r"\b(?:wife|wives|husbands?|widow\w*|brides?|\w*groom|dress|skirt|gown|beard\w*|moustache|mustache|lipstick|earrings?|sir|madam|"
    r"gentlem[ae]n|lad(?:y|ies)|wom[ae]n|m[ae]n|girls?|boys?|handsome|pregnant|baby|veil|fianc\w+|married|kiss\w*|in love|engaged)\b"
)


@dataclass(frozen=True)
class Filled:
    """A brief completed with the fields of its plot, and the beats that tell of it."""

    brief: Brief
    beats: tuple[str, ...]


def fill_plot(plot: Plot, brief: Brief, rng: random.Random) -> Filled | str:
    """Put a brief into a plot.

    plot: one that `data.plots.fits` the brief. rng: chooses another name for the met person where the plot's own is the
    protagonist's now. Gives the reason in plain words where this plot can't be filled wholly. Same arguments, same result.
    """
    try:
        return _Fill(plot, brief, rng).filled()
    except Refused as reason:
        return str(reason)


class _Fill:
    """One brief on its way into one plot."""

    def __init__(self, plot: Plot, brief: Brief, rng: random.Random) -> None:
        self.plot, self.brief, self.gold = plot, brief, plot.brief
        self.capital = not any(beat[:1].islower() for beat in plot.beats)
        self.old_name, self.old_work = self.gold.name or "", self.gold.occupation or ""
        self.new_name, self.new_work = brief.name or self.old_name, brief.occupation or self.old_work
        self.old_met = person(self.gold.meets or "?")
        self.new_meets = brief.meets or self.gold.meets or ""
        self.renamed = {} if brief.meets else self._other_name(rng)
        for old, new in self.renamed.items():
            self.new_meets = self.new_meets.replace(old, new)
        self.new_met = person(self.new_meets)

    def filled(self) -> Filled:
        brief, plot = self.brief, self.plot
        edits: list[list[Edit]] = [[] for _ in plot.beats]
        if brief.occupation:
            check_work(plot, brief.occupation)
        if brief.meets:
            old_met, new_met = check_met(self.old_met, self.new_met)
            check_met_work(plot, old_met, new_met)
        _add(edits, put_place(plot, brief.place, self._hero_is()) if brief.place else [])
        _add(edits, self._names())
        if brief.occupation:
            works = _add(edits, self._occupations())
            check_work_left(plot, brief.occupation, _rest(plot.beats, works))
        if brief.meets:
            rest = _rest(plot.beats, _add(edits, self._people(old_met, new_met)))
            check_looks(old_met, new_met, rest)
            check_met_work_left(old_met, new_met, rest)
        else:
            _add(edits, self._rename_met())
        _add(edits, self._genders())
        beats = tuple(
            apply(beat, found, self.capital or (beat[:1].isupper() and not found))
            for beat, found in zip(plot.beats, edits, strict=True)
        )
        _check_whole(beats, self._known_people(), brief.place or self.gold.place or "")
        if brief.keywords:
            beats = put_keywords(beats, brief.keywords, *self._where_to_add(beats))
        self._check_remnants(beats)
        whole = replace(
            brief,
            name=self.new_name,
            occupation=self.new_work,
            place=brief.place or self.gold.place,
            meets=self.new_meets,
            keywords=brief.keywords or tuple(word for word in self.gold.keywords if has_words(word, beats)),
        )
        return Filled(whole, beats)

    # The edits.

    def _hero_is(self) -> str:
        """What opens a clause that says where the protagonist is: "she is"; or "" where it is not clear who she would be."""
        if self.plot.first_person:
            return "I am"
        new = gender_of_name(self.new_name) or self.plot.hero_gender
        alone = not (self.old_met and find_introduction(self.plot.beats[0], self.old_met))
        return {"f": "she is", "m": "he is"}.get(new or "", "") if alone else ""

    def _names(self) -> list[list[Edit]]:
        """The protagonist's name, in each of its forms."""
        old, new = forms(self.old_name), forms(self.new_name)
        found = [
            [
                Edit(start, end, f"{new[form]}'s" if own else new[form])
                for form, start, end, own in find_name(beat, old)
            ]
            for beat in self.plot.beats
        ]
        if not any(found) and not self.plot.first_person:
            raise Refused("the beats do not name the protagonist")
        return found

    def _occupations(self) -> list[list[Edit]]:
        """What the protagonist is: exchanged, or said where the name is first said."""
        new, tails = self.new_work, [self.old_work.split()[at:] for at in range(len(self.old_work.split()))]
        hero = "|".join(map(re.escape, forms(self.old_name)))
        noun = re.compile(
            rf"(?<![\w\-])(?:{'|'.join(re.escape(' '.join(tail)) for tail in tails)})(?P<several>e?s)?(?![\w\-])",
            re.IGNORECASE,
        )
        told = self._told_spans()
        found: list[list[Edit]] = [[] for _ in self.plot.beats]
        for at, beat in enumerate(self.plot.beats):
            for hit in noun.finditer(beat):
                if any(start <= hit.start() < end for start, end in told[at]):
                    continue
                before, after = beat[: hit.start()], beat[hit.end() :]
                opens = not before and re.match(rf" (?:{hero})\b", after)
                named = re.search(rf"(?:{hero}|\bI), an? (?:{NP},? ){{0,3}}$", before)
                is_one = re.search(
                    rf"(?:{hero}|\b[Ss]?[Hh]e|\bI) (?:is|am|works as|work as) an? (?:{NP} ){{0,3}}$|\bas an? (?:{NP} ){{0,2}}$",
                    before,
                )
                the = re.search(rf"\b[Tt]he (?:{NP} )?$", before)
                called = re.search(rf"\b[Aa]n? (?:{NP} ){{0,3}}$", before) and re.match(
                    rf",? (?:named |called )?(?:{hero})\b", after
                )
                if re.match(r" (?:of|for)\b", after):  # "a biographer of famous people"
                    raise Refused(f"{hit[0]!r} has more behind it")
                if hit["several"] or not (opens or named or is_one or the or called):
                    raise Refused(f"it is not clear whom {hit[0]!r} means")
                if the and self.new_met and self.new_met.head == new.split()[-1]:
                    found[at].append(Edit(hit.start() - len(the[0]), hit.end(), forms(self.new_name)[1]))
                else:
                    text = new[0].upper() + new[1:] if opens and hit[0][0].isupper() else new
                    found[at].append(Edit(hit.start(), hit.end(), text, article=True))
        return found if any(found) else self._say_occupation(new)

    def _say_occupation(self, new: str) -> list[list[Edit]]:
        """Say what the protagonist is behind the name's first mention."""
        found: list[list[Edit]] = [[] for _ in self.plot.beats]
        hero = "I" if self.plot.first_person else "|".join(map(re.escape, forms(self.old_name)))
        for at, beat in enumerate(self.plot.beats):
            if hit := re.search(rf"(?<![\w\-])(?:{hero})(?![\w\-])", beat):
                if hit.start() or not re.match(
                    r" [a-z]+s " if hero != "I" else r" [a-z]+ ", beat[hit.end() :]
                ):
                    break
                found[at].append(Edit(hit.end(), hit.end(), f", {article(new)} {new},"))
                return found
        raise Refused("the beats do not say what the protagonist is, and have no room for it")

    def _told_spans(self) -> list[list[tuple[int, int]]]:
        """Where the beats describe the met person."""
        if not (self.old_met and self.old_met.noun):
            return [[] for _ in self.plot.beats]
        if self.old_met.head == self.old_work.split()[-1]:
            raise Refused("the plot's two people are of one occupation")
        pattern = rf"(?<![\w\-])(?:[Aa]n?|[Tt]he) (?:{NP} ){{0,4}}{re.escape(self.old_met.head)}(?![\w\-])"
        return [[hit.span() for hit in re.finditer(pattern, beat)] for beat in self.plot.beats]

    def _people(self, old: Person, new: Person) -> list[list[Edit]]:
        """The met person: introduced where the plot introduces its own, and said again as the brief's."""
        found: list[list[Edit]] = [[] for _ in self.plot.beats]
        later = _later(new, self.new_work)
        introduced = False
        for at, beat in enumerate(self.plot.beats):
            end = 0
            if not introduced and (hit := find_introduction(beat, old)):
                if find_again(beat[: hit.start], old, self._others()):
                    raise Refused("the plot's own encounter is mentioned before it is introduced")
                found[at] += self._introduced(beat, hit, new)
                introduced, end = True, hit.end
            for start, stop, own in find_again(beat, old, self._others()):
                if start < end:
                    continue
                if not introduced:
                    raise Refused("the plot's own encounter is mentioned before it is introduced")
                said = later + ("'s" if own else "")
                the = re.search(rf"\b[Tt]he ({NP}) $", beat[:start])
                if the and not new.name and the[1] in words("looks"):  # "the tired Margaux"
                    said = said.removeprefix("the ")
                found[at].append(Edit(start, stop, said))
        if not introduced:
            raise Refused("the beats do not introduce whom the plot meets")
        return found

    def _others(self) -> list[str]:
        """Nouns that mean the plot's own encounter too: "the stranger"."""
        every = " ".join(self.plot.beats)
        same = _SAME.get(self.plot.met_gender or "", "").split()
        return [noun for noun in same if not re.search(rf"\b[Aa]n? (?:{NP} ){{0,3}}{noun}\b", every)]

    def _introduced(self, beat: str, hit: Introduction, new: Person) -> list[Edit]:
        """The edits that introduce somebody in place of the plot's own."""
        after = beat[hit.end :]
        if re.match(r"['’]s", after):
            raise Refused("the plot's own encounter is introduced as an owner")
        if re.search(r"\b(?:old|young|little|poor|dear|tired) $", beat[: hit.start], re.IGNORECASE):
            raise Refused("the plot's own encounter is described before the name")
        prepositions = "|".join(sorted(PREPOSITIONS))
        if new.tail and re.match(rf" (?:{prepositions})\b", after):
            raise Refused("two descriptions would meet")
        if new.name and new.told:
            if hit.kind == "apposed" or not after or after[0] in ",.;":
                told = f"{new.name}, {new.told}"
            elif re.match(r" [a-z]+s ", after) and not re.match(
                rf" (?:{prepositions}|towards|as|always|perhaps)\b", after
            ):
                told = f"{new.name}, {new.told},"
            elif not new.tail:
                told = f"{new.told} named {new.name}"
            else:
                raise Refused("it is not clear how to introduce the brief's encounter")
            return [Edit(hit.start, hit.end, told)]
        if new.name:
            noun = {"f": "woman", "m": "man"}.get(gender_of_name(new.name) or self.plot.met_gender or "")
            if noun is None:
                raise Refused("it is not known whether the brief's encounter is a woman or a man")
            told = f"a {noun} named {new.name}"
        else:
            told = new.told
        edits = [Edit(hit.start, hit.end, told)]
        return edits + self._closing_comma(beat, hit.end) if hit.kind == "apposed" else edits

    def _closing_comma(self, beat: str, end: int) -> list[Edit]:
        """Drop the comma that closes a description behind a name, where the name goes."""
        after = beat[end:]
        kept = re.compile(r", (?:and|but|while|who|when|as) ")
        if kept.match(after) or not after or after[0] in ".;":
            return []
        if after[0] == ",":
            return [Edit(end, end + 1, "")]
        clause = re.split(r"[.;]", after)[0]
        if not re.match(rf" (?:{'|'.join(sorted(PREPOSITIONS))})\b", after) or clause.count(",") != 1:
            raise Refused("it is not clear where the description of the encounter ends")
        comma = end + clause.index(",")
        return [] if kept.match(beat, comma) else [Edit(comma, comma + 1, "")]

    def _other_name(self, rng: random.Random) -> dict[str, str]:
        """Another name for the plot's own encounter, where the protagonist has the same now."""
        mine = {part.casefold() for part in self.new_name.split()}
        same = [
            part for part in words_of(self.gold.meets or "") if part[0].isupper() and part.casefold() in mine
        ]
        if not same or not self.brief.name:
            return {}
        if len(same) > 1 or self.plot.met_gender is None:
            raise Refused("the plot's own encounter has the protagonist's name")
        said = " ".join((*self.plot.beats, self.new_name))
        pool = [
            name
            for name in entries(f"given_{self.plot.met_gender}")
            if name.isalpha() and gender_of_name(name) == self.plot.met_gender and name not in said
        ]
        return {same[0]: rng.choice(pool)}

    def _rename_met(self) -> list[list[Edit]]:
        return [
            [
                Edit(*hit.span(), new)
                for old, new in self.renamed.items()
                for hit in re.finditer(rf"(?<![\w\-]){re.escape(old)}(?![\w\-])", beat)
            ]
            for beat in self.plot.beats
        ]

    def _genders(self) -> list[list[Edit]]:
        """The pronouns, where one of the two people is of another gender now."""
        old = (self.plot.hero_gender, self.plot.met_gender)
        new = (
            (gender_of_name(self.brief.name) if self.brief.name else None) or old[0],
            (gender_of_met(self.brief.meets) if self.brief.meets else None) or old[1],
        )
        if old == new or (self.plot.first_person and old[1] == new[1]):
            return []
        if None in old or None in new or old[0] == old[1] or self.plot.first_person or self.old_met is None:
            raise Refused("the people of the brief are of other genders")
        mentions = self._mentions(self.old_met)
        spouse = re.compile(rf"\b{'his' if old[1] == 'm' else 'her'} (?:\w+ )?(?P<who>wife|husband)\b")
        swapped = [
            [
                Edit(*hit.span("who"), _SPOUSES[hit["who"]])
                for hit in spouse.finditer(beat)
                if old[1] != new[1]
            ]
            for beat in self.plot.beats
        ]
        rest = [
            without(beat, sorted([*((m.start, m.end) for m in row), *((e.start, e.end) for e in more)]))
            for beat, row, more in zip(self.plot.beats, mentions, swapped, strict=True)
        ]
        if hit := _GENDERED.search(" ".join(rest)):
            raise Refused(f"{hit[0]!r} goes with people of the plot's genders")
        check_third(rest, self.old_work.split())
        names = (forms(self.new_name)[1], _later(self.new_met or self.old_met, self.new_work))
        genders = (old[0] or "", old[1] or ""), (new[0] or "", new[1] or "")
        return [
            regender(beat, row, *genders, names) + more
            for beat, row, more in zip(self.plot.beats, mentions, swapped, strict=True)
        ]

    def _mentions(self, met: Person) -> list[list[Mention]]:
        """Where each beat has the plot's own people, by names and nouns."""
        found: list[list[Mention]] = []
        introduced = False
        for beat in self.plot.beats:
            row = [Mention(start, end, "hero") for _, start, end, _ in find_name(beat, forms(self.old_name))]
            work = rf"\b[Tt]he (?:{NP} )?{re.escape(self.old_work)}(?!\w)"
            row += [Mention(*hit.span(), "hero") for hit in re.finditer(work, beat)]
            first = None if introduced else find_introduction(beat, met)
            if first:
                row.append(Mention(first.start, first.end, "met"))
                introduced = True
            again = find_again(beat, met, self._others())
            row += [Mention(a, b, "met") for a, b, _ in again if not first or a >= first.end]
            found.append(sorted(row))
        return found

    # What must hold afterwards.

    def _known_people(self) -> set[str]:
        met = self.new_met.head if self.new_met else (self.new_meets.split() or [""])[-1]
        same = _SAME.get(self.plot.met_gender or "", "").split() + (
            ["boy", "girl", "child"] if met in CHILDREN else []
        )
        return {
            *self.new_work.split()[-1:],
            met,
            *same,
            *(word.casefold() for word in words_of(self.new_meets)),
        }

    def _where_to_add(self, beats: Sequence[str]) -> tuple[int, int, str, bool]:
        """The beats that take things and topics, who talks, and whether the place has walls."""
        names = {*self.new_name.split(), *words_of(self.new_meets), "he", "she", "I", "He", "She"} - {
            "a",
            "an",
        }
        counts = [len(names & set(words_of(beat))) for beat in beats[1:3]]
        still = 1 + counts.index(min(counts)) if counts else 0
        met = next((at for at, beat in enumerate(beats) if self._says_met(beat)), len(beats) - 1)
        talk = min(max(met + 1, len(beats) // 2), max(0, len(beats) - 2))
        classes = kind_of_place(self.brief.place or self.gold.place or "")[1]
        return still, talk, "we" if self.plot.first_person else "they", not INSIDE.isdisjoint(classes)

    def _says_met(self, beat: str) -> bool:
        met = self.new_met or self.old_met
        said = (forms(met.name)[1] or met.head) if met else ""
        return bool(said) and bool(re.search(rf"\b{re.escape(said)}\b", beat))

    def _check_remnants(self, beats: Sequence[str]) -> None:
        """Refuse where something of the plot's own people or place is left."""
        brief, gold = self.brief, self.gold
        place = brief.place or gold.place or ""
        allowed = {
            word.casefold()
            for word in words_of(self.new_name, self.new_meets, self.new_work, place, *brief.keywords)
        }
        left = set(self.renamed)
        if brief.name:
            left |= {word for word in words_of(self.old_name) if word[0].isupper()}
        if brief.meets and self.old_met:
            left |= {*words_of(self.old_met.name), self.old_met.head}
        if brief.occupation:
            left |= set(self.old_work.split()[-1:])
        if brief.place:
            left |= {word for word in words_of(gold.place or "") if word[0].isupper()}
        left = {word.casefold() for word in left} - allowed - {""}
        for beat in beats:
            for word in words_of(beat):
                low = re.sub(r"['’]s?$", "", word.casefold())
                if low in left or singular(low) in left:
                    raise Refused(f"{word!r} of the plot's own is left")
                city = not brief.place and low in words("cities") | words("towns")
                opens = beat.startswith(word) and word not in self.plot.names
                if word[0].isupper() and not (low in allowed or city or opens or is_ordinary(low)):
                    raise Refused(f"{word!r} is a name that the brief does not have")


def _add(edits: list[list[Edit]], more: list[list[Edit]]) -> list[list[Edit]]:
    """Add a kind of edits to those of each beat, and give them."""
    for all_of_beat, found in zip(edits, more, strict=False):
        all_of_beat += found
    return more


def _rest(beats: Iterable[str], edits: Iterable[Sequence[Edit]]) -> list[str]:
    """What of the beats stays as it is."""
    return [
        without(beat, sorted((edit.start, edit.end) for edit in found))
        for beat, found in zip(beats, edits, strict=True)
    ]


def _later(met: Person, occupation: str) -> str:
    """How somebody is said again: by a name, or as "the old man", "the chef", "the other painter"."""
    if met.name:
        return forms(met.name)[1]
    looks = [look for look in met.looks if look in AGES | YOUTH]
    clash = met.head in occupation.split()[-1:]
    if looks and (clash or met.noun in ("man", "woman", "lady", "gentleman", "fellow")):
        return f"the {looks[0]} {met.noun}"
    return f"the {'other ' if clash else ''}{met.noun}"


def _check_whole(beats: Sequence[str], known: Collection[str], place: str) -> None:
    """Refuse beats that speak of somebody as known who was not introduced: "the owner"."""
    introduced = set(known)
    if "kind eat" in kind_of_place(place)[1]:
        introduced |= _HOSTS
    for beat in beats:
        for hit in re.finditer(
            rf"\b(?:([Tt]he|[Tt]his|[Tt]hat)|[Aa]n?|[Tt]wo|[Oo]ne|[Ss]ome|[Aa]nother) (?=((?:{NP} ?){{1,4}}))",
            beat,
        ):
            people = [word for word in hit[2].casefold().split() if word in known_people()]
            if people and hit[1] and people[0] not in introduced:
                raise Refused(f"the {people[0]} is not introduced")
            introduced |= set(people)
