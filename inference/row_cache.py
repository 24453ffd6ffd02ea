"""Keys and values of texts that have several continuations: what the continuations share lies in memory once.

Each text has a common part and as many rows as it has continuations. A row holds what its continuation has beyond the common part.
So a step, which takes one token of every row, reads the common part once for all rows of a text: on a CPU most of the time of
attention is reading (LAB.md; Hydragen, Juravsky et al. 2024, arXiv 2402.05099, does so on cards). Nothing lies between the tokens of a
row, and what a row gets depends on nothing but its own tokens. Draws nothing and knows no text.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import count as count_from
from typing import Any

import torch
from transformers import AttentionInterface, DynamicCache, PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from inference.cache import CHUNK, has_full_attention
from inference.packed_weights import packed
from inference.rows import ROWS
from inference.thin_differences import Thin, Tuned

WHOLE = 64
"""What a step looks at of texts and rows is a multiple of so many tokens."""

ATTENTION = "common_part_and_rows"
"""Name of the attention of a `RowCache` in transformers."""


class RowCache:
    """A model, and the keys and values of texts that it is in the midst of.

    model: full attention in all layers; the cache runs a twin of it (`inference.packed_weights`), which shares its weights. texts: how
    many there are. each: rows of a text. Row r belongs to text r // each. ``texts * each`` should be a multiple of four for the same
    rounding at any number (`inference.rows`). tuned: what other models add to ``model``, whose weights must be packed
    (`inference.thin_differences`); `clear` says which of them a text is of. Raises ValueError for a model with layers of another kind.
    """

    def __init__(self, model: PreTrainedModel, texts: int, each: int, tuned: Sequence[Thin] = ()) -> None:
        if not takes_rows(model):
            raise ValueError(
                "this model has layers without full attention, or an attention that can't be replaced: stories can't be told from beats "
                'with it; use plan="none"'
            )
        self.model, self.each = packed(model, ATTENTION), each
        self._tuned = Tuned(self.model, tuned) if tuned else None
        self._of = [0] * texts
        """Which model each text is of: 0 for ``model``, 1 for the first of those tuned."""
        self.common = [0] * texts
        """Tokens of each text's common part."""
        self.own = [0] * texts * each
        """Tokens of each row beyond the common part."""
        self._layers = [_Layer(texts, each) for _ in DynamicCache(config=model.config).layers]
        self._cache = Cache(layers=list(self._layers))

    @torch.inference_mode()
    def read(self, text: int, tokens: Sequence[int]) -> torch.Tensor:
        """Add ``tokens`` to the common part of a text and return what may follow them: the scores (V,) of the next token.

        The text's rows have nothing of their own afterwards.
        """
        start, count = self.common[text], len(tokens)
        places = torch.arange(start, start + count, device=self.model.device)
        within = torch.arange(start + count, device=self.model.device) <= places[:, None]  # (t, T)
        for layer in self._layers:
            layer.reading = (text, start)
        if self._tuned:
            self._tuned.begin([self._of[text]])
        scores = self._run(torch.tensor([list(tokens)]), places[None], within[None, None])
        self.common[text] += count
        self._forget(text)
        return scores[0]

    @torch.inference_mode()
    def step(self, tokens: Sequence[int | None]) -> torch.Tensor:
        """Add one token to every row and return the scores (B, V) of the next ones; a row whose token is None stays as it is."""
        device = self.model.device
        common, own = (torch.tensor(lengths, device=device) for lengths in (self.common, self.own))
        widths = [_whole(max(self.common)), _whole(max(self.own) + 1)]
        # What is masked behind a text or a row does not change how it is rounded.
        masks = [
            torch.arange(width, device=device) < lengths[:, None]
            for width, lengths in zip(widths, (common, own + 1), strict=True)
        ]
        for layer in self._layers:
            layer.reading, layer.places, layer.widths = None, own, (widths[0], widths[1])
        if self._tuned:
            self._tuned.begin([number for number in self._of for _ in range(self.each)])
        ids = torch.tensor([[token or 0] for token in tokens])
        places = (common.repeat_interleave(self.each) + own)[:, None]  # (B, 1)
        with _stepping(_Step(self._layers, masks[0], masks[1])) as step:
            scores = self._run(ids, places, masks[1][:, None, None])
        # Else what the rows have in common was not looked at: a model with an attention of its own.
        assert step.seen == len(self._layers), f"{step.seen} of {len(self._layers)} layers looked at all"
        for row, token in enumerate(tokens):
            self.own[row] += token is not None
        return scores

    @torch.inference_mode()
    def take(self, row: int, count: int) -> None:
        """Add the first ``count`` tokens of a row's own to the common part of its text, and forget all others of the text's rows."""
        text = row // self.each
        for layer in self._layers:
            layer.take(row, count, self.common[text])
        self.common[text] += count
        self._forget(text)

    def clear(self, text: int, model: int = 0) -> None:
        """Forget a text. The next one in its place is of the ``model`` of that number: 0 for the cache's own, 1 for the first tuned."""
        self.common[text], self._of[text] = 0, model
        self._forget(text)

    @torch.inference_mode()
    def keep(self, texts: Sequence[int]) -> None:
        """Go on with these of the present texts alone, in this order."""
        for layer in self._layers:
            layer.keep(list(texts))
        self.own = [self.own[text * self.each + row] for text in texts for row in range(self.each)]
        self.common = [self.common[text] for text in texts]
        self._of = [self._of[text] for text in texts]

    def _forget(self, text: int) -> None:
        self.own[text * self.each : (text + 1) * self.each] = [0] * self.each

    def _run(self, ids: torch.Tensor, places: torch.Tensor, within: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.model(
            input_ids=ids.to(self.model.device),
            position_ids=places,
            attention_mask=within,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        return scores


def texts_of_rows(texts: int, each: int) -> int:
    """How many texts a cache should have for so many of ``each`` rows: as many more as make all rows a multiple of `ROWS`."""
    return next(count for count in count_from(texts) if count * each % ROWS == 0)


def takes_rows(model: PreTrainedModel) -> bool:
    """Whether all layers of ``model`` have full attention that another can take the place of, which is what a `RowCache` serves."""
    own = getattr(model.config, "_attn_implementation", None) == "sdpa"
    # Models that ask for "sdpa" by name in their own code keep theirs.
    return own and type(model)._can_set_attn_implementation() and has_full_attention(model)


def _whole(count: int) -> int:
    return max(1, -(-count // WHOLE)) * WHOLE


class _Layer(DynamicLayer):
    """Keys and values of one layer; which of them the next states are is said beforehand."""

    def __init__(self, texts: int, each: int) -> None:
        super().__init__()
        self.reading: tuple[int, int] | None = None
        """The text that is read and its tokens so far; None in a step."""
        self.places: torch.Tensor = torch.empty(0)
        """Of each row in a step how many tokens of its own it has."""
        self.widths = (0, 0)
        """Tokens of the common parts and of the rows that a step looks at."""
        self._each = each
        self._common, self._own = _Room(texts, CHUNK), _Room(texts * each, WHOLE)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Put (b, H, t, D) states where they go. Returns all of the text that is read; in a step what the rows have of their own."""
        if self.reading:
            text, start = self.reading
            end = start + key_states.shape[2]
            room = self._common.grown(end, key_states)[:, text : text + 1]
            room[0, 0, :, start:end], room[1, 0, :, start:end] = key_states[0], value_states[0]
            return room[0, :, :, :end], room[1, :, :, :end]
        self._common.grown(self.widths[0], key_states)
        room = self._own.grown(self.widths[1], key_states)
        row = torch.arange(len(key_states), device=room.device)
        room[0, row, :, self.places] = key_states[:, :, 0]
        room[1, row, :, self.places] = value_states[:, :, 0]
        return room[0, :, :, : self.widths[1]], room[1, :, :, : self.widths[1]]

    def common(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values (texts, H, T, D) of the common parts, as far as a step looks at them."""
        assert self._common.states is not None
        return self._common.states[0, :, :, : self.widths[0]], self._common.states[1, :, :, : self.widths[0]]

    def get_seq_length(self) -> int:
        """Return 0: places and masks are given with each call."""
        return 0

    def take(self, row: int, count: int, start: int) -> None:
        """Copy the first ``count`` tokens of a row to the common part of its text, behind place ``start``."""
        if count and self._own.states is not None:
            own = self._own.states[:, row, :, :count]
            self._common.grown(start + count, own)[:, row // self._each, :, start : start + count] = own

    def keep(self, texts: list[int]) -> None:
        """Go on with these texts alone."""
        self._common.keep(texts)
        self._own.keep([text * self._each + row for text in texts for row in range(self._each)])


class _Room:
    """Keys and values (2, B, H, T, D) with room for more tokens."""

    def __init__(self, rows: int, chunk: int) -> None:
        self._rows, self._chunk = rows, chunk
        self.states: torch.Tensor | None = None

    def grown(self, used: int, like: torch.Tensor) -> torch.Tensor:
        """The states, with place for ``used`` tokens a row; ``like`` is (b, H, t, D)."""
        if self.states is None or used > self.states.shape[3]:
            # Zeros: what is not yet written is masked, but must be a number.
            room = like.new_zeros(
                2, self._rows, like.shape[1], -(-used // self._chunk) * self._chunk, like.shape[3]
            )
            if self.states is not None:
                room[:, :, :, : self.states.shape[3]] = self.states
            self.states = room
        return self.states

    def keep(self, rows: list[int]) -> None:
        """Go on with these rows alone."""
        self._rows = len(rows)
        if self.states is not None:
            self.states = self.states[:, rows]


@dataclass
class _Step:
    """What the attention of a step looks at besides the rows' own tokens."""

    layers: Sequence[_Layer]
    common: torch.Tensor
    """Which places of the common parts (texts, T) there are."""
    own: torch.Tensor
    """Which places of the rows (B, T) there are."""
    seen: int = 0
    """Layers that did."""


_STEP: ContextVar[_Step | None] = ContextVar("step", default=None)


@contextmanager
def _stepping(step: _Step) -> Iterator[_Step]:
    token = _STEP.set(step)
    try:
        yield step
    finally:
        _STEP.reset(token)


def common_part_and_rows(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """transformers' attention function: (B, H, T, D), of keys and values a whole fraction of the H, to (B, T, H, D).

    In a step of a `RowCache` there is one query a row, and ``key`` and ``value`` are of the rows' own tokens. All queries of a text
    meet its common part in one product. Elsewhere torch's own attention.
    """
    step = _STEP.get()
    if step is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    step.seen += 1
    keys, values = step.layers[module.layer_idx].common()
    (rows, heads, _, width), texts, groups = query.shape, len(keys), key.shape[1]
    # The queries of one head of keys together; scaling by default as torch's.
    asked = (query * (scaling or width**-0.5)).reshape(rows, groups, -1, width)
    of_text = asked.view(texts, -1, groups, heads // groups, width).transpose(
        1, 2
    )  # (texts, H, each, queries, D)
    shape = of_text.shape
    common = torch.matmul(of_text.reshape(texts, groups, -1, width), keys.transpose(-2, -1)).float()
    common.masked_fill_(~step.common[:, None, None], -torch.inf)
    own = (
        torch.matmul(asked, key.transpose(-2, -1)).float().masked_fill_(~step.own[:, None, None], -torch.inf)
    )

    def by_row(x: torch.Tensor) -> torch.Tensor:
        """(texts, H, each * queries, N) to (B, H, queries, N)."""
        return x.view(*shape[:-1], x.shape[-1]).transpose(1, 2).reshape(rows, groups, -1, x.shape[-1])

    def by_text(x: torch.Tensor) -> torch.Tensor:
        """The other way round."""
        return x.view(texts, -1, *x.shape[1:]).transpose(1, 2).reshape(texts, groups, -1, x.shape[-1])

    # One softmax over both: the largest is taken off, and the sums are added.
    largest = torch.maximum(by_row(common.amax(-1, keepdim=True)), own.amax(-1, keepdim=True))
    own = own.sub_(largest).exp_()
    common = common.sub_(by_text(largest)).exp_()
    total = by_row(common.sum(-1, keepdim=True)) + own.sum(-1, keepdim=True)
    found = by_row(torch.matmul(common.to(value.dtype), values)) + torch.matmul(own.to(value.dtype), value)
    return (found / total).to(query.dtype).reshape(rows, 1, heads, width), None


AttentionInterface.register(ATTENTION, common_part_and_rows)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
