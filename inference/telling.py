"""Tells stories from plots: behind a brief and its beats, each paragraph after the line of its own beat.

The beats' lines are put in as the text comes to them, so that a whole batch is drawn in one go and no paragraph is read twice. One
draw a paragraph, nothing is chosen. Which beats a story gets is the caller's business.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from typing import Any

import torch
from transformers import LogitsProcessor

from data.brief import Brief
from data.dataset import encode, special_ids
from data.stories import PARAGRAPHS, beat_line, plan_header, plan_lines
from inference.checkpoints import Checkpoint
from inference.decoding import Decoding
from inference.drawing import MOST_TOKENS
from inference.rows import batches, continuations, padded
from inference.whole_names import WholeNames


@dataclass(frozen=True)
class Told:
    """A story told from beats: one paragraph a beat, unless it was cut. ``ended``: it came to its end by itself."""

    paragraphs: tuple[str, ...]
    ended: bool

    @property
    def text(self) -> str:
        """The paragraphs as one text."""
        return PARAGRAPHS.join(self.paragraphs)


def tell(
    checkpoint: Checkpoint,
    briefs: Sequence[Brief],
    plans: Sequence[Sequence[str]],
    *,
    decoding: Decoding,
    seed: int = 0,
    batch_size: int = 32,
) -> list[Told]:
    """Tell one story for each brief from its plan.

    checkpoint: a base that was taught by `training.base`. briefs: one a story, may be empty. plans: the beats of each story.
    decoding: how tokens are drawn. seed: of the draws; story i depends on its brief, its plan and (seed, i) alone.
    batch_size: stories at once. Returns one `Told` a brief. Raises ValueError for a plan without beats or without room for a text.
    """
    if len(briefs) != len(plans):
        raise ValueError(f"there must be one plan for each of {len(briefs)} briefs, found {len(plans)}")
    if empty := [number for number, beats in enumerate(plans, start=1) if not beats]:
        raise ValueError(f"plan {empty[0]} has no beats; give it one line for each paragraph")
    _, end = special_ids(checkpoint.tokenizer)
    prompts = [_prompt(checkpoint.tokenizer, b, p) for b, p in zip(briefs, plans, strict=True)]
    if long := [
        number for number, prompt in enumerate(prompts, start=1) if len(prompt) >= checkpoint.context
    ]:
        raise ValueError(
            f"brief and plan {long[0]} have {len(prompts[long[0] - 1])} tokens and the model sees {checkpoint.context} at once; "
            "give fewer or shorter beats"
        )
    widths = [padded(len(prompt), checkpoint.context) for prompt in prompts]
    found: dict[int, Told] = {}
    for batch in batches(widths, batch_size):
        lines = [_Lines(checkpoint.tokenizer, plans[i]) for i in batch]
        follow = _Follow(lines, end, _breaks(checkpoint.tokenizer))
        names = WholeNames(checkpoint.tokenizer, [briefs[i] for i in batch])
        processors = [follow, names, *decoding.warpers(), *decoding.noise(seed, batch), _Forced(lines)]
        width = widths[batch[0]]
        put_in = max(sum(map(len, line.coming)) for line in lines)
        most = min(checkpoint.context - width, MOST_TOKENS + put_in)
        rows = continuations(checkpoint.model, [prompts[i] for i in batch], width, most, end, processors)
        for i, row, line in zip(batch, rows, lines, strict=True):
            found[i] = line.read(row, end)
    return [found[i] for i in range(len(briefs))]


def _prompt(tokenizer: Any, brief: Brief, beats: Sequence[str]) -> list[int]:
    """Token ids up to the first paragraph, put together from the pieces that training encodes one by one."""
    opening, _ = special_ids(tokenizer)
    pieces = (plan_header(brief), plan_lines(beats), beat_line(beats[0]))
    return [opening, *(token for piece in pieces for token in encode(piece, tokenizer))]


class _Lines:
    """Where one story is: the lines of the beats still to come, and the tokens of the one that is being put in."""

    def __init__(self, tokenizer: Any, beats: Sequence[str]) -> None:
        self.tokenizer = tokenizer
        self.break_, self.line_break = encode(PARAGRAPHS, tokenizer), encode("\n", tokenizer)
        self.coming = [encode(beat_line(beat), tokenizer) for beat in beats[1:]]
        self.queue: list[int] = []
        self.putting = True  # the prompt ends with the line of the first beat
        self.blank = True  # the paragraph has no word yet
        self.wanted: int | None = None  # the token that must come next; None where it is free
        self.count = -1  # tokens of the row; the first token that is followed is the prompt's last
        self.starts: list[int] = []
        self.stops: list[int] = []

    def follow(self, token: int, end: int) -> None:
        """Take note of ``token``, the row's newest."""
        self.count += 1
        if self.queue:
            self.wanted = self.queue.pop(0)
            return
        self.wanted = None
        if self.putting:  # ``token`` is the line's own break
            self.putting, self.blank = False, True
            self.starts.append(self.count)
        elif "\n" in (drawn := self.tokenizer.decode([token])):
            # One break is drawn of the two: as in training, the other one follows.
            rest = [] if drawn.count("\n") > 1 or [token] == self.break_ else self.line_break
            self.queue = [*rest, *self.coming.pop(0)] if self.coming else [end]
            self.putting = True
            self.stops.append(self.count)
            self.wanted = self.queue.pop(0)
        elif drawn.strip():
            self.blank = False

    def read(self, row: Sequence[int], end: int) -> Told:
        """The paragraphs of the drawn ``row``, without the lines that were put in."""
        drawn = list(row[: row.index(end)] if end in row else row)
        spans = zip_longest(self.starts, self.stops, fillvalue=len(drawn))
        found = (
            self.tokenizer.decode(drawn[start:stop], skip_special_tokens=True).strip().split("\n")[0]
            for start, stop in spans
        )
        return Told(tuple(filter(None, found)), end in row and not self.coming)


@lru_cache(maxsize=2)
def _breaks(tokenizer: Any) -> list[int]:
    """The tokens with a line break in them."""
    return [token for token in range(len(tokenizer)) if "\n" in tokenizer.decode([token])]


class _Follow(LogitsProcessor):
    """Follows the stories. No story ends while beats are to come, and no paragraph is empty."""

    def __init__(self, lines: list[_Lines], end: int, breaks: list[int]) -> None:
        self.lines, self.end, self.breaks = lines, end, breaks

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these of the present rows alone."""
        self.lines = [self.lines[row] for row in rows]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """``scores`` (B, V) with the end token out of reach where beats are left, and breaks where a paragraph begins."""
        scores = scores.clone()  # type: ignore[assignment]
        for row, (line, token) in enumerate(zip(self.lines, input_ids[:, -1].tolist(), strict=True)):
            if token == self.end:
                line.wanted = None
                continue
            line.follow(token, self.end)
            if line.coming or line.blank:
                scores[row, self.end] = -torch.inf
            if line.blank:
                scores[row, self.breaks] = -torch.inf
        return scores


class _Forced(LogitsProcessor):
    """Puts in the lines of the beats: where a paragraph is over, the best score is that of the line's next token."""

    def __init__(self, lines: list[_Lines]) -> None:
        self.lines = lines

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these of the present rows alone."""
        self.lines = [self.lines[row] for row in rows]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """``scores`` (B, V), all but one of a row out of reach where a line is put in."""
        for row, line in enumerate(self.lines):
            if line.wanted is not None:
                scores[row] = -torch.inf
                scores[row, line.wanted] = 0
        return scores
