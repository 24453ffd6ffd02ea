"""Says whether the beats of a plot go with other people than their own: with another trade, another age.

Looks at words alone: those that `data.plots` found to depend on a trade, and those of `data.plot_words`. Raises `Refused` with the
reason. Changes nothing (`data.plot_fill` does).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from data.lists import words
from data.plot_scene import NP, Refused
from data.plot_words import (
    ANYONES,
    AT_WORK,
    GAMES,
    HOBBIES,
    INSTRUMENTS,
    JOBS,
    MAKERS,
    NEAR,
    OWNED,
    PASTIMES,
    POETIC,
    SELLING,
    SERVING,
)
from data.plots import Person, Plot, job_words, stems, trades

__all__ = [
    "AGES",
    "CHILDREN",
    "YOUTH",
    "check_looks",
    "check_met",
    "check_met_work",
    "check_met_work_left",
    "check_work",
    "check_work_left",
]

AGES = frozenset("old elderly aging aged retired white-haired grey-haired widowed".split())
YOUTH = frozenset("young little small".split())
CHILDREN = frozenset("boy girl child schoolboy schoolgirl toddler baby pupil lad lass".split())

_MILD = AGES - {"widowed"} | set(
    "young small little tall thin stout quiet gentle kind shy friendly cheerful tired weary lonely weathered busy proud elegant stern "
    "gruff wise ancient ageing white-bearded freckled rosy-cheeked modest curious gray-haired anxious stubborn nervous worried "
    "frightened hurried impatient timid sulky bored blushing silent talkative absent-minded solitary".split()
)
"""Looks on which no plot depends."""

_ROLES = frozenset(
    "bride bridegroom groom bride-to-be patient father mother grandmother grandfather beginner pilgrim neighbour neighbor friend child "
    "baby climber swimmer islander countess aunt".split()
)
"""Nouns for what somebody is in a plot, and not by trade."""

_YOUNG = frozenset(
    "student apprentice youth teenager son daughter grandson granddaughter nephew niece".split()
)
_STATE = re.compile(r"\b(?:mourning|black|wheelchair|uniform|crutch\w*|costume|baby|dog|cat)\b")
_NO_PERSON = words("person_words", "beast") | set(
    "robot spirit firefly seal raven wind river moon star tree ghost kitten puppy sparrow swan rabbit mouse hedgehog heron gull "
    "tortoise messenger".split()
)
_NO_TRADE = (
    words("person_words")
    | CHILDREN
    | set("person chess backgammon domino player birdwatcher swimmer islander countess".split())
)
_OF_AGE = re.compile(
    r"\b(?:years|young\w*|youth|grand\w+|retire\w*|widow\w*|decades|cane|stiff|aged|used to|ago|spectacles|trembl\w*|lifelong|"
    r"(?:all|half|spent) (?:his|her|my) life|(?:late|dead|old) (?:wife|husband|hands?|eyes|face|fingers|friend|man|woman|age)|"
    r"white hair|(?:was|were) (?:a )?(?:young|small|child|boy|girl))\b"
)
_OF_YOUTH = re.compile(
    r"\b(?:young\w*|youth|exam\w*|school|student|career|boy|girl|beginner|apprentice|parents|child|grow(?:s|n)? up|"
    r"(?:her|his) (?:mother|father) (?:is|waits|says|has|works|calls|comes|wants))\b"
)
_SERVERS = frozenset(("field food and hospitality", "field shops and markets"))


def check_met(old: Person | None, new: Person | None) -> tuple[Person, Person]:
    """Check that a plot can be about another encounter than its own. old, new: the encounters. Gives both."""
    if old is None:
        raise Refused("the plot's own encounter is a relative, or no single person")
    if new is None:
        raise Refused("the brief's encounter is a relative, or no single person")
    if old.head in _NO_PERSON or "talking" in old.looks:
        raise Refused(f"a {old.noun} is met")
    if not _MILD.issuperset(old.looks) or _STATE.search(old.tail):
        raise Refused(f"the plot is about {old.told}")
    if old.head in _ROLES and old.head != new.head:
        raise Refused(f"the plot is about a {old.head}")
    if (old.head in CHILDREN) != (new.head in CHILDREN):
        raise Refused("a child is met in one of the two, and not in the other")
    return old, new


def check_looks(old: Person, new: Person, rest: Sequence[str]) -> None:
    """Check that the beats tell no other age and clothes. rest: the beats without their words for the encounter."""
    if own := (stems([old.tail]) - stems([new.tail, "with from the and who"])) & stems(rest):
        raise Refused(f"{min(own)!r} goes with {old.told}")
    ages, told = (_age(old), _age(new)), " ".join(rest)
    if ages[1] == "young" != ages[0] and (hit := _OF_AGE.search(told)):
        raise Refused(f"{hit[0]!r} goes with old people")
    if ages[1] == "old" != ages[0] and (hit := _OF_YOUTH.search(told)):
        raise Refused(f"{hit[0]!r} goes with young people")


def check_work(plot: Plot, new: str) -> None:
    """Check that the words of the plot's own work go with a protagonist of another occupation."""
    old = plot.brief.occupation or ""
    if not _alike(old, new):
        _check_words(plot.work, old, new, plot.beats, ())


def check_work_left(plot: Plot, new: str, rest: Sequence[str]) -> None:
    """Check what is left of the plot's own work. rest: the beats without the plot's own occupation."""
    old = plot.brief.occupation or ""
    if not _alike(old, new):
        _check_noun(old, new, rest, ())
        if trades(old).isdisjoint(trades(new) & JOBS.keys()):
            _check_pattern(SELLING, old, rest)


def check_met_work(plot: Plot, old: Person, new: Person) -> None:
    """Check that the words of the encounter's work go with somebody else. Somebody without a trade may have any."""
    if not (_alike(old.noun, new.noun) or _has_no_trade(new.noun)):
        _check_words(plot.met_work, old.noun, new.noun, plot.beats, HOBBIES)


def check_met_work_left(old: Person, new: Person, rest: Sequence[str]) -> None:
    """Check what is left of the encounter's work. rest: the beats without their words for the encounter."""
    if _alike(old.noun, new.noun):
        return
    if _has_no_trade(new.noun):
        if trades(old.noun) & _SERVERS:
            _check_pattern(SERVING, old.noun, rest)
        _check_pattern(AT_WORK, old.noun, rest)
    else:
        _check_noun(old.noun, new.noun, rest, HOBBIES)


def _alike(old: str, new: str) -> bool:
    return not old or (old.split()[-1:] == new.split()[-1:] and bool(trades(old) & trades(new)))


def _has_no_trade(noun: str) -> bool:
    return not noun or noun.split()[-1] in _NO_TRADE


def _check_words(
    ties: Sequence[tuple[str, frozenset[str]]],
    old: str,
    new: str,
    beats: Sequence[str],
    leisure: Collection[str],
) -> None:
    """Refuse beats with words of one occupation that are none of another. leisure: words that need no occupation."""
    jobs = trades(old) & JOBS.keys()
    if not jobs and not _has_no_trade(old) and not trades(old) & _SERVERS:
        raise Refused(f"it is not known what a {old} does")
    mine = trades(new)
    near_by = jobs & {name for near in NEAR.keys() & mine for name in NEAR[near]}
    own, told = stems([old]) - GAMES, " ".join(beats)
    for word, classes in ties:
        alike = bool(classes & (mine if word in POETIC else mine | near_by))
        if word in INSTRUMENTS:
            alike = any(part.startswith(word[:4]) for part in new.split())
        of_the_job = any(word in job_words(job) for job in jobs)
        owned = word in OWNED and re.search(rf"\b(?:his|her|my) (?:{NP} ){{0,2}}{word}", told)
        anyones = word in ANYONES and word not in own and not of_the_job and not owned
        if not (alike or anyones or (word in leisure and _leisurely(word, old))):
            raise Refused(f"{word!r} goes with a {old}")


def _check_noun(old: str, new: str, rest: Sequence[str], leisure: Collection[str]) -> None:
    """Refuse beats that have an occupation's own words still: "bakes" for a baker, "map" for a mapmaker."""
    head, new_head = old.split()[-1], (new.split() or [""])[-1]
    own, root = stems([old]) - GAMES, head[: max(4, len(head) - 3)]
    for word in sorted(stems(rest)):
        made = head.startswith(word) and head.removeprefix(word) in MAKERS
        rooted = len(root) >= 4 and word.startswith(root) and root != "wait"
        idle = word in leisure and _leisurely(word, old)
        if (word in own or made or rooted) and not idle and not new_head.startswith(root):
            raise Refused(f"{word!r} goes with a {old}")
    if (servers := trades(old) & _SERVERS) and servers != trades(new) & _SERVERS:
        raise Refused(f"a {old} has customers")


def _check_pattern(pattern: str, old: str, rest: Sequence[str]) -> None:
    if hit := re.search(rf"\b(?:{pattern})\b", " ".join(rest)):
        raise Refused(f"{hit[0]!r} goes with a {old}")


def _leisurely(word: str, old: str) -> bool:
    """Whether a word of a trade is not one of its hard work."""
    return not any(word in job_words(job) for job in trades(old) & JOBS.keys() - PASTIMES)


def _age(met: Person) -> str:
    if not YOUTH.isdisjoint(met.looks) or met.head in _YOUNG:
        return "young"
    old = not AGES.isdisjoint(met.looks) or met.head in ("widow", "widower", "grandmother", "grandfather")
    return "old" if old else ""
