"""The rows that teach a base to tell stories: which form of which story comes when, and which of its tokens are learned.

Four things are to be learned: a story from a brief, a plan from a brief, each next paragraph from its beat, and the beat of a
paragraph. Four forms of row teach them (`FORMS`). Everything follows from the random seed, the pass and the
story, so that an interrupted training goes on with the very rows that it would have had. Knows no model.
"""

import math
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from data.brief import Brief
from data.dataset import IGNORE, encode, labelled, special_ids
from data.english import listed_gender
from data.lists import words
from data.slots import fill, find_names, find_slots
from data.slots import rename as rename_brief
from data.stories import Story, beat_prompt, plan_header, plan_lines, told_header, told_pieces

Row = tuple[list[int], list[int]]
"""Token ids, and the label of each: itself where it is learned, else `IGNORE`."""

FORMS = ("story", "plan", "told", "beat")
"""story: brief, then the text. plan: brief, then its beats. told: brief, then each paragraph behind its beat. beat: a paragraph, then
its beat."""

ROUNDED = 10
"""Lengths are asked for in steps of so many words, as people do."""


class Rows:
    """The rows of ``stories`` without end: each pass has every story as often as its source says, in a new order, with new names.

    stories: what is taught. tokenizer: of the base. forms: how much of each of `FORMS`; stories without beats are always "story".
    sources: how often a pass has the stories of a source ("flowing", the part before "/"): 0.25 is every fourth, 2 is all of them
    twice. Once where it is not named. bare: share of the rows of a source without any field of the brief; "" is for all others.
    renamed: share of the rows whose people get other names. finer: share of the rows told, and of those for a beat, that have the
    story's finer beats, where it has some. context: tokens of a row at most; a longer one is left out.
    seed: of everything that is drawn.
    """

    def __init__(
        self,
        stories: Sequence[Story],
        tokenizer: Any,
        forms: Mapping[str, float],
        *,
        sources: Mapping[str, float] | None = None,
        bare: Mapping[str, float] | None = None,
        renamed: float = 0.7,
        finer: float = 0.0,
        context: int = 1280,
        seed: int = 0,
    ) -> None:
        self.stories, self.tokenizer, self.forms, self.sources = stories, tokenizer, forms, sources or {}
        self.bare = bare or {}
        self.renamed, self.finer, self.context, self.seed = renamed, finer, context, seed
        self.turns = [
            (story, turn) for story in stories for turn in range(max(1, math.ceil(self._often(story))))
        ]

    def after(self, count: int) -> Iterator[Row]:
        """Yield the rows that come after the first ``count``. A story that a pass leaves out has an empty row."""
        for number, at in passes(len(self.turns), count, f"{self.seed}:order"):
            story, turn = self.turns[at]
            row = self.row(story, number, turn)
            yield row if len(row[0]) <= self.context else ([], [])

    def row(self, story: Story, number: int, turn: int = 0) -> Row:
        """The row of ``story`` in pass ``number``; ``turn`` counts the times that it comes there."""
        rng = random.Random(f"{self.seed}:{number}:{story.text}" + (f":{turn}" if turn else ""))
        if rng.random() >= self._often(story) - turn:
            return [], []
        forms = [form for form in FORMS if self.forms.get(form)]
        form = rng.choices(forms, [self.forms[form] for form in forms])[0] if story.beats else "story"
        if rng.random() < self.renamed:
            story = with_other_names(story, rng)
        if form in ("told", "beat") and story.finer and rng.random() < self.finer:
            story = replace(story, beats=story.finer)
        brief = Brief()
        if rng.random() >= self.bare.get(_source(story), self.bare.get("", 0.0)):
            brief = some_fields(asked(story), rng)
        return build_row(form, story, brief, self.tokenizer, rng)

    def _often(self, story: Story) -> float:
        return self.sources.get(_source(story), 1.0)


def passes(size: int, count: int, seed: str) -> Iterator[tuple[int, int]]:
    """Yield the pass and the place, below ``size``, of all that comes after the first ``count``; ``seed`` orders each pass."""
    order: list[int] = []
    while True:
        number, at = divmod(count, size)
        if not order or at == 0:
            order = list(range(size))
            random.Random(f"{seed}:{number}").shuffle(order)
        yield number, order[at]
        count += 1


def _source(story: Story) -> str:
    return story.source.partition("/")[0]


def asked(story: Story) -> Brief:
    """The brief of ``story`` with its length."""
    return replace(story.brief, length=max(1, round(len(story.text.split()) / ROUNDED)) * ROUNDED)


def some_fields(brief: Brief, rng: random.Random) -> Brief:
    """All fields in three of five cases, else a random choice, so that any subset is understood."""
    share = rng.choice((0.5, 0.8, 1.0, 1.0, 1.0))
    return Brief.from_dict({key: value for key, value in brief.to_dict().items() if rng.random() < share})


def with_other_names(story: Story, rng: random.Random) -> Story:
    """``story`` of people with other names, of the same gender and throughout: text, brief and beats."""
    slots = [*find_slots(story.text)]
    known = {slot.word for slot in slots}
    for slot in find_names(story.brief):
        if slot.word not in known:  # the rules overlooked it in the text, or it stands in the brief alone
            found = re.finditer(rf"(?<!\w){re.escape(slot.word)}(?!\w)", story.text)
            slots.append(replace(slot, spans=tuple(match.span() for match in found)))
    # Pronouns between two people mislead: a given name stays where the lists don't know its gender.
    slots = [
        replace(slot, kind=f"given_{known_gender(slot.word)}") if slot.kind.startswith("given_") else slot
        for slot in slots
        if not slot.kind.startswith("given_") or known_gender(slot.word)
    ]
    if not slots:
        return story
    taken = set(re.findall(r"[^\W\d_]+", story.text))  # a new name is no word of the text
    text, mapping = fill(story.text, slots, rng, taken)
    names = re.compile(r"(?<!\w)(" + "|".join(map(re.escape, mapping)) + r")(?!\w)")
    beats, finer = (
        tuple(names.sub(lambda hit: mapping[hit[1]], beat) for beat in plan)
        for plan in (story.beats, story.finer)
    )
    return replace(story, text=text, brief=rename_brief(story.brief, mapping), beats=beats, finer=finer)


def known_gender(name: str) -> str | None:
    """Return "f" or "m" for a given name that the lists have for one of the two alone; else None."""
    low = name.casefold()
    return None if low in words("given_either") else listed_gender(low)


def build_row(form: str, story: Story, brief: Brief, tokenizer: Any, rng: random.Random) -> Row:
    """One row of ``form``, the story told behind ``brief``; ``rng`` chooses the paragraph whose beat is asked for."""
    if form == "story":
        pieces = [(brief.header(), False), (story.text, True)]
    elif form == "plan":
        pieces = [(plan_header(brief), False), (plan_lines(story.beats), True)]
    elif form == "told":
        pieces = [(told_header(brief), False), *told_pieces(story.beats, story.paragraphs)]
    else:
        at = rng.randrange(len(story.beats))
        pieces = [(beat_prompt(story.paragraphs[at]), False), (story.beats[at], True)]
    return labelled(pieces, tokenizer)


def test_rows(story: Story, tokenizer: Any) -> dict[str, Row]:
    """``story`` bare, behind its brief, and told from its beats and its finer beats, by that name. The text alone has labels."""
    opening, end = special_ids(tokenizer)
    fronts = {"bare": "", "brief": asked(story).header()}
    found: dict[str, Row] = {}
    for name, front in fronts.items():
        before, text = [opening, *(encode(front, tokenizer) if front else [])], encode(story.text, tokenizer)
        found[name] = ([*before, *text, end], [IGNORE] * len(before) + [*text, IGNORE])
    for name, beats in (("beats", story.beats), ("finer", story.finer)):
        if beats:
            header = (told_header(asked(story)), False)
            ids, labels = labelled([header, *told_pieces(beats, story.paragraphs)], tokenizer)
            found[name] = (ids[:-1], labels[:-1])  # the end is not of the text
    return found


def bits_per_byte(stories: Sequence[Story], tokenizer: Any, cost: Callable[[Row], float]) -> dict[str, float]:
    """Bits per byte of ``stories`` bare, behind their brief, and told from their beats (`test_rows`).

    cost: the nats of all labels of a row. Headers and lines of beats cost nothing.
    """
    nats: dict[str, float] = {}
    sizes: dict[str, int] = {}
    for story in stories:
        for name, row in test_rows(story, tokenizer).items():
            nats[name] = nats.get(name, 0.0) + cost(row)
            sizes[name] = sizes.get(name, 0) + len(story.text.encode("utf-8"))
    return {name: total / math.log(2) / sizes[name] for name, total in nats.items()}
