"""Runs `model.generate` over rows of prompts so that what a row gets depends on nothing but the row.

The shape of what is computed decides how a CPU rounds, and a rounding now and then decides a word. So prompts are padded to a
multiple of 64 tokens and batches to a multiple of four rows, a batch holds prompts of one padded width alone, and rows that have
ended leave it by fours. Within these shapes a row came out the same to the bit whatever lay beside it (LAB.md). Draws nothing
itself: `inference.decoding` and `inference.guard` do, as processors.
"""

from collections.abc import Hashable, Sequence
from typing import Protocol, runtime_checkable

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.generation.streamers import BaseStreamer

from inference.cache import chunked_cache
from inference.decoding import few_threads
from inference.packed_weights import packed

ROWS = 4
"""Rows of a batch come in multiples of this: with fewer, the matrix products take another way."""

WIDTH = 64
"""Tokens of a prompt, padding included, come in multiples of this, as far as the context has them."""

WORTH_LEAVING = 0.75
"""Rows leave when no more than this share of the batch is still needed: each time the others' keys and values are copied."""


@runtime_checkable
class RowProcessor(Protocol):
    """A logits processor with a state for each row."""

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these of the present rows alone."""

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """As in transformers."""


Processor = LogitsProcessor | RowProcessor


def padded(prompt: int, context: int) -> int:
    """Tokens that a prompt of so many takes: a multiple of `WIDTH`, unless less than half of the context were left for the text."""
    wide = -(-prompt // WIDTH) * WIDTH
    return wide if wide <= context // 2 else prompt


def batches(kinds: Sequence[Hashable], size: int) -> list[list[int]]:
    """Positions of at most ``size`` prompts of one kind each (its padded width, and what else matters), in order of their first."""
    alike: dict[Hashable, list[int]] = {}
    for position, kind in enumerate(kinds):
        alike.setdefault(kind, []).append(position)
    return sorted(same[i : i + size] for same in alike.values() for i in range(0, len(same), size))


def filled(prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    """The rows of a batch: the prompts, and as many more of the first as make their number a multiple of `ROWS`."""
    rows = [list(prompt) for prompt in prompts]
    return rows + [rows[0]] * (-len(rows) % ROWS)


def worth_leaving(left: int, batch: int) -> bool:
    """Whether so few rows of a batch are still drawn that the others should leave it."""
    return -(-left // ROWS) * ROWS <= WORTH_LEAVING * batch


def filling(still: Sequence[int], batch: int) -> list[int]:
    """The rows ``still`` needed of a batch, and as many of the others as make their number a multiple of `ROWS`."""
    others = [i for i in range(batch) if i not in still]
    return [*still, *others[: -len(still) % ROWS]]


@torch.inference_mode()
def continuations(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    width: int,
    most: int,
    end: int,
    processors: Sequence[Processor],
    streamer: BaseStreamer | None = None,
) -> list[list[int]]:
    """For each prompt, padded to ``width``, the token ids drawn after it: at most ``most``, ``end`` and padding included.

    ``processors`` make the scores such that the best is what is drawn; those with a ``keep`` are told of rows that leave.
    ``streamer`` gets the first row's.
    """
    model = packed(model)
    rows = filled(prompts)
    ids = torch.tensor([[end] * (width - len(row)) + row for row in rows], device=model.device)  # (B, T)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=model.device)
    cache = chunked_cache(model)
    there = list(range(len(prompts)))
    drawn: list[list[int]] = [[] for _ in prompts]
    # It takes the place of the model's own meanwhile, which would fill in whatever is not stated here: a
    # repetition_penalty, for one.
    own = model.generation_config
    try:
        while there and len(drawn[there[0]]) < most:
            model.generation_config = GenerationConfig(
                do_sample=False,  # all of the drawing happens in the processors
                max_new_tokens=most - len(drawn[there[0]]),
                eos_token_id=end,
                pad_token_id=end,
            )
            before = ids.shape[1]
            with few_threads(model):
                ids = model.generate(  # type: ignore[operator]  # a mixin that mypy does not see
                    input_ids=ids,
                    attention_mask=mask,
                    logits_processor=LogitsProcessorList([_First(len(there), processors, end)]),
                    # Without a cache of its own what is known of the rows would be lost with a call.
                    stopping_criteria=StoppingCriteriaList([_Fewer(len(there), end)] if cache else []),
                    streamer=streamer and _FirstRow(streamer),
                    past_key_values=cache,
                )
            for row, tokens in zip(there, ids[:, before:].tolist(), strict=False):
                drawn[row] += tokens
            still = [i for i, row in enumerate(there) if end not in drawn[row]]
            there = [there[i] for i in still]
            if not still or cache is None:
                break
            for processor in processors:
                if isinstance(processor, RowProcessor):
                    processor.keep(still)
            kept = torch.tensor(filling(still, len(ids)), device=ids.device)
            mask = torch.cat([mask, mask.new_ones(len(ids), ids.shape[1] - before)], dim=1)[kept]
            ids = ids[kept]
            cache.batch_select_indices(kept)
    finally:
        model.generation_config = own
    return drawn


class _First(LogitsProcessor):
    """Leaves the first ``n`` rows to ``processors`` and ends the others, which only fill the batch."""

    def __init__(self, n: int, processors: Sequence[Processor], end: int) -> None:
        self.n, self.processors, self.end = n, processors, end

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        own = scores[: self.n]
        for processor in self.processors:
            own = processor(input_ids[: self.n], own)  # type: ignore[arg-type]
        if self.n == len(scores):
            return own  # type: ignore[return-value]
        rest = torch.full_like(scores[self.n :], -torch.inf, dtype=own.dtype)
        rest[:, self.end] = 0
        return torch.cat([own, rest])  # type: ignore[return-value]


class _Fewer(StoppingCriteria):
    """Stops as soon as enough of the first ``n`` rows have ended for the batch to become a smaller one."""

    def __init__(self, n: int, end: int) -> None:
        self.n, self.end = n, end

    def __call__(
        self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **_: object
    ) -> torch.BoolTensor:
        left = int((input_ids[: self.n, -1] != self.end).sum())
        return torch.full(  # type: ignore[return-value]
            (len(input_ids),), worth_leaving(left, len(input_ids)), device=input_ids.device
        )


class _FirstRow(BaseStreamer):
    """Hands on what is the first row's."""

    def __init__(self, streamer: BaseStreamer) -> None:
        self.streamer = streamer

    def put(self, value: torch.Tensor) -> None:
        self.streamer.put(value[:1])

    def end(self) -> None:
        self.streamer.end()
