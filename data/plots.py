"""The bank's plots: a few plain sentences for every paragraph, which can be told of other people elsewhere.

A plot is one of two kinds. Some tell a story of the bank in finer beats, and say which of its people and places may be others.
Others were written for anybody (`data/stories/anybody.jsonl`). Reads plots and says whom they fit; `data.plot_fill` puts a brief into one.

    plots = read_plots(Path("data/stories"))
    [plot for plot in plots if fits(plot, Brief(name="Ada Moreau", place="a café", length=380))]
"""

from __future__ import annotations

import hashlib
import json
import lzma
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from data.brief import Brief
from data.descriptions import (
    PREPOSITIONS,
    Person,
    gender_of_met,
    has_walls,
    is_area,
    is_outside,
    kind_of_place,
    likely_gender,
    name_forms,
    person,
    place_noun,
    plain_place,
)
from data.lists import groups, words
from data.stories import STORIES, Story, read_stories

__all__ = [
    "ANYBODY",
    "PLOTS",
    "Plot",
    "fits",
    "read_plots",
    "slotted",
    "story_key",
    "with_finer_beats",
    "word_list",
]

PLOTS = "plots.jsonl.xz"
"""File of the finer beats of stories, and of what may be exchanged in them."""
ANYBODY = "anybody.jsonl"
"""File of the plots for anybody."""

LENGTH_TOLERANCE = 0.2
"""A plot's text is as long as a brief asks within this share."""

WORDS_OF_A_WORD = 1.3
"""Words that a told text has for each word of its plot (LAB.md, 2026-11-30)."""

MOVING = frozenset(("train", "boat"))
"""Kinds of place that only a plot of their own goes with."""
SPOTS = (
    "eat",
    "square",
    "station",
    "water",
    "bridge",
    "garden",
    "market",
    "boat",
    "train",
    "museum",
    "steps",
)
"""Kinds of place that one does not find wherever one is."""

_I = re.compile(r"\b(?:I|I'm|[Mm]y|[Mm]e)\b")
_OF_STORY = ("story", "beats", "hero", "met", "age", "job", "met_job", "place")
_OF_ANYBODY = ("title", "beats", "age", "place")
_SAID = r"(?:[^\W\d_][\w'’\-]*)"


@dataclass(frozen=True)
class Plot:
    """Beats, and what must be true of a brief that they are filled with.

    Slots: {name}, {full}, {last} are the protagonist's name; {a job}, {place}, {spot} the occupation, the place and its noun;
    [a met] and [met] the person met at first and later. {he} {him} {his} {himself} and [he] [him] [his] [himself] are pronouns.
    """

    lines: tuple[str, ...]
    """The beats: with slots where it is for anybody, else as they tell their own story."""
    brief: Brief = field(default_factory=Brief)
    """What its own story is about. A plot for anybody has none of it."""
    title: str = ""
    """What a plot for anybody is called."""
    hero: str | None = None
    """The protagonist's sex, "f" or "m". None: anybody's."""
    met: str | None = None
    """That of the person met."""
    age: str = "any"
    """How old the person met is: "old", "young", "child", or "any"."""
    any_work: bool = True
    """Whether the protagonist may have any occupation."""
    any_met: bool = True
    """Whether the person met may be any other of this sex and age."""
    where: str = "any"
    """Where it can happen: "any", "indoors", "outdoors", "café" (where food or drink is served), "this" (its own kind of place)."""
    first_person: bool = False
    """Whether it is told by "I"."""

    @cached_property
    def length(self) -> float:
        """About how many words a text has that tells it."""
        return WORDS_OF_A_WORD * sum(len(line.split()) for line in self.lines)

    @cached_property
    def elsewhere(self) -> str:
        """Its lines without what they say of their own place."""
        told = " ".join(self.lines)
        return told.replace(self.brief.place, "") if self.brief.place else told

    @cached_property
    def lowered(self) -> frozenset[str]:
        """The words of `elsewhere`, in lower case."""
        return frozenset(word_list(self.elsewhere))

    @cached_property
    def beats(self) -> tuple[str, ...]:
        """The beats with slots."""
        return slotted(self.lines, self.brief) if self.brief else self.lines


@lru_cache(maxsize=2)
def read_plots(folder: Path) -> tuple[Plot, ...]:
    """Read all plots of a folder: those for anybody, and those of its stories that are not for testing.

    folder: has the files `STORIES`, `PLOTS` and `ANYBODY`. Raises ValueError for a damaged file.
    """
    told = {story_key(story.text): story for story in read_stories(folder / STORIES) if not story.test}
    own = [_of_story(told[row["story"]], row) for row in _rows(folder / PLOTS) if row["story"] in told]
    return (*map(_of_anybody, _rows(folder / ANYBODY)), *own)


def story_key(text: str) -> str:
    """What a plot calls its story by: the first twelve digits of the text's sha256."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]


def with_finer_beats(stories: Sequence[Story], plots: Path) -> list[Story]:
    """Give the stories their finer beats.

    stories: any. plots: a file of finer beats. A story that no plot tells stays as it is.
    """
    finer = {row["story"]: tuple(row["beats"]) for row in _rows(plots)}
    return [
        replace(story, finer=beats)
        if len(beats := finer.get(story_key(story.text), ())) == len(story.paragraphs)
        else story
        for story in stories
    ]


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        content = path.read_bytes()
        content = lzma.decompress(content) if path.suffix == ".xz" else content
        for line in filter(None, content.decode("utf-8").split("\n")):
            row = json.loads(line)
            missing = [key for key in (_OF_STORY if "story" in row else _OF_ANYBODY) if key not in row]
            if missing or not isinstance(row["beats"], list):
                raise ValueError(f"a plot has no {', '.join(missing) or 'list of beats'}")
            yield row
    except FileNotFoundError:
        raise ValueError(
            f"there are no plots at {path}; get the project's own back with: git checkout {path}"
        ) from None
    except (lzma.LZMAError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}); get the project's own back with: git checkout {path}"
        ) from error


def fits(plot: Plot, brief: Brief, first_person: bool = False) -> bool:
    """Decide whether a plot can be told of what a brief asks for.

    plot: any. brief: what it leaves out fits. first_person: also take plots that are told by "I".
    """
    if plot.first_person and not first_person:
        return False
    if brief.length and abs(plot.length - brief.length) > LENGTH_TOLERANCE * brief.length:
        return False
    hero = likely_gender(brief.name) if brief.name else None
    if hero and plot.hero and hero != plot.hero and not plot.first_person:
        return False
    return (
        (not brief.occupation or _fits_work(plot, brief.occupation))
        and (not brief.meets or _fits_met(plot, brief.meets))
        and (not brief.place or _fits_place(plot, brief.place))
    )


def _fits_work(plot: Plot, work: str) -> bool:
    own = plot.brief.occupation
    return plot.any_work or bool(own and own.split()[-1] == work.split()[-1])


def _fits_met(plot: Plot, meets: str) -> bool:
    gender, found = gender_of_met(meets), person(meets)
    own = person(plot.brief.meets) if plot.brief.meets else None
    if found is None or (plot.met and gender and gender != plot.met):
        return False
    if plot.age != "any" and found.age and found.age != plot.age:
        return False
    if "child" in (plot.age, found.age) and plot.age != found.age:
        return False
    if own and own.head and own.head == found.head:
        return True
    # "A woman with a dog" can be nobody else where the dog runs off.
    said = word_list(" ".join(plot.beats)) if own and own.tail else []
    return plot.any_met and not (own and any(word in said for word in _long(own.tail)))


def _fits_place(plot: Plot, place: str) -> bool:
    own, place = plot.brief.place or "", plain_place(place)
    if place == own:
        return True
    if not _fits_surroundings(plot, place):
        return False
    kind, served = kind_of_place(place), kind_of_place(place) == "eat"
    if kind in MOVING:
        return kind == kind_of_place(own)
    if is_area(place) or (own and place_noun(own) == place_noun(place)):
        return True
    if plot.where == "any":
        inside, outside = (not plot.lowered.isdisjoint(words("inside_outside", way)) for way in ("in", "out"))
        return inside == outside or not (is_outside(place) if inside else has_walls(place))
    fitting = {
        "this": bool(kind) and kind == kind_of_place(own),
        "café": served,
        "outdoors": is_outside(place),
        "indoors": has_walls(place) and not served,
    }
    return fitting[plot.where]


def _fits_surroundings(plot: Plot, place: str) -> bool:
    """Whether a plot of a story speaks of no sea, hill, square or train that is not at the place."""
    if not plot.brief.place:
        return True
    there = set(word_list(place))
    if not all(there & set(tied) or plot.lowered.isdisjoint(tied) for tied in groups("scenery").values()):
        return False
    alike = {place_noun(plot.brief.place), place_noun(place)}
    other = {noun for kind in SPOTS for noun in groups("place_kinds")[kind]} - alike - there
    return not any(word in other for word in re.findall(r"\b[Tt]he ([^\W_]+)", plot.elsewhere))


def _of_anybody(row: dict[str, Any]) -> Plot:
    beats = tuple(row["beats"])
    return Plot(beats, title=row["title"], age=row["age"], where=row["place"])


def _of_story(story: Story, row: dict[str, Any]) -> Plot:
    lines = tuple(row["beats"])
    return Plot(
        lines,
        story.brief,
        hero=row["hero"].replace("?", "") or None,
        met=row["met"].replace("?", "") or None,
        age=row["age"],
        any_work=row["job"] == "any",
        any_met=row["met_job"] == "any",
        where=row["place"],
        first_person=2 * sum(bool(_I.search(line)) for line in lines) >= len(lines),
    )


def word_list(text: str) -> list[str]:
    """The words of a text in lower case."""
    return re.findall(r"[^\W_]+", text.casefold())


def _long(phrase: str) -> list[str]:
    """The words of a phrase that are no small ones."""
    return [word for word in word_list(phrase) if len(word) > 2 and word not in PREPOSITIONS]


def slotted(beats: Sequence[str], brief: Brief) -> tuple[str, ...]:
    """Put slots in place of the people and the place of a story.

    beats: of a story. brief: the story's own. What is not found stays as it is.
    """
    text = "\n".join(beats)
    if brief.place:
        text = _once(rf"(?<![\w\-]){re.escape(brief.place)}(?![\w\-])", "{place}", text)
        if noun := place_noun(brief.place):
            text = re.sub(rf"\b([Tt]he) {re.escape(noun)}(?![\w\-])", r"\1 {spot}", text)
    if brief.occupation:
        text = _once(rf"(?<![\w\-])[Aa]n? {re.escape(brief.occupation)}(?![\w\-])", "{a job}", text)
    text = _met_slots(text, person(brief.meets) if brief.meets else None)
    if brief.name:
        whole, first, last = name_forms(brief.name)
        for form, slot in (
            (whole, "{name}" if whole == first else "{full}"),
            (first, "{name}"),
            (last, "{last}"),
        ):
            text = re.sub(rf"(?<![\w\-{{\[]){re.escape(form)}(?![\w\-}}\]])", slot, text)
    return tuple(text.split("\n"))


def _met_slots(text: str, met: Person | None) -> str:
    if met is None:
        return text
    head, noun = re.escape(met.head), rf"(?:{_SAID} ){{0,3}}{re.escape(met.head)}"
    tail = f"(?: {re.escape(met.tail)})?" if met.tail else ""
    if met.name:
        names = "|".join(map(re.escape, dict.fromkeys(name_forms(met.name))))
        apposed = rf"(?:{names})(?:, [Aa]n? {noun}(?![\w\-]){tail},?)?" if met.head else rf"(?:{names})"
        text = _once(rf"(?<![\w\-]){apposed}(?![\w\-])", "[a met]", text)
        text = re.sub(rf"(?<![\w\-\[])(?:{names})(?![\w\-])", "[met]", text)
    else:
        text = _once(rf"(?<![\w\-])[Aa]n? {noun}(?![\w\-]){tail}", "[a met]", text)
    if met.head and "[a met]" in text:
        before, slot, behind = text.partition("[a met]")
        looks = "|".join(map(re.escape, met.looks)) or "(?!)"
        text = (
            before
            + slot
            + re.sub(
                rf"\b[Tt]he (?:(?:{looks}) )*(?:{re.escape(met.noun)}|{head})(?![\w\-])", "[met]", behind
            )
        )
    return text


def _once(pattern: str, slot: str, text: str) -> str:
    """Put a slot in place of the first hit, and of no other."""
    return re.sub(pattern, slot, text, count=1)
