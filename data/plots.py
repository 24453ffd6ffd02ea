"""The stories of the bank as plots that can be told again about other people, elsewhere.

A plot is a story's beats with its gold brief. Reads plots, works out the gender of their two people, and finds the words by which
a plot depends on an occupation or a place. Puts no brief into a plot (`data.plot_fill` does).

    plots = read_plots(Path("data/stories/stories.jsonl.xz"))
    [plot for plot in plots if fits(plot, Brief(name="Ada Moreau", meets="an old man", length=380))]
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from data.brief import Brief
from data.english import is_adjective, listed_gender, singular
from data.lists import groups, words
from data.plot_words import JOBS, KINDS
from data.stories import Story, read_stories

__all__ = [
    "INSIDE",
    "PREPOSITIONS",
    "Person",
    "Plot",
    "fits",
    "gender_of_met",
    "gender_of_name",
    "job_words",
    "kind_of_place",
    "person",
    "read_plots",
    "stem",
    "stems",
    "trades",
]

LENGTH_TOLERANCE = 0.25
"""A plot's own text is as long as a brief asks within this share."""

RATIO = 4.0
"""How many times more stories of a class than others have a word that depends on the class."""

OFTEN = 0.3
"""A word that this share of a class's stories has depends on the class. A rarer one must have twice the ratio."""

SURE = 5.0
"""By how many standard deviations they are more."""

PREPOSITIONS = frozenset(
    "in on at of with from by near under above below behind beside to into without who before after between among over outside "
    "inside along across off opposite beneath beyond against facing for where that which through around named called".split()
)

_QUOTED = re.compile(r"“[^”]*”|\"[^\"]*\"|«[^»]*»")
_PRONOUN = re.compile(r"\b(?:(she|hers?|herself)|he|him|his|himself)\b", re.IGNORECASE)
_I = re.compile(r"\b(?:I|I'm|my|me|we|us|our)\b")
_WORD = re.compile(r"[^\W\d_][\w'’\-]*")
_LOW = re.compile(r"(?<![\w'’])[a-zà-ÿœ]{3,}")

_WOMEN = frozenset(
    "woman lady girl widow mother grandmother daughter granddaughter sister bride wife nun aunt niece queen princess nanny governess "
    "lass seamstress laundress actress waitress hostess fiancée schoolgirl mrs ms miss madame mme mademoiselle dame señora señorita dona "
    "doña donna signora signorina frau sister lalla".split()
)
_MEN = frozenset(
    "man gentleman boy widower father grandfather son grandson brother bridegroom groom husband monk fellow lad uncle nephew king prince "
    "landlord schoolboy chap guy bloke fiancé mr monsieur sir lord señor don dom signor signore herr seu brother father".split()
)
_LOOSE = frozenset(
    "maker teacher seller player driver keeper student owner guard clerk mender repairer artist restorer captain porter".split()
)
INSIDE = frozenset(
    {
        f"kind {kind}"
        for kind in "eat shop books museum train stage work home care faith school hotel laundry".split()
    }
    | set(
        "room hall office prison cellar attic tower palace castle mansion mill barn factory studio hut cabin lounge foyer".split()
    )
)
"""The classes of places that have walls."""


@dataclass(frozen=True)
class Plot:
    """A story as a plot. Each word by which it depends on an occupation or a place has the classes that the word belongs to."""

    brief: Brief
    """The story's gold brief."""
    beats: tuple[str, ...]
    words: int
    """How many words the story's text has."""
    hero_gender: str | None
    """ "f", "m", or None where it is not known."""
    met_gender: str | None
    first_person: bool
    """Whether the beats tell by "I"."""
    work: tuple[tuple[str, frozenset[str]], ...] = ()
    """Words of the beats that depend on the protagonist's occupation, with all trades that have each of them."""
    met_work: tuple[tuple[str, frozenset[str]], ...] = ()
    """The same for the person who is met."""
    scene: tuple[tuple[str, frozenset[str]], ...] = ()
    """The same for the place."""
    names: frozenset[str] = frozenset()
    """Words that begin a beat and are no words of the language, as no text of the bank has them in lower case."""


@dataclass(frozen=True)
class Person:
    """A description of somebody, taken apart: "Idris, a young boatman in a cap"."""

    name: str = ""
    """ "Idris", with a title where there is one."""
    told: str = ""
    """ "a young boatman in a cap"."""
    looks: tuple[str, ...] = ()
    """ ("young",)."""
    noun: str = ""
    """ "boatman"; "chess player"."""
    tail: str = ""
    """ "in a cap"."""

    @property
    def head(self) -> str:
        """The last word of the noun."""
        return self.noun.split()[-1] if self.noun else ""


@cache
def person(meets: str) -> Person | None:
    """Take a brief's `meets` apart. None: it is a relative, several people, or a description without "a"."""
    name, _, told = meets.partition(", ") if meets[:1].isupper() else ("", "", meets)
    if name and not told:
        return Person(name)
    said = told.split()
    if said[0] not in ("a", "an") or "," in told:
        return None
    end = next((at for at, word in enumerate(said) if word in PREPOSITIONS), len(said))
    looks: list[str] = []
    rest = said[1:end]
    while len(rest) > 1 and (is_adjective(rest[0]) or rest[0] in words("looks")):
        looks.append(rest.pop(0))
    tail = " ".join(said[end:])
    if not rest or "and" in rest or re.search(r"\b(?:his|her|who|that)\b", tail):
        return None
    return Person(name, told, tuple(looks), " ".join(rest), tail)


@lru_cache(maxsize=4)
def read_plots(path: Path) -> tuple[Plot, ...]:
    """Read the plots of a file of stories: those that have beats and are not for testing."""
    stories = [story for story in read_stories(path) if not story.test]
    told = [story for story in stories if story.beats]
    told_words = stems(beat for story in told for beat in story.beats)
    bags = [stems((story.text, *story.beats)) & told_words for story in stories]
    work = _ties(bags, [_jobs(story.brief.occupation or "") for story in stories], 4 * RATIO)
    met = _ties(bags, [_jobs(_noun(story.brief.meets or "")) for story in stories], 4 * RATIO)
    scene = _ties(bags, [kind_of_place(story.brief.place or "")[1] for story in stories], 2 * RATIO)
    language = {word for story in stories for word in _LOW.findall(story.text)}
    return tuple(
        _plot(
            story,
            language,
            tuple(
                _tied(story.beats, ties, classes, phrases)
                for ties, classes, phrases in (
                    (
                        work,
                        _jobs(story.brief.occupation or ""),
                        (story.brief.occupation or "", story.brief.place or ""),
                    ),
                    (
                        met,
                        _jobs(_noun(story.brief.meets or "")),
                        (_noun(story.brief.meets or ""), story.brief.place or ""),
                    ),
                    (scene, kind_of_place(story.brief.place or "")[1], (story.brief.place or "",)),
                )
            ),
        )
        for story in told
    )


def fits(plot: Plot, brief: Brief, first_person: bool = False) -> bool:
    """Decide whether a brief's people and length are those of a plot.

    first_person: also take plots that are told by "I". What the brief leaves out and what is not known fits. A plot of a woman and a
    man fits any two people, since its pronouns can be exchanged.
    """
    if plot.first_person and not first_person:
        return False
    any_two = {plot.hero_gender, plot.met_gender} == {"f", "m"} and not plot.first_person
    if brief.length and abs(plot.words - brief.length) > LENGTH_TOLERANCE * brief.length:
        return False
    hero = gender_of_name(brief.name) if brief.name else None
    if (
        hero
        and hero != plot.hero_gender
        and not any_two
        and not (plot.first_person and plot.hero_gender is None)
    ):
        return False
    met = gender_of_met(brief.meets) if brief.meets else None
    return met is None or met == plot.met_gender or any_two


@cache
def gender_of_name(name: str) -> str | None:
    """Say "f" or "m" by a title or a listed given name, else None."""
    first, *rest = (part.casefold().strip(".") for part in name.split())
    if rest and (first in _WOMEN or first in _MEN):
        return "f" if first in _WOMEN else "m"
    if first in words("given_either"):
        return None
    listed = [listed_gender(first), *(listed_gender(part) for part in first.split("-") if "-" in first)]
    return next(filter(None, listed), None)


@cache
def gender_of_met(meets: str) -> str | None:
    """Say whether a brief's `meets` is a woman or a man: by the noun, else by the name."""
    name, _, told = meets.partition(", ") if meets[:1].isupper() else ("", "", meets)
    return _gender_of_noun(_noun(told)) or (gender_of_name(name) if name else None)


def _gender_of_noun(noun: str) -> str | None:
    last = noun.split()[-1] if noun else ""
    if last in _WOMEN or last.endswith(("woman", "girl", "maid", "lady", "tress")):
        return "f"
    return "m" if last in _MEN or (last.endswith(("man", "boy")) and last != "human") else None


def _noun(told: str) -> str:
    """The noun of a description with what stands before it: "Ann, an old man in a hat" -> "old man"."""
    told = told.rpartition(", ")[2] if told[:1].isupper() else told.partition(",")[0]
    said = told.split()
    end = next((at for at, word in enumerate(said) if at and word in PREPOSITIONS), len(said))
    return " ".join(
        said[1:end] if said[:1] != [] and said[0] in ("a", "an", "the", "his", "her") else said[:end]
    )


@cache
def trades(phrase: str) -> frozenset[str]:
    """The classes of an occupation: its noun, what is near to it, its field ("field sea and river"). None for no occupation."""
    said = phrase.casefold().split()
    if not said:
        return frozenset()
    tails = [" ".join(said[at:]) for at in range(len(said))]
    fields = {
        f"field {field}"
        for tail in tails
        for field, members in groups("occupations").items()
        if tail in members
    }
    own = " ".join(said[-2:]) if said[-1] in _LOOSE else said[-1]
    near = {job for job, (nouns, _) in JOBS.items() if not set(said).isdisjoint(nouns.split())}
    return frozenset({own, *near, *fields})


def _jobs(phrase: str) -> frozenset[str]:
    """The trades of `data.plot_words` that an occupation is of."""
    return trades(phrase) & JOBS.keys()


@cache
def kind_of_place(place: str) -> tuple[str, frozenset[str]]:
    """The noun of a place in lower case, and its classes: "a café in Lyon" -> ("café", {"café", "kind eat"})."""
    said = [word for word in place.split() if word.casefold() not in ("a", "an", "the")]
    end = next((at for at, word in enumerate(said) if at and word in PREPOSITIONS), len(said))
    core = [word.casefold().strip(",") for word in said[:end]]
    if not core:
        return "", frozenset()
    every = {noun: kind for kind, nouns in KINDS.items() for noun in nouns.split()}
    proper = said[0][0].isupper()
    noun = core[0] if proper and core[0] in every else core[-1]
    if noun in ("house", "room", "hall", "shop") and len(core) > 1 and not is_adjective(core[-2]):
        phrase = " ".join(core[-2:])  # a coffee house is no house
        drinks = core[-2] in ("tea", "coffee")
        return noun, frozenset(
            {phrase, "kind eat"} if drinks else {phrase, "kind shop"} if noun == "shop" else {phrase}
        )
    kind = every.get(core[-2] if noun == "terrace" and len(core) > 1 else noun)  # "a café terrace"
    return noun, frozenset({noun, f"kind {kind}"} if kind else {noun})


@cache
def stem(low: str) -> str:
    """A word without its ending, roughly: "paints", "painted", "painting" -> "paint"."""
    low = singular(low)
    for ending in ("ing", "ed", "e"):
        if low.endswith(ending) and len(low) - len(ending) >= 3:
            low = low[: -len(ending)]
            break
    return low[:-1] if len(low) > 3 and low[-1] == low[-2] and low[-1] not in "lse" else low


@cache
def job_words(job: str) -> frozenset[str]:
    """The stems of the words of a trade's work."""
    return frozenset(map(stem, JOBS[job][1].split()))


def stems(texts: Iterable[str]) -> set[str]:
    """The stems of all words in lower case."""
    return set(map(stem, {word for text in texts for word in _LOW.findall(text)}))


def _ties(
    bags: Sequence[set[str]], classes: Sequence[Iterable[str]], rare: float
) -> dict[str, frozenset[str]]:
    """For each word the classes of which many more stories than of others have it."""
    everywhere: Counter[str] = Counter()
    for bag in bags:
        everywhere.update(bag)
    members: dict[str, list[int]] = defaultdict(list)
    for at, names in enumerate(classes):
        for name in names:
            members[name].append(at)
    found: dict[str, set[str]] = defaultdict(set)
    for name, indices in members.items():
        if len(indices) < 5:
            continue
        inside: Counter[str] = Counter()
        for at in indices:
            inside.update(bags[at])
        few = max(3, (OFTEN if len(indices) < 16 else 0.02 if " " in name else 0.06) * len(indices))
        for word, count in inside.items():
            outside = (everywhere[word] - count + 1) / (len(bags) - len(indices) + 1)
            often = count / len(indices)
            sure = count - outside * len(indices) >= SURE * math.sqrt(outside * len(indices))
            if (
                count >= few
                and sure
                and (often >= rare * outside or (often >= OFTEN and often >= RATIO * outside))
            ):
                found[word].add(name)
    for name in JOBS:
        for word in job_words(name):
            found[word].add(name)
    return {word: frozenset(names) for word, names in found.items()}


def _tied(
    beats: Iterable[str], ties: dict[str, frozenset[str]], classes: frozenset[str], phrases: Sequence[str]
) -> tuple[tuple[str, frozenset[str]], ...]:
    """The words of the beats that depend on some classes, with all their classes. phrases: the first names the classes, and none counts."""
    said = phrases[0].split()
    text = "\n".join(beats)
    for name in (*(" ".join(said[at:]) for at in range(len(said) - 1)), *phrases[1:]):
        text = text.replace(name, " ") if name else text
    here = sorted({stem(word) for word in set(_LOW.findall(text)) - set(said[-1:])})
    return tuple((word, ties[word]) for word in here if not classes.isdisjoint(ties.get(word, ())))


def _plot(story: Story, language: set[str], ties: Sequence[tuple[tuple[str, frozenset[str]], ...]]) -> Plot:
    first_person = 2 * sum(bool(_I.search(beat)) for beat in story.beats) >= len(story.beats)
    text = _QUOTED.sub("", story.text)
    hero = gender_of_name(story.brief.name or "?")
    if not first_person:
        hero = _clear(*_before_met(text, story), *_before_met(". ".join(story.beats), story)) or hero
    firsts = {_WORD.findall(beat)[0] for beat in story.beats if beat[:1].isupper()}
    names = frozenset(word for word in firsts if len(word) > 2 and word.casefold() not in language)
    met = _gender_met(f"{text}\n{' '.join(story.beats)}", story, hero, first_person)
    return Plot(
        story.brief,
        story.beats,
        len(story.text.split()),
        hero,
        met,
        first_person,
        ties[0],
        ties[1],
        ties[2],
        names,
    )


def _before_met(text: str, story: Story) -> tuple[int, int]:
    """Women's and men's pronouns that stand before the met person's first mention, so that they are the protagonist's."""
    meets = story.brief.meets or ""
    name, _, told = meets.partition(", ") if meets[:1].isupper() else ("", "", meets)
    said = [word for word in _WORD.findall(name) if word.casefold() not in words("honorifics")]
    said += _noun(told).split()[-1:]
    hit = re.search(rf"(?<!\w)(?:{'|'.join(map(re.escape, said))})(?!\w)", text) if said else None
    return _count(text[: hit.start()] if hit else "")


def _clear(*counts: int) -> str | None:
    women, men = sum(counts[::2]), sum(counts[1::2])
    if max(women, men) >= 2 * min(women, men) and women != men:
        return "f" if women > men else "m"
    return None


def _gender_met(text: str, story: Story, hero: str | None, first_person: bool) -> str | None:
    """The met person's gender: by noun or name, else by whether pronouns of only one gender stand in the text."""
    known = gender_of_met(story.brief.meets or "")
    women, men = _count(text)
    if known:
        return known
    if first_person:
        return _clear(women, men) if max(women, men) >= 4 else None
    if hero is None:
        return None
    own, others = (women, men) if hero == "f" else (men, women)
    if others <= 1 and own >= 6:
        return hero
    return ("m" if hero == "f" else "f") if others >= 6 and others >= own / 4 else None


def _count(text: str) -> tuple[int, int]:
    found = _PRONOUN.findall(text)
    men = found.count("")
    return len(found) - men, men
