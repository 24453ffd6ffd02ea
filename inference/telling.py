"""Tells stories from plots: behind a brief, each paragraph after the line of its own beat, the best of several.

A small model holds a scene for a paragraph and loses it over eight. So each paragraph gets a line that says what happens in it. Several
candidates are drawn for each paragraph, and the story continues with the best one. All candidates of all stories are drawn together.
No story waits for another, and what candidates have in common lies in memory once (`inference.row_cache`). The caller gives the
beats and says which paragraph is the best (`inference.paragraphs`).
"""

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count as count_from
from typing import Any

import torch

from data.brief import Brief
from data.dataset import encode, special_ids
from data.stories import PARAGRAPHS, beat_line, told_header
from inference.checkpoints import Checkpoint
from inference.decoding import Decoding, few_threads
from inference.guard import CopyGuard
from inference.guidance import Guided
from inference.row_cache import RowCache, texts_of_rows
from inference.rows import WORTH_LEAVING, Processor
from inference.thin_differences import Thin
from inference.whole_names import WholeNames

USUAL = 45
"""Words of a paragraph where no length is asked for."""

LONGEST = 2.0
"""Times its share of the length at which a paragraph is cut."""

WAITED_FOR = 0.75
"""Share of the candidates after which the others are cut: the slowest of four would cost a quarter of the time."""

PIECES = 1.4
"""Tokens of a word, at most, in a text of many names."""

LEAST = 64
"""Tokens that any paragraph may have."""

SENTENCE_END = re.compile(r"[.!?…][\"”’')]*\Z")


@dataclass(frozen=True)
class Paragraph:
    """One that was drawn. ``whole``: it ended by itself; else it was cut behind a sentence, or where there is none anywhere.
    ``likely``: the mean log probability of all that was drawn of it, its end too, in nats, without temperature and guidance.
    ``refused``: how often the guard kept it from going on as an original does."""

    text: str
    whole: bool
    likely: float
    refused: int = 0
    tokens: tuple[int, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Told:
    """A story told from beats: one paragraph a beat, unless it was cut. ``ended``: its last paragraph came to its end by itself, with
    the end of the text or a line break. ``tokens``: of the chosen paragraphs. ``refused``: how often the guard kept them from going on
    as an original does, None without a guard."""

    paragraphs: tuple[str, ...]
    ended: bool
    tokens: int = 0
    refused: int | None = None

    @property
    def text(self) -> str:
        """The paragraphs as one text."""
        return PARAGRAPHS.join(self.paragraphs)


Choose = Callable[[Brief, Sequence[str], Sequence[Paragraph]], int]
"""Which of the paragraphs is gone on with: of a brief, behind the paragraphs that are there already."""


@dataclass(frozen=True)
class Telling:
    """How stories are told.

    decoding: how tokens are drawn; guidance counts what brief and beats make more probable. seed: of the draws. draws: candidates for
    each paragraph. rows: candidates that are drawn at once, of all stories together; a guided one counts twice. choose: which
    candidate is taken. guard: gets a brief, the text so far and the number of candidates, and makes the guard of the next paragraph.
    opening: what every story begins with; each of its paragraphs needs a beat. most: tokens of a story, None for any number.
    """

    decoding: Decoding
    seed: int = 0
    draws: int = 1
    rows: int = 32
    choose: Choose = lambda brief, before, drawn: 0
    guard: Callable[[Brief, str, int], CopyGuard | None] = lambda brief, text, rows: None
    opening: str = ""
    most: int | None = None


@dataclass(frozen=True)
class Job:
    """Stories of one model.

    checkpoint: a base that was taught by `training.base`, or a model tuned on it. briefs: each with beats. telling: how. indices: which
    samples they are, by default 0, 1, 2 and so on; a story depends on its brief, the seed and its index alone. shown: called with a
    story's number and each of its paragraphs as it is chosen. thin: what the job's model adds to that of the first job's checkpoint
    (`inference.thin_differences`), None for nothing.
    """

    checkpoint: Checkpoint
    briefs: Sequence[Brief]
    telling: Telling
    indices: Sequence[int] | None = None
    shown: Callable[[int, str], None] = lambda number, paragraph: None
    thin: Thin | None = None


def tell(
    checkpoint: Checkpoint,
    briefs: Sequence[Brief],
    telling: Telling,
    *,
    indices: Sequence[int] | None = None,
    shown: Callable[[int, str], None] = lambda number, paragraph: None,
    finished: Callable[[], object] = lambda: None,
) -> list[Told]:
    """Tell one story for each brief from its beats.

    checkpoint, briefs, telling, indices, shown: as in `Job`. finished: called whenever a story is told. Returns one `Told` a
    brief. Raises ValueError for a brief without beats, without room for a text, or with fewer beats than the opening has paragraphs,
    and for a model with layers that don't see the whole text.
    """
    return tell_together([Job(checkpoint, briefs, telling, indices, shown)], finished)[0]


def tell_together(jobs: Sequence[Job], finished: Callable[[], object] = lambda: None) -> list[list[Told]]:
    """Tell the stories of several models in one batch, as `tell` does for one.

    jobs: with the same number of draws, all guided or none; as many rows are drawn at once as the first says. finished: called
    whenever a story is told. Returns the stories of each job. Raises ValueError as `tell` does.
    """
    found: list[dict[int, Told]] = [{} for _ in jobs]
    for job, number, told in _Teller(jobs).run():
        found[job][number] = told
        finished()
    return [[told[number] for number in range(len(told))] for told in found]


def beginning(checkpoint: Checkpoint, brief: Brief, opening: str = "") -> tuple[list[int], list[int]]:
    """Return the token ids before the first drawn one, behind the brief and the first beat, and without them.

    checkpoint: of the model. brief: with beats. opening: what the text begins with; each of its paragraphs takes a beat. Raises
    ValueError without beats, with fewer than the opening needs, and where no room is left for a text.
    """
    tokenizer = checkpoint.tokenizer
    if not brief.beats:
        raise ValueError("a story needs beats: give one line for each paragraph, beats=[...]")
    *told, begun = opening.split(PARAGRAPHS)
    if len(told) >= len(brief.beats):
        raise ValueError(
            f"the opening has {len(told) + 1} paragraphs, and there are beats for {len(brief.beats)}; "
            "give a beat for each paragraph, those of the opening too"
        )
    first, _ = special_ids(tokenizer)
    prompt, contrast = [first, *encode(told_header(brief), tokenizer)], [first]
    for beat, paragraph in zip(brief.beats, told, strict=False):
        text = encode(paragraph + PARAGRAPHS, tokenizer)
        prompt += [*encode(beat_line(beat), tokenizer), *text]
        contrast += text
    text = encode(begun, tokenizer)
    prompt += [*encode(beat_line(brief.beats[len(told)]), tokenizer), *text]
    later = sum(len(encode(beat_line(beat), tokenizer)) for beat in brief.beats[len(told) + 1 :])
    if len(prompt) + later >= checkpoint.context - LEAST:
        raise ValueError(
            f"brief, beats and opening have {len(prompt) + later} tokens, and the model sees {checkpoint.context} at once, "
            f"{LEAST} of which a text needs; give fewer or shorter beats"
        )
    return prompt, [*contrast, *text]


def words_of_paragraph(brief: Brief, at: int) -> float:
    """How many words a paragraph should have.

    brief: with beats. at: which paragraph. Half of the length that is asked for is shared evenly, half as the beats have words.
    """
    said = [len(beat.split()) for beat in brief.beats]
    return (brief.length or USUAL * len(said)) * (said[at] / sum(said) + 1 / len(said)) / 2


@lru_cache(maxsize=2)
def breaks(tokenizer: Any) -> list[int]:
    """The tokens with a line break in them."""
    return [token for token in range(len(tokenizer)) if "\n" in tokenizer.decode([token])]


class _Teller:
    """All stories of one call, in the rows of one cache."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs, (first, *_) = jobs, jobs
        self.tuned = [job.thin for job in jobs if job.thin is not None]
        self.draws, self.parts = _shape(first)
        """Candidates; and the texts of the cache that a story takes: its own, and the one without the brief that it is guided by."""
        assert all(_shape(job) == (self.draws, self.parts) for job in jobs)
        self.waiting: deque[_Story] = deque()
        models = count_from(1)
        for at, job in enumerate(jobs):
            model = next(models) if job.thin is not None else 0
            for number, index in enumerate(job.indices or range(len(job.briefs))):
                self.waiting.append(_Story(self, at, model, number, job.briefs[number], index))
        stories = max(1, min(len(self.waiting), first.telling.rows // (self.draws * self.parts)))
        self.slots: list[_Story | None] = [None] * stories

    def run(self) -> Iterator[tuple[int, int, Told]]:
        """Yield each story's job, its number there, and the story as soon as it is told."""
        if not self.waiting:
            return
        model = self.jobs[0].checkpoint.model
        texts = texts_of_rows(len(self.slots) * self.parts, self.draws)
        self.cache = RowCache(model, texts, self.draws, self.tuned)
        with few_threads(model):
            while True:
                for slot in range(len(self.slots)):
                    while (story := self._at(slot)) and (told := story.draw(self.cache)):
                        yield story.job_number, story.number, told
                        self.slots[slot] = None
                        for text in story.texts:  # what is over should not widen what is looked at
                            self.cache.clear(text)
                if not any(self.slots):
                    return
                self._leave()
                tokens: list[int | None] = [None] * len(self.cache.own)
                for story in filter(None, self.slots):
                    for row, token in story.wanted():
                        tokens[row] = token
                scores = self.cache.step(tokens)
                for story in filter(None, self.slots):
                    story.scores = scores[story.rows]

    def _at(self, slot: int) -> "_Story | None":
        """The story of a slot; where there is none, one that waits."""
        if self.slots[slot] is None and self.waiting:
            story = self.waiting.popleft()
            story.begin(self.cache, range(slot * self.parts, (slot + 1) * self.parts))
            self.slots[slot] = story
        return self.slots[slot]

    def _leave(self) -> None:
        """Let the texts of stories that are told go, where that makes the batch much smaller."""
        left = [story for story in self.slots if story]
        kept, there = [text for story in left for text in story.texts], len(self.cache.common)
        wanted = texts_of_rows(len(kept), self.draws)
        if wanted > WORTH_LEAVING * there:
            return
        others = [text for text in range(there) if text not in kept]
        self.cache.keep([*kept, *others[: wanted - len(kept)]])
        self.slots = list(left)
        for slot, story in enumerate(left):
            story.texts = list(range(slot * self.parts, (slot + 1) * self.parts))


def _shape(job: Job) -> tuple[int, int]:
    """Candidates for each paragraph, and texts of the cache for each story."""
    decoding = job.telling.decoding
    draws = job.telling.draws if decoding.temperature else 1  # greedy ones are all the same
    return draws, 2 if decoding.guidance > 1 else 1


class _Story:
    """One story: where it is, and the candidates for its present paragraph."""

    def __init__(
        self, teller: _Teller, job_number: int, model: int, number: int, brief: Brief, index: int
    ) -> None:
        self.job_number, self.model, self.number, self.brief, self.index = (
            job_number,
            model,
            number,
            brief,
            index,
        )
        self.draws, self.job = teller.draws, teller.jobs[job_number]
        self.tokenizer = tokenizer = self.job.checkpoint.tokenizer
        _, self.end = special_ids(tokenizer)
        self.break_, self.line_break = encode(PARAGRAPHS, tokenizer), encode("\n", tokenizer)
        self.count = self.refused = 0
        self.guarded = False
        opening = self.job.telling.opening
        self.prompt, self.contrast = beginning(self.job.checkpoint, brief, opening)
        *self.paragraphs, self.begun = opening.split(PARAGRAPHS)

    def begin(self, cache: RowCache, texts: Sequence[int]) -> None:
        """Read the brief and the first beat into the story's ``texts`` of the cache: its own, then the one that it is guided by."""
        self.texts = list(texts)
        for text in self.texts:
            cache.clear(text, self.model)
        self._read(cache, self.prompt, self.contrast)

    @property
    def rows(self) -> list[int]:
        """The rows of the cache: of the candidates, then those that they are guided by."""
        draws = self.draws
        return [text * draws + row for text in self.texts for row in range(draws)]

    def _read(self, cache: RowCache, own: list[int], contrast: list[int]) -> None:
        """Read what comes before the next paragraph, and let all candidates begin there."""
        self.newest, parts = own[-1], (own, contrast)
        read = [cache.read(text, tokens) for text, tokens in zip(self.texts, parts, strict=False)]
        self.scores = torch.cat([scores.expand(self.draws, -1) for scores in read])
        self._new_paragraph(cache.common[self.texts[0]])

    def _new_paragraph(self, before: int) -> None:
        """Let no candidate have a token yet, behind so many tokens ``before``."""
        telling, draws, at = self.job.telling, self.draws, len(self.paragraphs)
        self.last = at == len(self.brief.beats) - 1
        self.drawn: list[list[int]] = [[] for _ in range(draws)]
        self.logs: list[list[float]] = [[] for _ in range(draws)]
        self.over: list[bool | None] = [None] * draws
        """Of each candidate: None while it is drawn, whether it ended by itself afterwards."""
        self.closing: list[list[int]] = [self.break_] * draws
        share = words_of_paragraph(self.brief, at)
        room = self.job.checkpoint.context - before - 1
        self.most = min(max(LEAST, round(LONGEST * PIECES * share)), room)
        if telling.most is not None:
            self.most = min(self.most, telling.most - self.count)
        text = PARAGRAPHS.join([*self.paragraphs, self.begun])
        self.guard = telling.guard(self.brief, text, draws)
        decoding = telling.decoding
        refusing: list[Processor] = [WholeNames(self.tokenizer, [self.brief] * draws)]
        warpers = [*refusing, *([self.guard] if self.guard else []), *decoding.warpers()]
        noise = decoding.noise(telling.seed, [f"{self.index}:{at}:{draw}" for draw in range(draws)])
        self.processors: list[Processor] = [*warpers, *noise]
        if decoding.guidance > 1:
            self.processors = [Guided(decoding.guidance, decoding.temperature or 1.0, warpers, noise)]

    def draw(self, cache: RowCache) -> Told | None:
        """Draw the next token of every candidate; where all are over, begin the next paragraph. The story, once it is told."""
        while True:
            if self.most > 0:
                self._draw()
            if self.over.count(None) <= (1 - WAITED_FOR) * len(self.over):
                self.over = [bool(over) for over in self.over]
            if self.most > 0 and None in self.over:
                return None
            if (told := self._chosen(cache)) is not None:
                return told

    def _draw(self) -> None:
        draws = self.draws
        scores = self.scores.clone()
        own = scores[:draws]
        blank = [not drawn and not self.begun for drawn in self.drawn]
        for row, empty in enumerate(blank):
            if empty or not self.last:
                own[row, self.end] = -torch.inf
            if empty or self._blank(row):
                own[row, breaks(self.tokenizer)] = -torch.inf
                own[row, self.end] = -torch.inf
        logs = torch.log_softmax(own.float(), dim=-1)
        ids = torch.tensor([[drawn[-1] if drawn else self.newest] for drawn in self.drawn])
        for row, over in enumerate(self.over):
            if over is not None:
                ids[row] = self.end
        ids = ids.repeat(len(scores) // draws, 1).to(scores.device)
        for processor in self.processors:
            scores = processor(ids, scores)  # type: ignore[arg-type]
        for row, token in enumerate(scores[:draws].argmax(dim=-1).tolist()):
            if self.over[row] is None:
                self.logs[row].append(float(logs[row, token]))
                self._take(row, token)

    def _blank(self, row: int) -> bool:
        """Whether a candidate has no word yet."""
        return not (self.begun + self.tokenizer.decode(self.drawn[row])).strip()

    def _take(self, row: int, token: int) -> None:
        """Note the ``token`` that was drawn for a candidate."""
        said = "" if token == self.end else self.tokenizer.decode([token])
        if token == self.end or "\n" in said:
            self.over[row] = True
            if said.strip():  # the token is the last mark of the paragraph and its break in one
                self.drawn[row].append(token)
                self.closing[row] = [] if said.count("\n") > 1 else self.line_break
            return
        self.drawn[row].append(token)
        if len(self.drawn[row]) >= self.most:
            self.over[row] = False

    def wanted(self) -> Iterator[tuple[int, int]]:
        """The rows that go on, and the token of each."""
        draws = self.draws
        for at, row in enumerate(self.rows):
            if self.over[at % draws] is None:
                yield row, self.drawn[at % draws][-1]

    def _candidate(self, row: int) -> Paragraph:
        """A drawn paragraph; of one that was cut what is whole of it."""
        tokens, whole = self.drawn[row], bool(self.over[row])
        likely = sum(self.logs[row]) / max(1, len(self.logs[row]))
        if not whole:
            ends = (
                count
                for count in range(len(tokens), 0, -1)
                if SENTENCE_END.search(self._said(tokens[:count]))
            )
            tokens = tokens[: next(ends, len(tokens))]
        refused = self.guard.times[row] if self.guard else 0
        said = self._said(tokens).rstrip()
        text = self.begun + said if self.begun else said.lstrip()
        return Paragraph(text, whole, likely, refused, tuple(tokens))

    def _said(self, tokens: Sequence[int]) -> str:
        """What ``tokens`` add to a text; behind its beginning, since some tokenizers drop the space at the start."""
        tokenizer = self.tokenizer
        begun = encode(self.begun, tokenizer)
        before = tokenizer.decode(begun, skip_special_tokens=True)
        return str(tokenizer.decode([*begun, *tokens], skip_special_tokens=True)[len(before) :])

    def _chosen(self, cache: RowCache) -> Told | None:
        """Take the best candidate and begin the next paragraph. The story, where that was its last or there is no more room."""
        telling, drawn = self.job.telling, [self._candidate(row) for row in range(self.draws)]
        at = telling.choose(self.brief, self.paragraphs, drawn) if len(drawn) > 1 else 0
        best = drawn[at]
        if best.text:
            self.paragraphs.append(best.text)
            self.job.shown(self.number, best.text)
        self.begun = ""
        self.count += len(best.tokens)
        self.refused += best.refused
        self.guarded = self.guarded or self.guard is not None
        lines = [] if self.last else encode(beat_line(self.brief.beats[len(self.paragraphs)]), self.tokenizer)
        closing = self.closing[at] if best.whole else self.break_
        before = cache.common[self.texts[0]] + len(best.tokens)
        room = self.job.checkpoint.context - before - len(closing) - len(lines)
        full = room < LEAST or (telling.most is not None and self.count >= telling.most)
        if self.last or full or not best.text:
            ended = self.last and best.whole
            return Told(tuple(self.paragraphs), ended, self.count, self.refused if self.guarded else None)
        rest: list[list[int]] = []
        for (
            text
        ) in self.texts:  # what of the paragraph has not been read yet: its last token, where it was cut
            row = text * self.draws + at
            count = min(len(best.tokens), cache.own[row])
            cache.take(row, count)
            rest.append(list(best.tokens[count:]))
        self._read(cache, [*rest[0], *closing, *lines], [*rest[-1], *closing])
        return None
