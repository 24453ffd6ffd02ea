"""What all texts of one call to `generate` share: its settings, the originals, how tokens are drawn, who guards against copies.

Drawn, measured and chosen part by part. Does not load a model and has no public call: `inference.sampling`.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from tqdm import tqdm
from transformers import TextIteratorStreamer

from data.beats import check_beats
from data.brief import PLANS, Brief
from data.dataset import encode, special_ids
from data.detect import evidence
from data.draw import complete_briefs
from data.originals import Original, normalise
from inference import exported
from inference.bank import bank_span
from inference.checkpoints import Checkpoint
from inference.choosing import Measures, choose, refusal
from inference.decoding import Decoding
from inference.guard import CopyGuard
from inference.guidance import Guided
from inference.leaks import names_in
from inference.measured import bands, measured
from inference.novelty import CopyIndex, copy_limit, folded, words
from inference.paragraphs import chooser
from inference.plans import Planner
from inference.rows import Processor, batches, continuations, padded
from inference.sample import Sample, Samples
from inference.telling import Job, Telling, Told, beginning, tell_together
from inference.thin_differences import Thin
from inference.whole_names import WholeNames, capitalised

BriefLike = Brief | Mapping[str, Any]

BACKENDS = ("torch", "onnx")

DRAWS = 4
"""Paragraphs that are drawn for each beat, where nothing else is asked for."""

COOLER = 0.6
"""What the temperature is multiplied by where a beat says what is to come: less should be left to chance."""

ROWS_AT_ONCE = 64
"""Paragraphs that are drawn at once. 64 take half as long again as 32 (LAB.md); with more the keys and values take much memory."""

MOST_TOKENS = 1024
"""Longest text of a model that states no length of its own."""


@dataclass(frozen=True)
class Settings:
    """What `generate` was asked for, checked; see there."""

    best_of: int = 1
    seed: int = 0
    strict: bool = True
    temperature: float | None = None
    top_p: float | None = None
    min_p: float | None = None
    guidance: float | None = None
    max_new_tokens: int | None = None
    guard: bool | int = True
    allow: Sequence[str] = ()
    batch_size: int = 8
    backend: str = "torch"
    plan: str | None = None
    draws: int | None = None

    def __post_init__(self) -> None:
        for key in ("best_of", "batch_size", "max_new_tokens", "draws"):
            if getattr(self, key) is not None:
                _at_least_one(key, getattr(self, key))
        if not isinstance(self.guard, bool | int) or (self.guard is not False and self.guard < 1):
            raise ValueError(
                f"a copied run may have 1 word or more, found {self.guard!r}; guard=False sets no limit, True the originals' own"
            )
        if self.backend not in BACKENDS:
            raise ValueError(f"unknown backend {self.backend!r}: choose {' or '.join(BACKENDS)}")
        if self.plan is not None and self.plan not in PLANS:
            raise ValueError(f"unknown plan {self.plan!r}: choose {', '.join(PLANS[:-1])} or {PLANS[-1]}")
        if isinstance(self.allow, str):
            object.__setattr__(self, "allow", (self.allow,))


def _at_least_one(key: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{key} must be a whole number, at least 1, found {value!r}")


@dataclass(frozen=True)
class _Originals:
    """What a text may be a copy of; nothing where nothing is known of it."""

    texts: tuple[str, ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, checkpoint: Checkpoint, given: Sequence[str | Original] | None) -> "_Originals":
        """Those given, else those of the checkpoint's run."""
        if isinstance(given, str):
            raise ValueError("originals must be a list of texts, found one string: put it in brackets")
        there = checkpoint.run.originals if checkpoint.run and given is None else []
        if given is not None:
            there = [
                o if isinstance(o, Original) else Original(f"original {i}", o)
                for i, o in enumerate(given, start=1)
            ]
        return cls(tuple(o.text for o in there), tuple(o.name for o in there))

    @cached_property
    def copies(self) -> CopyIndex | None:
        """The index of what may be copied."""
        return CopyIndex(self.texts, self.names) if self.texts else None

    @cached_property
    def limit(self) -> int | None:
        """Words in a row that may be an original's; None where there is none."""
        return copy_limit(self.texts) if self.texts else None


@dataclass(frozen=True)
class Drawing:
    """What all samples of one call share."""

    checkpoint: Checkpoint
    given: Sequence[str | Original] | None
    begun: str | None
    settings: Settings

    @cached_property
    def originals(self) -> _Originals:
        """Those that were given, else the run's."""
        return _Originals.of(self.checkpoint, self.given)

    @cached_property
    def opening(self) -> str:
        """What every text begins with, as texts are trained; "" for nothing."""
        try:
            (self.begun or "").encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"the opening has half of a character at {error.start}: {error.reason}"
            ) from None
        return normalise(self.begun or "")

    @cached_property
    def base(self) -> Any:
        """The model that tells broken text, where a run knows one."""
        return self.checkpoint.run.base_source if self.checkpoint.run else None

    @cached_property
    def gate(self) -> int | None:
        """Words in a row that a text may have of an original and still be shown: what the guard allows, else the originals' own;
        what the user's opening has, it may; and where words are allowed, the guard alone decides."""
        guard, limit, copies = self.settings.guard, self.originals.limit, self.originals.copies
        if limit is None or copies is None or (self.settings.allow and guard is not False):
            return None
        own = copies.longest(self.opening)
        return max(limit if isinstance(guard, bool) else guard, own.words if own else 0)

    @cached_property
    def decoding(self) -> Decoding:
        """How tokens are drawn."""
        settings, model, run = self.settings, self.checkpoint.model, self.checkpoint.run
        temperature, top_p, min_p = settings.temperature, settings.top_p, settings.min_p
        if temperature is None and run and not model.generation_config.do_sample:
            # A run that was told to be greedy: what a guided draw needs beside is not in the model's settings.
            temperature = 0.0
            top_p = run.config.get("top_p") if top_p is None else top_p
            min_p = run.config.get("min_p") if min_p is None else min_p
        return Decoding.choose(model, temperature, top_p, min_p, settings.guidance)

    @cached_property
    def planner(self) -> Planner:
        """What gives the briefs their beats."""
        run = self.checkpoint.run
        kind = self.settings.plan or (run.config.get("plan") if run else None) or "auto"
        told_by_i = [evidence(text).first_person for text in self.originals.texts]
        return Planner(
            self.checkpoint,
            kind,
            self.settings.seed,
            opening=bool(self.opening),
            first_person=2 * sum(told_by_i) > len(told_by_i),
        )

    @cached_property
    def draws(self) -> int:
        """Paragraphs that are drawn for each beat."""
        run = self.checkpoint.run
        return int(self.settings.draws or (run.config.get("draws") if run else None) or DRAWS)

    def briefs(
        self, brief: BriefLike | Sequence[BriefLike] | None, fields: Mapping[str, Any], n: int
    ) -> list[Brief]:
        """One for each text: what was asked for, and what is drawn where that leaves something open."""
        _at_least_one("n", n)
        _ = (
            self.decoding,
            self.base if self.settings.best_of > 1 else None,
        )  # what is wrong is said before anything is drawn
        if fields:
            if brief is not None:
                raise ValueError(
                    f"give a brief, or its fields one by one, not both: found brief and {', '.join(fields)}"
                )
            brief = Brief.from_dict(fields) or None
        some = brief if isinstance(brief, Sequence) and not isinstance(brief, str) else [brief]
        if not some:
            raise ValueError("the list of briefs is empty: give at least one, or leave it out")
        # An empty Brief is asked for without one; an empty mapping only gives nothing.
        asked = [_brief(one) for one in some for _ in range(n)]
        bare = [isinstance(one, Brief) and not one for one in some for _ in range(n)]
        if self.originals.texts:
            full = complete_briefs(asked, self.originals.texts, self.settings.seed)
            asked = [part if none else whole for part, whole, none in zip(asked, full, bare, strict=True)]
        for one in asked:
            self.planner.check(one)
            if one.beats and self.planner.kind != "none":
                beginning(self.checkpoint, one, self.opening)
            else:
                self._refuse_too_long(replace(one, beats=()))
        given = [_brief(one) for one in some if self.planner.kind != "none"]
        for said in dict.fromkeys(said for one in given for said in check_beats(one)):
            warnings.warn(said, stacklevel=3)
        return asked

    def _refuse_too_long(self, brief: Brief) -> None:
        taken, context = len(self.prompt(brief)), self.checkpoint.context
        if taken >= context:
            raise ValueError(f"brief and opening take {taken} of the model's {context} tokens: shorten them")

    def part(self, briefs: Sequence[Brief], first: int, bar: "tqdm[Any]") -> Samples:
        """The samples of ``briefs``, the first of which is text number ``first``."""
        planned, numbers = self.planned(briefs, first)
        each = [brief for brief, _ in planned]
        drawn: dict[int, Sample] = {}
        told = [i for i, (_, plan) in enumerate(planned) if plan != "none"]
        for i, sample in zip(
            told,
            self.told([planned[i] for i in told], [numbers[i] for i in told], finished=bar.update),
            strict=True,
        ):
            drawn[i] = sample
        plain = [i for i, (_, plan) in enumerate(planned) if plan == "none"]
        # What has no brief is not guided.
        kinds = [(padded(len(self.prompt(each[i])), self.checkpoint.context), bool(each[i])) for i in plain]
        for places in batches(kinds, self.settings.batch_size):
            batch = [plain[place] for place in places]
            rows = self.samples([each[i] for i in batch], [numbers[i] for i in batch])
            drawn |= zip(batch, rows, strict=True)
            bar.update(len(batch))
        return self.chosen([drawn[i] for i in range(len(each))])

    def planned(self, briefs: Sequence[Brief], first: int = 0) -> tuple[list[tuple[Brief, str]], list[int]]:
        """Of all candidates for ``briefs`` the brief with its beats and whose they are, and the number; text ``first`` comes first."""
        best_of = self.settings.best_of
        numbers = [first * best_of + i for i in range(len(briefs) * best_of)]
        return self.planner.plan([brief for brief in briefs for _ in range(best_of)], numbers), numbers

    def chosen(self, drawn: Sequence[Sample]) -> Samples:
        """The candidates ``drawn`` with what is measured of them, and what is chosen among them."""
        settings, copies, names = self.settings, self.originals.copies, names_in(self.originals.texts)
        own, band = " ".join([self.opening, *settings.allow]), bands(self.originals.texts)
        found = [replace(measured(sample, copies, names, own), band=band) for sample in drawn]
        if settings.best_of == 1:
            return Samples(replace(sample, remark=refusal(sample, self.gate)) for sample in found)
        groups = [found[i : i + settings.best_of] for i in range(0, len(found), settings.best_of)]
        return Samples(
            *choose(groups, Measures(self.originals.texts, self.gate, self.base), strict=settings.strict)
        )

    def pass_over(self, briefs: Sequence[Brief]) -> None:
        """Take note of texts that are drawn already, the first ones of the call: no other gets a plot of theirs."""
        best_of = self.settings.best_of
        self.planner.pass_over(
            [brief for brief in briefs for _ in range(best_of)], range(len(briefs) * best_of)
        )

    def told(
        self,
        planned: Sequence[tuple[Brief, str]],
        numbers: Sequence[int],
        shown: Callable[[int, str], None] = lambda number, paragraph: None,
        finished: Callable[[], object] = lambda: None,
    ) -> list[Sample]:
        """Texts told from their beats, not yet measured. ``shown`` and ``finished`` are those of `inference.telling.tell`."""
        job = replace(self.job(planned, numbers), shown=shown)
        return self.samples_told(tell_together([job], finished)[0], planned, numbers)

    def job(
        self,
        planned: Sequence[tuple[Brief, str]],
        numbers: Sequence[int],
        thin: Thin | None = None,
        rows: int = ROWS_AT_ONCE,
    ) -> Job:
        """How texts are told from their beats, at most ``rows`` paragraphs at once; by a model that adds ``thin`` to the checkpoint's."""
        settings = self.settings
        telling = Telling(
            replace(
                self.decoding,
                temperature=COOLER * self.decoding.temperature,
                guidance=settings.guidance or 1.0,
            ),
            seed=settings.seed,
            draws=self.draws,
            rows=min(rows, settings.batch_size * self.draws),
            choose=chooser(lambda text: bank_span(text) > 0),
            guard=lambda brief, text, rows: self.guard([brief] * rows, text),
            opening=self.opening,
            most=settings.max_new_tokens or self.checkpoint.model.generation_config.max_new_tokens,
        )
        return Job(self.checkpoint, [brief for brief, _ in planned], telling, numbers, thin=thin)

    def samples_told(
        self, told: Sequence[Told], planned: Sequence[tuple[Brief, str]], numbers: Sequence[int]
    ) -> list[Sample]:
        """What was ``told`` from ``planned``, as samples that are not yet measured."""
        return [
            Sample(
                one.text,
                brief,
                self.settings.seed,
                number,
                one.ended,
                one.tokens,
                {} if one.refused is None else {"refused_runs": one.refused},
                plan=plan,
            )
            for one, (brief, plan), number in zip(told, planned, numbers, strict=True)
        ]

    def prompt(self, brief: Brief) -> list[int]:
        """Token ids before the first drawn one. Header and text are encoded apart, as in training, so that no token
        spans the border between them."""
        tokenizer = self.checkpoint.tokenizer
        first, _ = special_ids(tokenizer)
        return [first, *encode(brief.header(), tokenizer), *encode(self.opening, tokenizer)]

    def guard(self, briefs: Sequence[Brief], begun: str | None = None) -> CopyGuard | None:
        """What keeps a batch from copying; its texts begin with the opening, or with ``begun``."""
        guard, copies = self.settings.guard, self.originals.copies
        if guard is False or copies is None or self.originals.limit is None:
            return None
        most = self.originals.limit if guard is True else guard
        allowed = {word.text for word in words(" ".join(self.settings.allow))}
        free = [{folded(name) for name in capitalised(brief)} | allowed for brief in briefs]
        return CopyGuard(
            copies, self.checkpoint.tokenizer, most, free, self.opening if begun is None else begun
        )

    def tokens(
        self,
        briefs: Sequence[Brief],
        indices: Sequence[int],
        guard: CopyGuard | None,
        streamer: TextIteratorStreamer | None = None,
    ) -> list[list[int]]:
        """The token ids drawn for a batch whose prompts are padded alike, all with a brief or all without."""
        model, context = self.checkpoint.model, self.checkpoint.context
        _, end = special_ids(self.checkpoint.tokenizer)
        prompts = [self.prompt(brief) for brief in briefs]
        width = padded(max(map(len, prompts)), context)
        most = self.settings.max_new_tokens or model.generation_config.max_new_tokens or MOST_TOKENS
        decoding = self.decoding
        # First what refuses: what is most probable must be something that may be said.
        refusing = [WholeNames(self.checkpoint.tokenizer, briefs), *([guard] if guard else [])]
        warpers: list[Processor] = [*refusing, *decoding.warpers()]
        noise = decoding.noise(self.settings.seed, indices)
        processors: list[Processor] = [*warpers, *noise]
        if decoding.guidance > 1 and all(briefs):
            prompts += [self.prompt(Brief())] * len(briefs)
            processors = [Guided(decoding.guidance, decoding.temperature or 1.0, warpers, noise)]
        most = min(most, context - width)
        if self.settings.backend == "onnx":
            rows = exported.continuations(self.checkpoint, prompts, width, most, end, processors, streamer)
        else:
            rows = continuations(model, prompts, width, most, end, processors, streamer)
        return rows[: len(briefs)]

    def samples(self, briefs: Sequence[Brief], indices: Sequence[int]) -> Iterator[Sample]:
        """One batch of samples, not yet measured."""
        tokenizer = self.checkpoint.tokenizer
        _, end = special_ids(tokenizer)
        guard = self.guard(briefs)
        rows = self.tokens(briefs, indices, guard)
        refused = guard.times if guard else [None] * len(rows)
        for brief, index, row, times in zip(briefs, indices, rows, refused, strict=True):
            ended = end in row
            drawn = row[: row.index(end)] if ended else row
            text = (self.opening + self._continuation(drawn)).rstrip()
            scores = {} if times is None else {"refused_runs": times}
            yield Sample(text, brief, self.settings.seed, index, ended, len(drawn), scores)

    def _continuation(self, drawn: list[int]) -> str:
        """What the drawn tokens add to the opening. Decoded behind it, since some tokenizers drop the space at the
        start of whatever they decode."""
        tokenizer = self.checkpoint.tokenizer
        opening = encode(self.opening, tokenizer)
        before = tokenizer.decode(opening, skip_special_tokens=True)
        return str(tokenizer.decode([*opening, *drawn], skip_special_tokens=True)[len(before) :])


def _brief(given: Any) -> Brief:
    """What was given as a brief; an empty one for nothing."""
    if given is None or isinstance(given, Brief):
        return given or Brief()
    return Brief.from_dict(given)
