"""Paragraphs that a base drew for one beat, with a rating of each: what preferring one to another is learned from.

A base tells stories as `generate` does, and all candidates of each paragraph are kept, not only the one that the story goes on
with. Whoever reads them rates each for sense. A story with its candidates becomes one sequence, in which a candidate sees the
story before it and nothing of the others. Trains nothing (`training.base.prefer`).
"""

import json
import lzma
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from data import atomic
from data.brief import Brief
from data.dataset import encode, special_ids
from data.draw import draw_briefs
from data.originals import load_originals
from data.plots import with_finer_beats
from data.stories import PARAGRAPHS, beat_line, read_stories, told_header
from inference.checkpoints import Checkpoint, load
from inference.drawing import Drawing, Settings
from inference.novelty import CopyIndex
from inference.runs import is_run
from inference.telling import Choose, Paragraph, tell_together
from training.base.config import BaseConfig
from training.base.rows import asked
from training.settings import NAME, is_name

BEST = 10
"""The highest rating; 0 is the lowest."""


@dataclass(frozen=True)
class Choice:
    """The candidates for one paragraph. ``taken``: the one that the story goes on with. ``ratings``: of each, from 0 to `BEST`; None for
    one that was cut or not rated."""

    drawn: tuple[str, ...]
    taken: int
    ratings: tuple[float | None, ...]


@dataclass(frozen=True)
class RatedStory:
    """A story told behind ``brief``: one choice for each of its beats, fewer where it was cut. ``by``: name of the run whose tuned
    model told it; empty where an untuned base did."""

    brief: Brief
    choices: tuple[Choice, ...]
    by: str = ""


def candidates(config: BaseConfig, model: str, out: Path, originals: str, count: int) -> list[RatedStory]:
    """Let ``model`` tell ``count`` stories, write them with all their candidates into ``out``, and return them.

    config: names the stories and plots; half of the stories to tell have the finer beats of stories for training, half are like
    ``originals`` and have plots of the bank. model: what `load` takes; the stories of a run name it (`by`). Raises ValueError for a
    file that is there, a count below 1, and a run's model without its run.
    """
    if count < 1:
        raise ValueError(f"--briefs must be at least 1, found {count}")
    if is_run(Path(model).parent) and not is_run(model):
        raise ValueError(f"{model} belongs to a run; name the run: {Path(model).parent}")
    if out.exists():
        raise ValueError(f"{out} is there already, perhaps with ratings; name another file")
    alike = draw_briefs([one.text for one in load_originals(originals)], count - count // 2, config.seed)
    stories = list(read_stories(Path(config.stories)))
    if config.plots is not None:
        stories = with_finer_beats(stories, Path(config.plots))
    told = [story for story in stories if not story.test and (story.finer or story.beats)]
    some = random.Random(f"{config.seed}:candidates").sample(told, min(count // 2, len(told)))
    briefs = [*alike, *(replace(asked(story), beats=story.finer or story.beats) for story in some)]
    checkpoint = load(model)
    by = checkpoint.run.name if checkpoint.run else ""
    found = [replace(story, by=by) for story in draw_choices(checkpoint, briefs, config.seed)]
    write_choices(out, found)
    return found


def draw_choices(
    checkpoint: Checkpoint, briefs: Sequence[Brief], seed: int, draws: int = 4
) -> list[RatedStory]:
    """Tell a story for each brief and keep all candidates, without ratings.

    checkpoint: of a base that tells from beats. briefs: a plot of the bank is taken where one has no beats; one for which there is none
    is left out. seed: of the draws. draws: candidates for each paragraph.
    """
    found: dict[str, list[Choice]] = {}
    drawing = Drawing(
        checkpoint,
        (),
        None,
        Settings(seed=seed, temperature=0.8, min_p=0.1, plan="bank", draws=draws, batch_size=16),
    )
    planned, numbers = drawing.planned(briefs)
    kept = [i for i, (brief, _) in enumerate(planned) if brief.beats]
    planned, numbers = [planned[i] for i in kept], [numbers[i] for i in kept]
    job = drawing.job(planned, numbers)
    telling = replace(job.telling, choose=_noting(job.telling.choose, found))
    tell_together([replace(job, telling=telling)])
    return [RatedStory(brief, tuple(found.get(_key(brief), ()))) for brief, _ in planned]


def _key(brief: Brief) -> str:
    return json.dumps(brief.to_dict(), sort_keys=True)


def _noting(choose: Choose, found: dict[str, list[Choice]]) -> Choose:
    """``choose``, which notes in ``found`` what it chose among."""

    def noting(brief: Brief, before: Sequence[str], drawn: Sequence[Paragraph]) -> int:
        taken = choose(brief, before, drawn)
        # One that was cut is not to be rated; but the story may go on with it.
        texts = tuple(one.text if one.whole or at == taken else "" for at, one in enumerate(drawn))
        noted = found.setdefault(_key(brief), [])
        if texts[taken] and len(noted) == len(before):
            noted.append(Choice(texts, taken, (None,) * len(drawn)))
        return taken

    return noting


def write_choices(path: Path, stories: Sequence[RatedStory]) -> None:
    """Replace ``path`` by ``stories``, one JSON object a line; compressed where the name ends in .xz."""
    rows = [
        {
            "brief": story.brief.to_dict(),
            "choices": [
                {"drawn": list(one.drawn), "taken": one.taken, "ratings": list(one.ratings)}
                for one in story.choices
            ],
        }
        | ({"by": story.by} if story.by else {})
        for story in stories
    ]
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8")
    packed = lzma.compress(content, preset=9 | lzma.PRESET_EXTREME) if path.suffix == ".xz" else content
    atomic.write_bytes(path, packed)


def read_choices(path: Path) -> list[RatedStory]:
    """The stories in a file that `write_choices` made, with the ratings that were written into it since.

    Raises ValueError where there is no such file, it is damaged, or a rating is not a number from 0 to `BEST`.
    """
    if not path.is_file():
        raise ValueError(
            f"there are no rated candidates at {path}; draw some: python -m training base candidates CONFIG FILE"
        )
    try:
        content = path.read_bytes()
        lines = (lzma.decompress(content) if path.suffix == ".xz" else content).decode("utf-8").split("\n")
    except (lzma.LZMAError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}); draw its candidates again, or get the project's own back with: git checkout {path}"
        ) from error
    found = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                found.append(_rated_story(json.loads(line)))
            except (ValueError, KeyError, TypeError) as error:
                what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
                raise ValueError(f"{path}, line {number}: {what}. Correct that line") from error
    return found


def _rated_story(row: Any) -> RatedStory:
    brief = Brief.from_dict(row["brief"])
    choices = tuple(
        Choice(tuple(one["drawn"]), one["taken"], tuple(one["ratings"])) for one in row["choices"]
    )
    if len(choices) > len(brief.beats):
        raise ValueError(
            f"there are {len(brief.beats)} beats and {len(choices)} choices; give one for each beat"
        )
    for choice in choices:
        _check(choice)
    by = row.get("by", "")
    if not isinstance(by, str) or (by and not is_name(by)):
        raise ValueError(f"by must be the name of a run ({NAME}), found {by!r}")
    return RatedStory(brief, choices, by)


def _check(choice: Choice) -> None:
    if not all(isinstance(text, str) for text in choice.drawn):
        raise ValueError('a candidate must be a text, "" for none')
    if len(choice.ratings) != len(choice.drawn):
        raise ValueError(
            f"{len(choice.drawn)} candidates and {len(choice.ratings)} ratings; give each one, or null"
        )
    if type(choice.taken) is not int or not 0 <= choice.taken < len(choice.drawn):
        raise ValueError(
            f"taken must be a whole number below {len(choice.drawn)}, found {choice.taken!r}; count from 0"
        )
    if not choice.drawn[choice.taken]:
        raise ValueError("the candidate that the story goes on with is empty; take another one")
    for rating in choice.ratings:
        number = isinstance(rating, int | float) and not isinstance(rating, bool)
        if rating is not None and not (number and 0 <= rating <= BEST):
            raise ValueError(f"a rating must be a number from 0 to {BEST} or null, found {rating!r}")


@dataclass(frozen=True)
class Tree:
    """A story and its candidates as one sequence of tokens.

    ids: the story with the lines of its beats, then the candidates, each with what ends it. positions: of each token, a candidate's behind
    the story before it. branches: of each candidate the place that its first token follows, where it begins, and its tokens.
    rated: for each beat the rating and the branch of each candidate that has one.
    """

    ids: list[int]
    positions: list[int]
    branches: list[tuple[int, int, int]]
    rated: list[list[tuple[float, int]]]

    def sees(self) -> torch.Tensor:
        """Which token sees which other one: (T, T)."""
        total = len(self.ids)
        path = min((start for _, start, _ in self.branches), default=total)
        seen = torch.zeros(total, total, dtype=torch.bool)
        seen[:path, :path] = torch.ones(path, path, dtype=torch.bool).tril()
        for at, start, count in self.branches:
            seen[start : start + count, : at + 1] = True
            seen[start : start + count, start : start + count] = torch.ones(
                count, count, dtype=torch.bool
            ).tril()
        return seen

    def places(self) -> list[int]:
        """Where the scores of the candidates' tokens are: in the order of the branches, of each token the place before it."""
        return [
            place for at, start, count in self.branches for place in (at, *range(start, start + count - 1))
        ]


def tree(
    story: RatedStory, tokenizer: Any, worth: Callable[[Sequence[float]], bool], copying: float = 0.0
) -> Tree:
    """The sequence of ``story``. A beat has branches where ``worth`` says yes to its ratings. A candidate loses ``copying`` times the
    share of its 4-grams that stand in its beat."""
    first, end = special_ids(tokenizer)
    ids = [first, *encode(told_header(story.brief), tokenizer)]
    waiting: list[tuple[int, list[int]]] = []
    rated: list[list[tuple[float, int]]] = []
    for at, choice in enumerate(story.choices):
        ids += encode(beat_line(story.brief.beats[at]), tokenizer)
        # As stories are taught (`data.stories.told_pieces`): a paragraph and the break behind it in one.
        last = at == len(story.brief.beats) - 1
        closing, ending = ("", [end]) if last else (PARAGRAPHS, [])
        tokens = {text: [*encode(text + closing, tokenizer), *ending] for text in choice.drawn if text}
        beat = CopyIndex([story.brief.beats[at]])
        known = [
            (rating - copying * _share_copied(text, beat), text)
            for rating, text in zip(choice.ratings, choice.drawn, strict=True)
            if rating is not None and text
        ]
        if worth([rating for rating, _ in known]):
            rated.append([(rating, len(waiting) + i) for i, (rating, _) in enumerate(known)])
            waiting += [(len(ids) - 1, tokens[text]) for _, text in known]
        ids += tokens[choice.drawn[choice.taken]]
    positions = list(range(len(ids)))
    branches = []
    for at, branch in waiting:
        branches.append((at, len(ids), len(branch)))
        ids += branch
        positions += range(at + 1, at + 1 + len(branch))
    return Tree(ids, positions, branches, rated)


def _share_copied(text: str, beat: CopyIndex) -> float:
    """Share of the 4-grams of ``text`` that stand in ``beat``."""
    new = beat.ngram_novelty(text)
    return 0.0 if math.isnan(new) else 1 - new
