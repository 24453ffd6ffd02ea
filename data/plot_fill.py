"""Puts a brief into a plot: the same beats about the brief's people, at its place, with its keywords.

Fills slots and changes nothing else. `data.plots` says which plots a brief fits.

    fill_plot(plot, Brief(name="Tomoko Brandt", occupation="poet", meets="an old man"), random.Random(0))
    -> a brief with all fields and beats ("Tomoko, a poet, comes to ...", "An old man ...", ...), or "the reason"
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace

from data.brief import Brief
from data.descriptions import (
    PREPOSITIONS,
    Person,
    gender_of_met,
    gender_of_name,
    has_walls,
    is_area,
    likely_gender,
    name_forms,
    person,
    place_noun,
    plain_place,
    preposition,
)
from data.english import given_names, grammar, indefinite, is_ordinary, singular
from data.lists import entries, words
from data.plots import Plot, word_list

__all__ = ["fill_plot"]

_PRONOUNS = {
    "f": {"he": "she", "him": "her", "his": "her", "himself": "herself"},
    "m": {word: word for word in ("he", "him", "his", "himself")},
}
_PATH = {"in": "into", "on": "onto", "at": "to", "by": "to"}
"""The preposition of going there, by that of being there."""
_AT, _TO = frozenset(("at", "in", "on", "by", "inside")), frozenset(("to", "into", "onto"))
_AGES = frozenset(("old", "young", "elderly"))
_WEARING = "(?:with|in|from)"
_SLOT = re.compile(r"[{\[][^}\]]*[}\]]")
_ARTICLE = re.compile(r"\A(?:[Aa]n?|[Tt]he) (?=\w)")
_ABSTRACT = ("ness", "ship", "ity", "tion", "ment", "ance", "ence", "dom", "hood", "ism", "ure")


class _Refused(Exception):
    """Why a plot can't be filled."""


def fill_plot(plot: Plot, brief: Brief, rng: random.Random) -> Brief | str:
    """Put a brief into a plot that fits it.

    plot: one that `data.plots.fits` the brief. brief: what it leaves out is the plot's own, or drawn. rng: draws names and sexes that
    nobody says. Returns the brief with all fields and the beats, or the reason in plain words where they would not be whole.
    Raises ValueError where many keywords make a beat too long.
    """
    try:
        return _filled(plot, brief, rng)
    except _Refused as reason:
        return str(reason)


def _filled(plot: Plot, brief: Brief, rng: random.Random) -> Brief:
    gold = plot.brief
    if not brief.place and not gold.place:
        raise _Refused("the plot needs a place, and the brief has none")
    hero = (likely_gender(brief.name) if brief.name else None) or plot.hero or rng.choice("fm")
    name = brief.name or gold.name or _new_name(hero, brief, rng)
    met_gender = (gender_of_met(brief.meets) if brief.meets else None) or plot.met or rng.choice("fm")
    meets = brief.meets or gold.meets or _somebody(met_gender, plot.age)
    if not (brief.meets and brief.name) and set(re.findall(r"[^\W\d_]+", name)) & set(
        re.findall(r"[^\W\d_]+", meets)
    ):
        raise _Refused("the plot's two people would have one name")
    met = person(meets)
    if met is None and "[" in "".join(plot.beats):
        raise _Refused("the brief's encounter is a relative, or no single person")
    occupation, place = (
        brief.occupation or gold.occupation or "",
        plain_place(brief.place or gold.place or ""),
    )
    beats = "\n".join(plot.beats)
    _check_slots(beats, plot, brief)
    if not occupation:
        beats = beats.replace(", {a job},", "")
        if "{a job}" in beats:
            raise _Refused("the plot needs an occupation, and the brief has none")
    beats = _put_place(beats, place, gold.place)
    later = _later(met, occupation) if met else "[he]"
    beats = _put_met(beats, met, later) if met else beats
    full, first, last = name_forms(name)
    slots = {"{name}": first, "{full}": full, "{last}": last, "{a job}": _with_article(occupation)}
    slots |= {f"{{{word}}}": form for word, form in _PRONOUNS[hero].items()}
    slots |= {f"[{word}]": form for word, form in _PRONOUNS[met_gender].items()}
    for open_, close, gender in (("{", "}", hero), ("[", "]", met_gender)):
        if gender == "f":  # "the umbrella is hers"
            beats = re.sub(
                rf"\{open_}his\{close}(?= (?:is|are|was|were)\b|[.,;:]|$)", "hers", beats, flags=re.MULTILINE
            )
    # Whoever acts first in a line is named: a small model takes a pronoun for either of the two.
    beats = re.sub(
        r"^\{he\}", "{name}", re.sub(r"^\[he\]", later, beats, flags=re.MULTILINE), flags=re.MULTILINE
    )
    for slot, said in slots.items():
        beats = beats.replace(slot, said)
    lines = tuple(_capital(line) for line in beats.split("\n"))
    whole = replace(
        brief,
        name=name,
        occupation=occupation or None,
        place=brief.place or place,
        meets=meets,
        keywords=brief.keywords or tuple(word for word in gold.keywords if _has(word, lines)),
    )
    if gold:
        _check_names(lines, whole)
    if brief.keywords:
        owner = ("I have", "me") if plot.first_person else (f"{first} has", _PRONOUNS[hero]["him"])
        lines = _put_keywords(lines, brief.keywords, place, *owner)
    return replace(whole, beats=lines)


def _check_slots(beats: str, plot: Plot, brief: Brief) -> None:
    """Refuse a plot that has no slot for what it is to be told of, or says its own beside it."""
    gold, left = plot.brief, set(word_list(_SLOT.sub(" ", beats)))
    met = [person(meets) for meets in (gold.meets, brief.meets) if meets]
    own = {
        "occupation": (gold.occupation or "").split()[-1:],
        "meets": [
            one.head for one in met if one and one.head
        ],  # the brief's may be a third person of the plot
    }
    slots = {
        "occupation": ("{a job}",),
        "meets": ("[a met]",),
        "place": ("{place}",),
        "name": ("{name}", "{full}"),
    }
    for field, wanted in slots.items():
        asked = getattr(brief, field)
        if not asked or asked == getattr(gold, field) or (field == "name" and plot.first_person):
            continue
        if not any(slot in beats for slot in wanted):
            raise _Refused(f"the beats do not say the {field}")
        if not left.isdisjoint(word.casefold() for word in own.get(field, ())):
            raise _Refused(f"the plot speaks of another {field}")


def _new_name(gender: str, brief: Brief, rng: random.Random) -> str:
    taken = (brief.meets or "").casefold()
    names = [name for name in entries(f"given_{gender}") if gender_of_name(name) == gender and name.isalpha()]
    return f"{rng.choice([name for name in names if name.casefold() not in taken])} {rng.choice(entries('surnames'))}"


def _somebody(gender: str, age: str) -> str:
    looks = {"old": "an old", "young": "a young"}.get(age, "a")
    return f"{looks} {'woman' if gender == 'f' else 'man'}"


def _put_place(beats: str, place: str, own: str | None) -> str:
    """Say the place where the plot says its own, behind the right preposition."""
    first = place.split()[0]
    there = preposition(place_noun(place))
    parts = re.findall(r"[^\W_]+", place)
    noun = next((word for word in parts if word.casefold() == place_noun(place)), "place")
    old = preposition(place_noun(own)) if own else "at"
    area = is_area(place)
    hit = re.search(r"(?:\b(?P<before>[A-Za-z]+) )?\{place\}", beats)
    if not hit or (own and place == own):
        return beats.replace("{place}", place).replace("{spot}", noun)
    before = (hit["before"] or "").casefold()
    if area:
        said = place if first in PREPOSITIONS else f"in {place}"
        if own:  # "a café in Lyon" -> "a café by the Seine"
            kept = re.match(
                rf"(?:an? )?(?:[^\W\d_][\w'’\-]* )*?{re.escape(place_noun(own))}(?![\w\-])",
                own,
                re.IGNORECASE,
            )
            if not kept or not own.startswith(("a ", "an ")):
                raise _Refused("the plot's own place is a certain one")
            beats = beats.replace("{place}", f"{kept[0]} {said}")
        elif before == "to" and first in PREPOSITIONS:
            raise _Refused("one does not come to the place like that")
        else:
            beats = beats[: hit.start()] + (f"to {place}" if before == "to" else said) + beats[hit.end() :]
        return beats.replace("{spot}", place_noun(own) if own else "place")
    rest = word_list(_SLOT.sub(" ", beats))
    if own and place_noun(own) != place_noun(place) and place_noun(own) in rest:
        raise _Refused("the plot's own place is left")
    if there is None and own is None:
        there = "at"
    if there is None or old is None:
        if before not in _AT | _TO | {"of", "outside", "near"}:
            raise _Refused(f"{before!r} may not go with the place")
        new = "at" if before in _AT else "to" if before in _TO else before
    elif before in _AT:
        new = there
    elif old == there and own:
        new = before
    elif before in _TO:
        new = _PATH[there] if own else "to"
    else:
        raise _Refused(f"{before!r} may not go with the place")
    beats = beats[: hit.start("before")] + f"{new} {place}" + beats[hit.end() :] if before else beats
    return beats.replace("{place}", place).replace("{spot}", noun)


def _put_met(beats: str, met: Person, later: str) -> str:
    """Introduce the person met, and say the name or the noun afterwards."""
    if met.name and not met.told:
        introduced, closing = met.name, ""
    else:
        introduced, closing = (f"{met.name}, {met.told}", ",") if met.name else (met.told, "")
    # "Ana, a nurse, sits", but "Ana, a nurse with a hat, sits".
    beats = re.sub(rf"\[a met\],(?= {_WEARING}\b)", "[a met]", beats)
    beats = re.sub(rf"\[a met\](?! {_WEARING}\b|[,.;:'’\n]|\Z)", f"[a met]{closing}", beats)
    return beats.replace("[a met]", introduced).replace("[met]", later)


def _later(met: Person, occupation: str) -> str:
    """How the person met is said again: by name, or as "the old man", "the nurse", "the other painter"."""
    if met.name:
        return name_forms(met.name)[1]
    looks = [look for look in met.looks if look in _AGES]
    clash = bool(occupation) and met.head == occupation.split()[-1]
    if looks and (clash or met.noun in ("man", "woman", "lady", "gentleman", "fellow", "person")):
        return f"the {looks[0]} {met.noun}"
    return f"the {'other ' if clash else ''}{met.noun}"


def _with_article(phrase: str) -> str:
    return indefinite(_ARTICLE.sub("", phrase)) if phrase else ""


def _capital(line: str) -> str:
    """Begin each sentence of a line with a capital."""
    return re.sub(r"(?:\A|(?<=[a-zà-ÿ)’'][.!?] ))[a-zà-ÿ]", lambda hit: hit[0].upper(), line)


def _check_names(lines: Sequence[str], brief: Brief) -> None:
    """Refuse beats with a name that the brief does not have: of the plot's own people or place."""
    asked = " ".join(filter(None, (brief.name, brief.occupation, brief.place, brief.meets)))
    known = {word.casefold() for word in re.findall(r"[^\W\d_]+", asked)}
    titled = {f"{word}." for word in words("honorifics")}
    for line in lines:
        openings = re.finditer(r"(?:\A|(\w+[.!?:]) )([^\W\d_]+)", line)
        opening = {hit.start(2) for hit in openings if (hit[1] or "").casefold() not in titled}
        for hit in re.finditer(r"[^\W\d_]+", line):
            low = hit[0].casefold()
            if hit[0][0].islower() or hit[0] == "I" or low in known or is_ordinary(low):
                continue
            if hit.start() not in opening or low in given_names():
                raise _Refused(f"{hit[0]!r} is a name that the brief does not have")


# Keywords


def _put_keywords(
    lines: tuple[str, ...], keywords: Sequence[str], place: str, has: str, him: str
) -> tuple[str, ...]:
    """Add sentences with the keywords that the beats lack: weather and time, what somebody has, what is talked of.

    has, him: the protagonist, as in "Ada has a letter with her".
    """
    scene: list[str] = []
    owned: list[str] = []
    topics: list[str] = []
    kinds = {word: words("keyword_kinds", word) for word in ("mass", "weather", "times", "topics", "large")}
    for keyword in keywords:
        if _has(keyword, lines):
            continue
        bare = _ARTICLE.sub("", keyword)
        low, head = keyword.casefold(), keyword.casefold().split()[-1]
        several = head.endswith("s") and indefinite(head).startswith("the ")
        thing = bool({head, singular(head)} & words("things")) and head not in kinds["topics"]
        named = bare if several or head in kinds["mass"] else indefinite(bare)
        if keyword[0].isupper() or low.startswith(("his ", "her ")):
            topics.append(keyword)
        elif low in kinds["times"]:
            if any(word in kinds["times"] for line in lines for word in word_list(line)):
                raise _Refused(f"the beats have another time than {keyword!r}")
            scene.append(f"It is {keyword}.")
        elif low in kinds["weather"]:
            scene.append(f"There is {keyword}{' outside' if has_walls(place) else ''}.")
        elif head in ("sun", "moon"):
            scene.append(f"The {head} shines.")
        elif {head, singular(head)} & kinds["large"]:
            scene.append(f"There {'are' if several else 'is'} {named} nearby.")
        elif thing or head in kinds["mass"]:
            owned.append(named)
        elif several or head in kinds["topics"] or head.endswith(_ABSTRACT):
            topics.append(keyword)
        else:
            topics.append(f"the {bare}" if head in grammar("uncounted") | {"sky", "world"} else named)
    if owned:
        scene.append(f"{has} {_listed(owned)} with {him}.")
    found = list(lines)
    if scene:
        found[0] = " ".join((_stopped(found[0]), *scene))
    if topics:
        they = "We" if has.startswith("I ") else "They"
        at = len(found) // 2
        found[at] = f"{_stopped(found[at])} {they} talk about {_listed(topics)}."
    return tuple(found)


def _stopped(line: str) -> str:
    return line if line.endswith((".", "!", "?")) else f"{line}."


def _has(phrase: str, lines: Sequence[str]) -> bool:
    """Whether one beat has all words of a phrase, in singular or plural."""
    wanted = {singular(word) for word in word_list(phrase)}
    return any(wanted <= {singular(word) for word in word_list(line)} for line in lines)


def _listed(phrases: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(phrases[:-1]), phrases[-1])))
