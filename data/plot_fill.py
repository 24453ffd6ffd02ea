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
from functools import cache

from data.brief import Brief
from data.english import is_ordinary, person_nouns, singular
from data.lists import entries, words
from data.plot_people import Introduction, Mention, find_again, find_introduction, find_name, forms, regender
from data.plot_scene import (
    NP,
    Edit,
    Refused,
    apply,
    article,
    has_words,
    put_keywords,
    put_place,
    without,
)
from data.plot_words import JOBS, NEAR
from data.plots import (
    PREPOSITIONS,
    Person,
    Plot,
    gender_of_met,
    gender_of_name,
    job_words,
    kind_of_place,
    person,
    stems,
    trades,
)

__all__ = ["Filled", "fill_plot"]

_AGES = frozenset("old elderly aging aged retired white-haired grey-haired widowed".split())
_YOUTH = frozenset("young little small".split())
_NO_PERSON = words("person_words", "beast") | set(
    "robot spirit firefly seal raven wind river moon star tree ghost kitten puppy sparrow swan rabbit mouse hedgehog heron gull".split()
)
_ANYBODY = frozenset(
    "man woman gentleman lady fellow widow widower stranger guy chap bloke person".split()
) | {""}
"""Nouns for people who may have any trade."""

_NO_PEOPLE = frozenset(
    "eye pan reader count general private little young old miss master model king chief lady saint".split()
)
"""Words that are seldom people, though lists have them."""

_MAKERS = frozenset(
    "maker emaker smith man woman binder keeper worker seller cutter carver mender builder painter blower".split()
)
_GAMES = frozenset("chess domino backgammon card street night".split())

_CHILDREN = frozenset("boy girl child schoolboy schoolgirl toddler baby pupil lad lass".split())
_MILD = _AGES - {"widowed"} | set(
    "young small little tall thin stout quiet gentle kind shy friendly cheerful tired weary lonely weathered busy proud elegant stern "
    "gruff wise ancient ageing white-bearded freckled rosy-cheeked modest curious gray-haired anxious stubborn".split()
)
"""Looks on which no plot depends."""

_ROLES = frozenset(
    "bride bridegroom groom bride-to-be patient father mother grandmother grandfather beginner pilgrim tourist traveller traveler soldier "
    "passenger customer guest neighbour neighbor friend child baby climber hiker cyclist swimmer islander visitor countess aunt".split()
)
"""Nouns for what somebody is in a plot, and not by trade."""

_OF_AGE = re.compile(
    r"\b(?:years|young\w*|youth|grand\w+|retire\w*|widow\w*|decades|cane|stiff|aged|used to|ago|spectacles|trembl\w*|lifelong|"
    r"(?:all|half) (?:his|her|my) life|(?:late|dead|old) (?:wife|husband|hands?|eyes|face|fingers|friend|man|woman|age)|"
    r"white hair|(?:was|were) (?:a )?(?:young|small|child|boy|girl))\b"
)
_OF_YOUTH = re.compile(
    r"\b(?:young\w*|youth|exams?|school|student|career|boy|girl|beginner|apprentice|parents|child|grow(?:s|n)? up|"
    r"(?:her|his) (?:mother|father) (?:is|waits|says|has|works|calls|comes|wants))\b"
)
_GENDERED = re.compile(
    r"\b(?:wife|wives|husbands?|widow\w*|brides?|\w*groom|dress|skirt|gown|beard\w*|moustache|mustache|lipstick|earrings?|sir|madam|"
    r"gentlem[ae]n|lad(?:y|ies)|wom[ae]n|m[ae]n|girls?|boys?|handsome|pregnant|baby|veil|fianc\w+|married|kiss\w*|in love|engaged)\b"
)
_SERVING = re.compile(
    r"\b(?:s[eo]lls?|sold|buys?|bought|pays?|paid|serv\w+|customers?|guests?|bill|tips?|apron|tray|counter|orders?|price|shop|stall|"
    r"pours?|works?|brings?|wipes?|fetch\w*|kitchen|oven|dough|flour|basket|cart|shift|closes?|opens?|hangs?|clears?|carr\w+|sets?)\b"
)
_SERVERS = frozenset(("field food and hospitality", "field shops and markets"))
_SPOUSES = {"wife": "husband", "husband": "wife"}
_SAME = {
    "m": "man gentleman fellow stranger visitor guest newcomer",
    "f": "woman lady stranger visitor guest newcomer",
}
_HOSTS = frozenset("waiter waitress owner barman".split())

_INSTRUMENTS = frozenset(
    "violin cello guitar piano accordion saxophon trumpet flut harp organ drum bow str oud lut bass".split()
)
_OWNED = frozenset(
    "harbour harbor pier market garden museum gallery theatr church bakery library bookshop station train ferry tram kitchen hospital "
    "hotel boat barg shop workshop stall stag school flower cart".split()
)
"""Words for where or with what somebody works, if it is theirs."""

_ANYONES = _OWNED - {"shop", "workshop", "stall"} | frozenset(
    "book read pag song story letter tast flower music bread fruit dawn grateful gratitud relief reliev confess worth search tie bed "
    "rais stir laughter loos mix spoon cup bowl jar map key candl ribbon wood tar jacket sho bell road rock gull sea "
    "courtyard path statu tea drink cloth button collect loneliness weariness invent travel branch plant leaf tulip rose notebook "
    "cas blanket teapot pot atla earth fly blind bet beg explain arrang peacefully spectacl rid bun tick bay children blank act mend "
    "lullaby melody sing sang hum umbrella basket scarf glov chess gam play chessboard win los danc waltz kit box sleep alon husband "
    "wif mother father daughter wander velvet curtain postcard street run friend knit sew needl thread tun shy nervou former piec lean "
    "anyth part newspaper kneel knot pen gat thick fram comb loaf chapel anyon loser sav switch beam chosen correct ink mistak door "
    "lucky night address silver stamp taught chestnut orang soap hat napkin badly damp crat rop coil river city great echo letterbox "
    "study carnation blackbird bridg candl board honey chees croissant bunch".split()
)
"""Words that stories of an occupation have often, and that go with anybody."""


_HOBBIES = frozenset(
    "tune melody play violin cello guitar piano accordion trumpet flut chord sing sang sung song waltz rhythm vers lullaby music danc "
    "violinist cellist guitarist pianist accordionist singer dancer "
    "paint brush sketch draw drawn drew pencil charcoal pictur portrait pad camera photograph poem writ written wrot notebook pag pen "
    "sentenc story poet poetry sew sewn needl thread yarn wool knit lac flower ros tulip carnation lily blossom petal bouquet book "
    "dictionary novel chess card domino backgammon letter".split()
)
"""Words for what somebody who is met may do whatever their trade is."""

_PASTIMES = frozenset("draw photo write books music sewing garden".split())
"""Trades that others have as a pastime."""


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
        if brief.occupation:
            _check_trade(plot.work, self.old_work, self.new_work, plot.beats)
        if brief.meets:
            old_met, new_met = self._check_met()
            if new_met.noun in _ANYBODY:
                _check_service(old_met.noun, plot.beats)
            else:
                _check_trade(plot.met_work, old_met.noun, new_met.noun, plot.beats, _HOBBIES)
        places = put_place(plot, brief.place, self._hero_is()) if brief.place else []
        names = self._names()
        works = self._occupations() if brief.occupation else []
        people = self._people() if brief.meets else self._rename_met()
        if brief.occupation:
            _check_work(self.old_work, self.new_work, _rest(plot.beats, works))
        if brief.meets:
            rest = _rest(plot.beats, people)
            _check_age(old_met, new_met, rest)
            if new_met.noun not in _ANYBODY:
                _check_work(old_met.noun, new_met.noun, rest, _HOBBIES)
        edits: list[list[Edit]] = [[] for _ in plot.beats]
        for found in (names, works, people, self._genders(), places):
            for at, more in enumerate(found):
                edits[at] += more
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

    # What a plot asks of whom is met.

    def _check_met(self) -> tuple[Person, Person]:
        old, new = self.old_met, self.new_met
        if old is None:
            raise Refused("the plot's own encounter is a relative, or no single person")
        if new is None:
            raise Refused("the brief's encounter is a relative, or no single person")
        if old.head in _NO_PERSON or "talking" in old.looks:
            raise Refused(f"a {old.noun} is met")
        if not _MILD.issuperset(old.looks):
            raise Refused(f"the plot is about somebody {' '.join(old.looks)}")
        if re.search(r"\b(?:mourning|black|wheelchair|uniform|crutch\w*|costume|baby|dog|cat)\b", old.tail):
            raise Refused(f"the plot is about a {old.noun} {old.tail}")
        if old.head in _ROLES and old.head != new.head:
            raise Refused(f"the plot is about a {old.head}")
        if (old.head in _CHILDREN) != (new.head in _CHILDREN):
            raise Refused("a child is met in one of the two, and not in the other")
        return old, new

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

    def _people(self) -> list[list[Edit]]:
        """The met person: introduced where the plot introduces its own, and said again as the brief's."""
        assert self.old_met and self.new_met
        found: list[list[Edit]] = [[] for _ in self.plot.beats]
        later = _later(self.new_met, self.new_work)
        introduced = False
        for at, beat in enumerate(self.plot.beats):
            end = 0
            if not introduced and (hit := find_introduction(beat, self.old_met)):
                if find_again(beat[: hit.start], self.old_met, self._others()):
                    raise Refused("the plot's own encounter is mentioned before it is introduced")
                found[at] += self._introduced(beat, hit, self.new_met)
                introduced, end = True, hit.end
            for start, stop, own in find_again(beat, self.old_met, self._others()):
                if start < end:
                    continue
                if not introduced:
                    raise Refused("the plot's own encounter is mentioned before it is introduced")
                said = later + ("'s" if own else "")
                the = re.search(rf"\b[Tt]he ({NP}) $", beat[:start])
                if the and not self.new_met.name and the[1] in _MILD | _AGES:  # "the tired Margaux"
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
            part for part in _said(self.gold.meets or "") if part[0].isupper() and part.casefold() in mine
        ]
        if not same or not self.brief.name:
            return {}
        if len(same) > 1 or self.plot.met_gender is None:
            raise Refused("the plot's own encounter has the protagonist's name")
        pool = [
            name
            for name in entries(f"given_{self.plot.met_gender}")
            if name.isalpha() and name.casefold() not in mine
        ]
        said = " ".join(self.plot.beats)
        return {same[0]: rng.choice([name for name in pool if name not in said])}

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
        met = self.old_met
        mentions: list[list[Mention]] = []
        for beat in self.plot.beats:
            found = [
                Mention(start, end, "hero") for _, start, end, _ in find_name(beat, forms(self.old_name))
            ]
            if (hit := find_introduction(beat, met)) and not any(
                mention.who == "met" for row in mentions for mention in row
            ):
                found.append(Mention(hit.start, hit.end, "met"))
            taken = [mention.end for mention in found if mention.who == "met"]
            found += [
                Mention(a, b, "met")
                for a, b, _ in find_again(beat, met, self._others())
                if not taken or a >= taken[0]
            ]
            for hit_work in re.finditer(rf"\b[Tt]he (?:{NP} )?{re.escape(self.old_work)}(?!\w)", beat):
                found.append(Mention(*hit_work.span(), "hero"))
            mentions.append(sorted(found))
        rest = [
            without(b, [(m.start, m.end) for m in row])
            for b, row in zip(self.plot.beats, mentions, strict=True)
        ]
        spouse = re.compile(rf"\b{'his' if old[1] == 'm' else 'her'} (?:\w+ )?(?P<who>wife|husband)\b")
        swapped: list[list[Edit]] = [
            [Edit(*hit.span("who"), _SPOUSES[hit["who"]]) for hit in spouse.finditer(beat)]
            if old[1] != new[1]
            else []
            for beat in self.plot.beats
        ]
        if hit_word := _GENDERED.search(
            " ".join(spouse.sub("", told) if old[1] != new[1] else told for told in rest)
        ):
            raise Refused(f"{hit_word[0]!r} goes with people of the plot's genders")
        _check_third(rest, self.old_work)
        assert self.new_met
        names = (forms(self.new_name)[1], _later(self.new_met, self.new_work))
        known = (old[0] or "", old[1] or ""), (new[0] or "", new[1] or "")
        return [
            regender(beat, row, *known, names) for beat, row in zip(self.plot.beats, mentions, strict=True)
        ]

    # What must hold afterwards.

    def _known_people(self) -> set[str]:
        met = self.new_met.head if self.new_met else (self.new_meets.split() or [""])[-1]
        same = _SAME.get(self.plot.met_gender or "", "").split() + (
            ["boy", "girl", "child"] if met in _CHILDREN else []
        )
        return {*self.new_work.split()[-1:], met, *same, *(word.casefold() for word in _said(self.new_meets))}

    def _where_to_add(self, beats: Sequence[str]) -> tuple[int, int, str]:
        """The beats that take things and topics, and who talks."""
        names = {*self.new_name.split(), *_said(self.new_meets), "he", "she", "I", "He", "She"} - {"a", "an"}
        counts = [len(names & set(_said(beat))) for beat in beats[1:3]]
        still = 1 + counts.index(min(counts)) if counts else 0
        met = next((at for at, beat in enumerate(beats) if self._says_met(beat)), len(beats) - 1)
        talk = min(max(met + 1, len(beats) // 2), max(0, len(beats) - 2))
        return still, talk, "we" if self.plot.first_person else "they"

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
            for word in _said(self.new_name, self.new_meets, self.new_work, place, *brief.keywords)
        }
        left = set(self.renamed)
        if brief.name:
            left |= {word for word in _said(self.old_name) if word[0].isupper()}
        if brief.meets and self.old_met:
            left |= {*_said(self.old_met.name), self.old_met.head}
        if brief.occupation:
            left |= set(self.old_work.split()[-1:])
        if brief.place:
            left |= {word for word in _said(gold.place or "") if word[0].isupper()}
        left = {word.casefold() for word in left} - allowed - {""}
        for beat in beats:
            for word in _said(beat):
                low = re.sub(r"['’]s?$", "", word.casefold())
                if low in left or singular(low) in left:
                    raise Refused(f"{word!r} of the plot's own is left")
                city = not brief.place and low in words("cities") | words("towns")
                opens = beat.startswith(word) and word not in self.plot.names
                if word[0].isupper() and not (low in allowed or city or opens or is_ordinary(low)):
                    raise Refused(f"{word!r} is a name that the brief does not have")


def _rest(beats: Iterable[str], edits: Iterable[Sequence[Edit]]) -> list[str]:
    """What of the beats stays as it is."""
    return [
        without(beat, sorted((edit.start, edit.end) for edit in found))
        for beat, found in zip(beats, edits, strict=True)
    ]


def _check_trade(
    ties: Sequence[tuple[str, frozenset[str]]],
    old: str,
    new: str,
    beats: Sequence[str],
    leisure: Collection[str] = (),
) -> None:
    """Refuse beats with words of one occupation that are none of another. leisure: words that need no occupation."""
    old_head, new_head = (old.split() or [""])[-1], (new.split() or [""])[-1]
    if not old or (old_head == new_head and trades(old) & trades(new)):
        return
    mine = trades(new)
    mine |= {name for near in NEAR.keys() & mine for name in NEAR[near]} & trades(old)
    own = stems([old]) - _GAMES
    for word, classes in ties:
        near = {
            name for name in classes & mine if not name.startswith("field ") or name == "field sea and river"
        }
        shared = near and (
            word not in _INSTRUMENTS or not classes.isdisjoint((new_head, " ".join(new.split()[-2:])))
        )
        any_has = (
            word in _ANYONES
            and word not in own
            and not any(word in job_words(job) for job in trades(old) & JOBS.keys())
        )
        theirs = (
            any_has
            and word in _OWNED
            and re.search(rf"\b(?:his|her|my) (?:{NP} ){{0,2}}{word}", " ".join(beats))
        )
        if not (word in leisure and _leisurely(word, old)) and not shared and (theirs or not any_has):
            raise Refused(f"{word!r} goes with a {old}")


def _leisurely(word: str, old: str) -> bool:
    """Whether a word of a trade is not one of its hard work."""
    return not any(word in job_words(job) for job in trades(old) & JOBS.keys() - _PASTIMES)


def _check_service(old: str, beats: Sequence[str]) -> None:
    """Refuse beats in which somebody serves others."""
    if trades(old) & _SERVERS and (hit := _SERVING.search(" ".join(beats))):
        raise Refused(f"{hit[0]!r} goes with a {old}")


def _check_work(old: str, new: str, rest: Sequence[str], leisure: Collection[str] = ()) -> None:
    """Refuse beats that say what somebody of the old occupation does, by the word for it: "bakes" for a baker, "sells"."""
    old_head, new_head = (old.split() or [""])[-1], (new.split() or [""])[-1]
    if not old or (old_head == new_head and trades(old) & trades(new)):
        return
    own, root = stems([old]) - _GAMES, old_head[: max(4, len(old_head) - 3)]
    for word in sorted(stems(rest)):
        if word in leisure and _leisurely(word, old):
            continue
        part = old_head.startswith(word) and old_head.removeprefix(word) in _MAKERS  # "map" of a mapmaker
        if (
            word in own or part or (len(root) >= 4 and word.startswith(root) and root != "wait")
        ) and not new_head.startswith(root):
            raise Refused(f"{word!r} goes with a {old}")
    servers = [trades(noun) & _SERVERS for noun in (old, new)]
    if servers[0] and servers[0] != servers[1]:
        raise Refused(f"a {old} has customers")


def _check_third(beats: Sequence[str], work: str) -> None:
    """Refuse beats in which a pronoun may be somebody else's than the two people's."""
    others = (_people() | words("person_words", "beast")) - set(work.split())
    for at, beat in enumerate(beats):
        said = [re.sub(r"['’]s?$", "", word.casefold()) for word in _said(beat)]
        third = next((index for index, word in enumerate(said) if word in others), None)
        if third is not None and not {"she", "he", "her", "him", "his", "hers"}.isdisjoint(
            [*said[third:], *(word.casefold() for word in _said(*beats[at + 1 : at + 2])[:3])]
        ):
            raise Refused(f"it is not clear whether a pronoun means the {said[third]}")


def _check_age(old_met: Person, new_met: Person, rest: Sequence[str]) -> None:
    """Refuse beats that tell the age of whom the plot meets."""
    old, new = _age(old_met), _age(new_met)
    told = " ".join(rest)
    if new == "young" != old and (hit := _OF_AGE.search(told)):
        raise Refused(f"{hit[0]!r} goes with old people")
    if new == "old" != old and (hit := _OF_YOUTH.search(told)):
        raise Refused(f"{hit[0]!r} goes with young people")


def _age(met: Person) -> str:
    if not _AGES.isdisjoint(met.looks) or met.head in ("widow", "widower", "grandmother", "grandfather"):
        return "old"
    young = not _YOUTH.isdisjoint(met.looks) or met.head in ("student", "apprentice", "youth", "teenager")
    return "young" if young else ""


def _later(met: Person, occupation: str) -> str:
    """How somebody is said again: by a name, or as "the old man", "the chef", "the other painter"."""
    if met.name:
        return forms(met.name)[1]
    looks = [look for look in met.looks if look in _AGES | _YOUTH]
    clash = met.head in occupation.split()[-1:]
    if looks and (clash or met.noun in ("man", "woman", "lady", "gentleman", "fellow")):
        return f"the {looks[0]} {met.noun}"
    return f"the {'other ' if clash else ''}{met.noun}"


def _said(*phrases: str) -> list[str]:
    return [word for phrase in phrases for word in re.findall(r"[^\W\d_][\w'’\-]*", phrase)]


@cache
def _people() -> frozenset[str]:
    return person_nouns() - _NO_PEOPLE


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
            people = [word for word in hit[2].casefold().split() if word in _people()]
            if people and hit[1] and people[0] not in introduced:
                raise Refused(f"the {people[0]} is not introduced")
            introduced |= set(people)
