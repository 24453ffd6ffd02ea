"""Gives each brief a plan: the beats that were given, those of a plot of the bank, or those that the base writes itself.

A plan says at each paragraph what comes next. Which kind of plan a brief gets is decided here, and each text says which it was.
Tells nothing (`inference.telling`).
"""

import random
import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor

from data.beats import check_beats
from data.brief import END, MAX_BEATS, Brief
from data.dataset import encode, special_ids
from data.names import proper_words
from data.stories import beat_prompt, plan_header
from inference.adherence import content_words
from inference.bank import find_plot
from inference.checkpoints import Checkpoint, load
from inference.decoding import Decoding, few_threads
from inference.row_cache import RowCache, takes_rows, texts_of_rows
from inference.rows import Processor
from inference.telling import USUAL
from inference.whole_names import WholeNames

ROWS_AT_ONCE = 32
"""Beats or plans that are written at once."""

DRAWS = 8
"""Plans that the base writes for a brief, of which the soundest is taken."""

MOST_TOKENS = 320
"""Tokens of a plan."""

BEAT_DRAWS = 4
"""Beats that the base writes for a paragraph, of which the one that says most of it and least beside it is taken."""

BEAT_TOKENS = 90
"""Tokens of a beat."""


def tells_from_beats(checkpoint: Checkpoint) -> bool:
    """Whether a model is `stories`, or was tuned on it: those that are known to have been taught beats."""
    base = checkpoint.run.provenance["base"]["id"] if checkpoint.run else checkpoint.id
    return base == "stories" and takes_rows(checkpoint.model)


class Planner:
    """Plans the texts of one call, in their order; no plot of the bank comes twice until all that fit have come.

    checkpoint: what the texts are drawn from. kind: one of `data.brief.PLANS`. seed: of all draws. opening: whether the texts have an
    opening that the user wrote; no plot fits one that it does not know. first_person: whether plots that are told by "I" may be taken.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        kind: str,
        seed: int,
        *,
        opening: bool = False,
        first_person: bool = False,
    ) -> None:
        self.checkpoint, self.kind, self.seed, self.opening = checkpoint, kind, seed, opening
        self.first_person = first_person
        self._taken: set[int] = set()

    def plan(self, briefs: Sequence[Brief], indices: Sequence[int]) -> list[tuple[Brief, str]]:
        """Return each brief with its beats, and whose they are: given, bank, model or none.

        briefs, indices: the next texts. Raises ValueError where beats are asked for that were not given.
        """
        found = [self._quick(brief, index) for brief, index in zip(briefs, indices, strict=True)]
        open_ = [at for at, (_, kind) in enumerate(found) if kind == "model"]
        if not open_:
            return found
        written = write_plans(
            self._base(), [briefs[at] for at in open_], [indices[at] for at in open_], self.seed
        )
        for at, beats in zip(open_, written, strict=True):
            found[at] = (replace(briefs[at], beats=beats), "model") if beats else (briefs[at], "none")
        return found

    def check(self, brief: Brief) -> None:
        """Raise ValueError where beats are asked for that ``brief`` does not have."""
        if self.kind == "given" and not brief.beats:
            raise ValueError(
                'plan="given" needs beats: give beats=[...], one line a paragraph, or another plan'
            )

    def pass_over(self, briefs: Sequence[Brief], indices: Sequence[int]) -> None:
        """Take the plots of texts that are not planned again, since they are there already."""
        for brief, index in zip(briefs, indices, strict=True):
            self._quick(brief, index)

    def _quick(self, brief: Brief, index: int) -> tuple[Brief, str]:
        """What needs no model; where the base is to write, the brief as it is."""
        if self.kind == "none":
            return replace(brief, beats=()), "none"
        if brief.beats:
            return brief, "given"
        self.check(brief)
        # No brief at all is asked for as such, and nobody knows what comes behind a user's opening.
        left = not brief or self.opening or not tells_from_beats(self.checkpoint)
        if self.kind == "auto" and left:
            return brief, "none"
        if self.kind in ("auto", "bank"):
            rng = random.Random(f"{self.seed}:plot:{index}")
            plot = find_plot(brief, rng, self._taken, first_person=self.first_person)
            if plot is None and self._taken:
                plot = find_plot(brief, rng, first_person=self.first_person)
            if plot:
                self._taken.add(plot[0])
            # Readers follow a text without a plan better than one with a plot by the base (LAB.md).
            return (plot[1], "bank") if plot else (brief, "none")
        return brief, "model"

    def _base(self) -> Checkpoint:
        return load(self.checkpoint.run.base_source) if self.checkpoint.run else self.checkpoint


def write_plans(
    base: Checkpoint, briefs: Sequence[Brief], indices: Sequence[int], seed: int, draws: int = DRAWS
) -> list[tuple[str, ...]]:
    """Let a base write beats for briefs, and take the soundest of several for each.

    base: taught by `training.base`. briefs: without beats. indices, seed: what the draws depend on beside the brief. draws: plans a
    brief. Returns the beats of each; none where no draw gave a plan.
    """
    if not briefs:
        return []
    tokenizer, (_, end) = base.tokenizer, special_ids(base.tokenizer)

    def around(at: int) -> tuple[list[Processor], list[Processor]]:
        return [WholeNames(tokenizer, [briefs[at]] * draws)], [_PlanEnds(tokenizer, draws, end)]

    keys = [[f"{index}:plan:{draw}" for draw in range(draws)] for index in indices]
    rows = _written(base, [plan_header(brief) for brief in briefs], keys, seed, MOST_TOKENS, around)
    found: list[tuple[str, ...]] = []
    for brief, written in zip(briefs, rows, strict=True):
        plans = list(
            filter(None, (_beats(tokenizer.decode(row, skip_special_tokens=True)) for row in written))
        )
        found.append(tuple(max(plans, key=partial(soundness, brief))) if plans else ())
    return found


def write_beats(base: Checkpoint, paragraphs: Sequence[str], seed: int, draws: int = BEAT_DRAWS) -> list[str]:
    """Let a base write the beat of each paragraph: one line, of several the one that is most like the paragraph in content words.

    Likeness is Dice's coefficient. So a line must say much of the paragraph and little else: one that leaves half of it out teaches a
    model to make things up. A line that names somebody whom the paragraph does not comes after all others.

    base: taught by `training.base`. paragraphs: of any texts. seed: of the draws. draws: lines a paragraph. Returns one line a
    paragraph; "" where no draw gave one.
    """
    tokenizer, (_, end) = base.tokenizer, special_ids(base.tokenizer)
    keys = [[f"beat:{at}:{draw}" for draw in range(draws)] for at in range(len(paragraphs))]
    written = _written(base, [beat_prompt(paragraph) for paragraph in paragraphs], keys, seed, BEAT_TOKENS)
    whole = [[row[: row.index(end)] for row in rows if end in row] for rows in written]
    lines = [
        [line for row in rows for line in _beats(f"- {tokenizer.decode(row).strip()}\n{END}")]
        for rows in whole
    ]
    return [
        max(
            found,
            key=lambda line: (proper_words(line) <= proper_words(paragraph), _shared(line, paragraph)),
            default="",
        )
        for found, paragraph in zip(lines, paragraphs, strict=True)
    ]


def _shared(line: str, paragraph: str) -> float:
    """Dice's coefficient (0..1) of the content words of two texts: twice those in common by those of both."""
    own, said = content_words(line), content_words(paragraph)
    return 2 * len(own & said) / max(1, len(own) + len(said))


def _written(
    base: Checkpoint,
    fronts: Sequence[str],
    keys: Sequence[Sequence[str]],
    seed: int,
    most: int,
    around: Callable[[int], tuple[list[Processor], list[Processor]]] = lambda at: ([], []),
) -> list[list[list[int]]]:
    """The tokens that a base writes behind each of ``fronts``, ``most`` at most, the end included; none where there is no room.

    keys, seed: what each draw behind a front depends on; all fronts have as many. around: for the number of a front what works on
    the scores before and after all else.
    """
    first, end = special_ids(base.tokenizer)
    prompts = [[first, *encode(front, base.tokenizer)] for front in fronts]
    decoding = Decoding.choose(base.model, None, None, None, 1.0)
    each = len(keys[0]) if keys else 1
    found: list[list[list[int]]] = [[[] for _ in key] for key in keys]
    waiting = deque(at for at, prompt in enumerate(prompts) if len(prompt) + 1 < base.context)
    if not waiting:
        return found
    at_once = min(len(waiting), max(1, ROWS_AT_ONCE // each))
    slots: list[int | None] = [None] * texts_of_rows(at_once, each)
    cache = RowCache(base.model, len(slots), each)
    processors: list[list[Processor]] = [[] for _ in slots]
    scores: list[torch.Tensor] = [torch.empty(0) for _ in slots]
    with few_threads(base.model):
        while True:
            for slot, at in enumerate(slots):
                if at is None and waiting:
                    at = slots[slot] = waiting.popleft()
                    cache.clear(slot)
                    scores[slot] = cache.read(slot, prompts[at]).expand(each, -1)
                    before, after = around(at)
                    noise = decoding.noise(seed, keys[at])
                    processors[slot] = [*before, *decoding.warpers(), *noise, *after]
            if not any(at is not None for at in slots):
                return found
            tokens: list[int | None] = [None] * len(cache.own)
            for slot, at in enumerate(slots):
                if at is None:
                    continue
                rows = found[at]
                ids = torch.tensor([[row[-1] if row else prompts[at][-1]] for row in rows])
                drawn = scores[slot]
                for processor in processors[slot]:
                    drawn = processor(ids, drawn)  # type: ignore[arg-type]
                longest = min(most, base.context - len(prompts[at]))
                for number, (row, token) in enumerate(zip(rows, drawn.argmax(dim=-1).tolist(), strict=True)):
                    if len(row) < longest and end not in row[-1:]:
                        row.append(token)
                        if len(row) < longest and token != end:
                            tokens[slot * each + number] = token
                if not any(token is not None for token in tokens[slot * each : (slot + 1) * each]):
                    slots[slot] = None
                    cache.clear(slot)
            if any(token is not None for token in tokens):
                scores = list(cache.step(tokens).view(len(slots), each, -1))


def soundness(brief: Brief, beats: Sequence[str]) -> float:
    """Rate a written plan: as many beats as the length needs, about whom the brief asks for, each saying something new.

    brief: what was asked for. beats: the plan. The larger, the sounder; 0 is a plan against which nothing speaks.
    """
    wanted = round((brief.length or 8 * USUAL) / USUAL)
    text = " ".join(beats).casefold()
    missing = [word for word in _asked(brief) if word.casefold() not in text]
    sets = [set(re.findall(r"\w{4,}", beat.casefold())) for beat in beats]
    alike = [len(a & b) / max(1, min(len(a), len(b))) for i, a in enumerate(sets) for b in sets[:i]]
    warned = len(check_beats(replace(brief, beats=tuple(beats))))
    return float(
        -abs(np.log(len(beats) / max(1, wanted))) * 3
        - len(missing)
        - warned
        - 3 * sum(value > 0.6 for value in alike)
    )


def _asked(brief: Brief) -> list[str]:
    """A word of each field that a plan should name."""
    heads = [
        (brief.name or "").split()[:1],
        (brief.meets or "").split(",")[0].split()[-1:],
        list(brief.keywords),
    ]
    return [*(word for part in heads for word in part), *(brief.occupation or "").split()[-1:]]


def _beats(text: str) -> list[str]:
    """The lines of a plan as the base writes it, up to where it ends; none where it does not, or a line is none."""
    lines, mark, _ = text.partition(f"\n{END}")
    found = lines.strip().split("\n")
    fine = bool(mark) and all(re.fullmatch(r"- \S.*", line) for line in found) and len(found) <= MAX_BEATS
    beats = [line[2:].strip() for line in found] if fine else []
    try:
        return list(Brief(beats=beats).beats)
    except ValueError:
        return []


class _PlanEnds(LogitsProcessor):
    """Ends a row once it has written the line behind its last beat."""

    def __init__(self, tokenizer: Any, rows: int, end: int) -> None:
        self._tokenizer, self._end = tokenizer, end
        self._said: list[list[int]] = [[] for _ in range(rows)]
        self._begun = False

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """``scores`` (B, V), the end alone within reach where a plan is complete."""
        if not self._begun:  # the prompt's last token
            self._begun = True
            return scores
        scores = scores.clone()  # type: ignore[assignment]
        for row, (said, token) in enumerate(zip(self._said, input_ids[:, -1].tolist(), strict=True)):
            said.append(token)
            if f"\n{END}" in self._tokenizer.decode(said[-4:]):
                scores[row] = -torch.inf
                scores[row, self._end] = 0
        return scores
