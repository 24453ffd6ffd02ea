"""Draws new texts from a model: `generate` and `stream`.

One text a sample; each is told what it copied from the originals when the model came from a run. Draws and measures;
does not compare with a band or judge (`inference.scoring`), and does not train.
"""

import html
import math
import threading
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from transformers import GenerationConfig, LogitsProcessorList, PreTrainedModel, TextIteratorStreamer

from data.brief import Brief
from data.dataset import encode, special_ids
from data.draw import draw_briefs
from data.originals import normalise
from inference.cache import chunked_cache
from inference.checkpoints import Checkpoint, load
from inference.decoding import Decoding, few_threads
from inference.guard import CopyGuard
from inference.leaks import leaked_names, names_in
from inference.novelty import CopiedSpan, CopyIndex, copy_limit, repetition, words

Source = str | Path | Checkpoint | PreTrainedModel
BriefLike = Brief | Mapping[str, Any]

MOST_TOKENS = 1024
"""Longest text of a model that states no length of its own."""

LOOPING = 0.15
"""Share of repeated 4-grams above which a candidate counts as looping; the four originals lie under 0.03."""


@dataclass(frozen=True)
class Sample:
    """One generated text and what is known of it.

    ``seed`` and ``index`` reproduce it; ``tokens`` counts the drawn ones; ``scores`` has words and repetition (0..1),
    and from a run also longest_copied_span (words), novelty_4gram (0..1), nearest (an original's name) and leaked_names (of the
    originals' people, unasked for); with the guard refused_runs, how often it kept a run from going on;
    ``copied_spans`` are those of five words and more.
    """

    text: str
    brief: Brief
    seed: int
    index: int
    ended_by_eos: bool
    tokens: int
    scores: dict[str, Any] = field(default_factory=dict)
    copied_spans: tuple[CopiedSpan, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "text": self.text,
            "brief": self.brief.to_dict(),
            "seed": self.seed,
            "index": self.index,
            "ended_by_eos": self.ended_by_eos,
            "tokens": self.tokens,
            "scores": self.scores,
            "copied_spans": [vars(span) for span in self.copied_spans],
        }

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        facts = ", ".join(f"{key.replace('_', ' ')} {_plain(value)}" for key, value in self.scores.items())
        header = html.escape("; ".join(f"{key}: {value}" for key, value in self.brief.to_dict().items()))
        body = mark_spans(self.text, self.copied_spans)
        return (
            f'<article style="max-width:38em;font-family:Georgia,serif;line-height:1.5">'
            f'<p style="font:0.8em sans-serif;opacity:.7">{header}</p>'
            f'<div style="white-space:pre-wrap">{body}</div>'
            f'<p style="font:0.8em sans-serif;opacity:.7">{html.escape(facts)}</p></article>'
        )


def mark_spans(text: str, spans: Sequence[CopiedSpan]) -> str:
    """``text`` as HTML, escaped, with each copied span in a ``<mark>`` that names its original."""
    pieces, position = [], 0
    for span in spans:
        pieces.append(html.escape(text[position : span.start]))
        title = html.escape(f"{span.words} words in a row as in {span.source}", quote=True)
        pieces.append(f'<mark title="{title}">{html.escape(text[span.start : span.end])}</mark>')
        position = span.end
    return "".join(pieces) + html.escape(text[position:])


def generate(
    source: Source,
    n: int = 1,
    brief: BriefLike | Sequence[BriefLike] | None = None,
    opening: str | None = None,
    best_of: int = 1,
    seed: int = 0,
    *,
    temperature: float | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    max_new_tokens: int | None = None,
    guard: bool | int = True,
    originals: Sequence[str] | None = None,
    allow: Sequence[str] = (),
    batch_size: int = 8,
    dtype: str = "auto",
    progress: bool = False,
) -> list[Sample]:
    """``n`` new texts from ``source`` (whatever `load` takes); a list of briefs gives ``n`` each, in its order.

    ``brief=None`` draws briefs of the originals' kind when ``source`` is a run, and is no brief otherwise; ``Brief()``
    is no brief in any case. ``opening`` is continued and part of the text. ``best_of`` candidates are drawn for each
    text and the one chosen that ended, copies within the originals' own band, does not loop, and repeats least;
    a warning says when none passed. ``guard`` refuses, while drawing, to go on with a run of words from an original that has as
    many as the originals share among themselves (`copy_limit`), or as many as the number given; False sets no limit. Names in
    the brief and words of ``allow`` are never refused. The originals are those of the run, or ``originals``. ``temperature`` 0
    is greedy. Unset settings come from the model's generation config. ``batch_size`` (rows at once) and ``n`` leave sample i the
    same, up to the rounding of the hardware.

    Raises ValueError for settings out of range or a prompt that leaves no room in the context.
    """
    if n < 1 or best_of < 1 or batch_size < 1:
        raise ValueError(
            f"n, best_of and batch_size must be at least 1, found {n}, {best_of} and {batch_size}"
        )
    checkpoint = load(source, dtype=dtype)
    decoding = _decoding(checkpoint, temperature, top_p, min_p)
    there = _Originals.of(checkpoint, originals)
    drawing = _Drawing(
        checkpoint,
        decoding,
        seed,
        normalise(opening or ""),
        max_new_tokens,
        there.copies,
        there.most(guard),
        tuple(allow),
    )
    copies, names = there.copies, names_in(there.texts)
    briefs = [b for b in _briefs(checkpoint, brief, n, seed) for _ in range(best_of)]
    drawn: list[Sample] = []
    with tqdm(total=len(briefs), desc="sampling", unit="text", disable=not progress, leave=False) as bar:
        for start in range(0, len(briefs), batch_size):
            batch = briefs[start : start + batch_size]
            rows = drawing.samples(batch, range(start, start + len(batch)))
            drawn += [measured(sample, copies, names) for sample in rows]
            bar.update(len(batch))
    if best_of == 1:
        return drawn
    limit = copy_limit(there.texts) if there.texts else None
    return [choose(drawn[i : i + best_of], limit) for i in range(0, len(drawn), best_of)]


def stream(
    source: Source,
    brief: BriefLike | None = None,
    opening: str | None = None,
    seed: int = 0,
    *,
    temperature: float | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    max_new_tokens: int | None = None,
    guard: bool | int = True,
    originals: Sequence[str] | None = None,
    allow: Sequence[str] = (),
    dtype: str = "auto",
) -> Iterator[str]:
    """The text of ``generate(source, n=1, ...)`` in pieces as they are drawn, ``opening`` first."""
    checkpoint = load(source, dtype=dtype)
    decoding = _decoding(checkpoint, temperature, top_p, min_p)
    there = _Originals.of(checkpoint, originals)
    drawing = _Drawing(
        checkpoint,
        decoding,
        seed,
        normalise(opening or ""),
        max_new_tokens,
        there.copies,
        there.most(guard),
        tuple(allow),
    )
    briefs = _briefs(checkpoint, brief, 1, seed)
    streamer = TextIteratorStreamer(checkpoint.tokenizer, skip_prompt=True, skip_special_tokens=True)
    failure: list[BaseException] = []

    def work() -> None:
        try:
            drawing.tokens(briefs, [0], streamer, drawing.guard(briefs))
        except BaseException as error:  # an exception of the thread belongs to the caller
            failure.append(error)
            streamer.end()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    if drawing.opening:
        yield drawing.opening
    yield from (piece for piece in streamer if piece)
    thread.join()
    if failure:
        raise failure[0]


@dataclass(frozen=True)
class _Originals:
    """What a text may be a copy of; nothing where nothing is known of it."""

    texts: tuple[str, ...]
    copies: CopyIndex | None

    @classmethod
    def of(cls, checkpoint: Checkpoint, texts: Sequence[str] | None) -> "_Originals":
        """The given texts, else those of the checkpoint's run."""
        if texts is not None:
            return cls(tuple(texts), CopyIndex(texts) if texts else None)
        there = checkpoint.run.originals if checkpoint.run else []
        named = CopyIndex([o.text for o in there], [o.name for o in there]) if there else None
        return cls(tuple(o.text for o in there), named)

    def most(self, guard: bool | int) -> int | None:
        """Words that a copied run may have; None for no limit."""
        if guard is False or not self.texts:
            return None
        return copy_limit(self.texts) if guard is True else guard


@dataclass(frozen=True)
class _Drawing:
    """What all samples of one call share; ``opening`` is normalised, "" for none. No run of more than ``most`` words is copied."""

    checkpoint: Checkpoint
    decoding: Decoding
    seed: int
    opening: str
    max_new_tokens: int | None
    copies: CopyIndex | None
    most: int | None
    allow: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.max_new_tokens is not None and self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, found {self.max_new_tokens}")

    def prompt(self, brief: Brief) -> list[int]:
        """Token ids before the first drawn one. Header and text are encoded apart, as in training, so that no token
        spans the border between them."""
        tokenizer = self.checkpoint.tokenizer
        first, _ = special_ids(tokenizer)
        return [first, *encode(brief.header(), tokenizer), *encode(self.opening, tokenizer)]

    def guard(self, briefs: Sequence[Brief]) -> CopyGuard | None:
        """What keeps a batch from copying."""
        if self.copies is None or self.most is None:
            return None
        free = [{*_names(brief), *(word.text for word in words(" ".join(self.allow)))} for brief in briefs]
        return CopyGuard(self.copies, self.checkpoint.tokenizer, self.most, free, self.opening)

    @torch.inference_mode()
    def tokens(
        self,
        briefs: Sequence[Brief],
        indices: Sequence[int],
        streamer: TextIteratorStreamer | None = None,
        guard: CopyGuard | None = None,
    ) -> list[list[int]]:
        """The drawn token ids of one batch, end token and padding included; the prompts are cut off."""
        model, context = self.checkpoint.model, self.checkpoint.context
        _, end = special_ids(self.checkpoint.tokenizer)
        prompts = [self.prompt(brief) for brief in briefs]
        width = max(map(len, prompts))
        if width >= context:
            raise ValueError(f"brief and opening take {width} of the model's {context} tokens: shorten them")
        most = self.max_new_tokens or model.generation_config.max_new_tokens or MOST_TOKENS
        ids = torch.tensor([[end] * (width - len(p)) + p for p in prompts], device=model.device)  # (B, T)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=model.device)
        # Greedy: all of the drawing happens in our processors.
        config = GenerationConfig(
            do_sample=False, max_new_tokens=min(most, context - width), eos_token_id=end, pad_token_id=end
        )
        # It takes the place of the model's own meanwhile, which would fill in whatever is not stated here: a
        # repetition_penalty, for one.
        own, model.generation_config = model.generation_config, config
        try:
            with few_threads(model):
                out = model.generate(  # type: ignore[operator]  # a mixin that mypy does not see
                    input_ids=ids,
                    attention_mask=mask,
                    # First the guard: what is most probable must be something that may be said.
                    logits_processor=LogitsProcessorList(
                        [*([guard] if guard else []), *self.decoding.processors(self.seed, list(indices))]
                    ),
                    streamer=streamer,
                    past_key_values=chunked_cache(model),
                )
        finally:
            model.generation_config = own
        return [row[width:].tolist() for row in out]

    def samples(self, briefs: Sequence[Brief], indices: Sequence[int]) -> Iterator[Sample]:
        """One batch of samples, not yet measured."""
        tokenizer = self.checkpoint.tokenizer
        _, end = special_ids(tokenizer)
        guard = self.guard(briefs)
        rows = self.tokens(briefs, indices, guard=guard)
        refused = guard.times if guard else [None] * len(rows)
        for brief, index, row, times in zip(briefs, indices, rows, refused, strict=True):
            ended = end in row
            drawn = row[: row.index(end)] if ended else row
            text = (self.opening + self._continuation(drawn)).rstrip()
            scores = {} if times is None else {"refused_runs": times}
            yield Sample(text, brief, self.seed, index, ended, len(drawn), scores)

    def _continuation(self, drawn: list[int]) -> str:
        """What the drawn tokens add to the opening. Decoded behind it, since some tokenizers drop the space at the
        start of whatever they decode."""
        tokenizer = self.checkpoint.tokenizer
        opening = encode(self.opening, tokenizer)
        before = tokenizer.decode(opening, skip_special_tokens=True)
        return str(tokenizer.decode([*opening, *drawn], skip_special_tokens=True)[len(before) :])


def _names(brief: Brief) -> set[str]:
    """The capitalised words of a brief, folded: names of people and places, which a text is to have."""
    said = " ".join(map(str, brief.to_dict().values()))
    return {word.text for word in words(said) if said[word.start].isupper()}


def _decoding(
    checkpoint: Checkpoint, temperature: float | None, top_p: float | None, min_p: float | None
) -> Decoding:
    if temperature is None and checkpoint.run and not checkpoint.model.generation_config.do_sample:
        temperature = 0.0  # a run that was told to be greedy
    return Decoding.choose(checkpoint.model, temperature, top_p, min_p)


def _briefs(
    checkpoint: Checkpoint, brief: BriefLike | Sequence[BriefLike] | None, n: int, seed: int
) -> list[Brief]:
    if brief is None:
        if checkpoint.run is None:
            return [Brief()] * n
        return draw_briefs([original.text for original in checkpoint.run.originals], n, seed)
    given = [brief] if isinstance(brief, Brief | Mapping) else list(brief)
    return [b if isinstance(b, Brief) else Brief.from_dict(dict(b)) for b in given for _ in range(n)]


def measured(sample: Sample, copies: CopyIndex | None, names: Collection[str] = ()) -> Sample:
    """The sample with its ``scores`` and ``copied_spans`` filled in."""
    scores: dict[str, Any] = {
        "words": len(sample.text.split()),
        "repetition": repetition(sample.text),
        **sample.scores,
    }
    if copies is None:
        return replace(sample, scores=scores)
    longest, novelty = copies.longest(sample.text), copies.ngram_novelty(sample.text)
    scores["longest_copied_span"] = longest.words if longest else 0
    scores["novelty_4gram"] = None if math.isnan(novelty) else novelty
    scores["nearest"] = copies.nearest(sample.text)
    scores["leaked_names"] = leaked_names(sample.text, names, sample.brief)
    return replace(sample, scores=scores, copied_spans=tuple(copies.spans(sample.text)))


def choose(candidates: Sequence[Sample], longest_span: int | None) -> Sample:
    """The best candidate: one that passes every gate if there is one, and among those the least repetitive."""
    reasons = [refusal(candidate, longest_span) for candidate in candidates]
    passed = [c for c, reason in zip(candidates, reasons, strict=True) if reason is None]
    if not passed:
        warnings.warn(
            f"none of {len(candidates)} candidates passed: {'; '.join(map(str, reasons))}", stacklevel=3
        )
    return min(passed or candidates, key=lambda c: (not c.text, not c.ended_by_eos, c.scores["repetition"]))


def refusal(sample: Sample, longest_span: int | None) -> str | None:
    """Why a candidate should not be shown, in words; None if nothing speaks against it.

    ``longest_span`` is how many words in a row may be an original's; None for any number.
    """
    copied = sample.scores.get("longest_copied_span", 0)
    if not sample.text:
        return "is empty"
    if not sample.ended_by_eos:
        return f"did not end within {sample.tokens} tokens"
    if longest_span is not None and copied > longest_span:
        return f"copies {copied} words in a row (at most {longest_span} are the originals' own habit)"
    if sample.scores["repetition"] > LOOPING:
        return f"loops: {sample.scores['repetition']:.0%} of its 4-grams are repeated"
    return None


def _plain(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
