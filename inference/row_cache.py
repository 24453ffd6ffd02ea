"""Keys and values of rows that stand at different places: each row is as long as its own text, and nothing lies between its tokens.

A row's token t lies at place t of its own, whatever the other rows hold. So what a row gets depends on nothing but the row: a
prompt is read alone, and one step takes one token of every row. Rows are copied from one another, in part or whole, which is how
several continuations of one text share what they have in common. Draws nothing and knows no text.
"""

from collections.abc import Sequence

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer

from inference.cache import CHUNK, has_full_attention
from inference.packed_weights import ATTENTION, WHOLE


class RowCache:
    """A model, and the keys and values of ``rows`` texts that it is in the midst of.

    model: full attention in all layers. rows: how many there are, a multiple of four for the same rounding at any number
    (`inference.rows`). Raises ValueError for a model with layers of another kind.
    """

    def __init__(self, model: PreTrainedModel, rows: int) -> None:
        if not takes_rows(model):
            raise ValueError(
                'this model has layers without full attention (sdpa): stories can\'t be told from beats with it; use plan="none"'
            )
        self.model, self.lengths = model, [0] * rows
        """Tokens of each row."""
        self._layers = [_RowLayer(rows) for _ in DynamicCache(config=model.config).layers]
        self._cache = Cache(layers=list(self._layers))

    @torch.inference_mode()
    def read(self, row: int, tokens: Sequence[int]) -> torch.Tensor:
        """Add ``tokens`` to a row and return what may follow them: the scores (V,) of the next token."""
        start, count = self.lengths[row], len(tokens)
        places = torch.arange(start, start + count, device=self.model.device)
        within = torch.arange(start + count, device=self.model.device) <= places[:, None]  # (t, T)
        scores = self._run([row], torch.tensor([list(tokens)]), places[None], within[None, None])
        self.lengths[row] += count
        return scores[0]

    @torch.inference_mode()
    def step(self, tokens: Sequence[int | None]) -> torch.Tensor:
        """Add one token to every row and return the scores (B, V) of the next ones; a row whose token is None stays as it is."""
        places = torch.tensor(self.lengths, device=self.model.device)[:, None]  # (B, 1)
        width = (
            -(-(max(self.lengths) + 1) // WHOLE) * WHOLE
        )  # what is masked behind a row does not change how it is rounded
        within = torch.arange(width, device=self.model.device) <= places  # (B, T)
        ids = torch.tensor([[token or 0] for token in tokens])
        scores = self._run(list(range(len(tokens))), ids, places, within[:, None, None])
        for row, token in enumerate(tokens):
            self.lengths[row] += token is not None
        return scores

    @torch.inference_mode()
    def copy(self, source: int, rows: Sequence[int], start: int = 0) -> None:
        """Let ``rows`` be as the row ``source`` is; up to place ``start`` they are so already."""
        targets, end = [row for row in rows if row != source], self.lengths[source]
        for layer in self._layers:
            layer.copy(source, targets, start, end)
        for row in targets:
            self.lengths[row] = end

    def cut(self, row: int, length: int) -> None:
        """Forget what a row has beyond ``length`` tokens."""
        self.lengths[row] = min(length, self.lengths[row])

    @torch.inference_mode()
    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these of the present rows alone, in this order."""
        index = torch.tensor(list(rows), device=self.model.device)
        for layer in self._layers:
            layer.keep(index)
        self.lengths = [self.lengths[row] for row in rows]

    def _run(
        self, rows: list[int], ids: torch.Tensor, places: torch.Tensor, within: torch.Tensor
    ) -> torch.Tensor:
        for layer in self._layers:
            layer.at(rows, places, within.shape[-1])
        scores: torch.Tensor = self.model(
            input_ids=ids.to(self.model.device),
            position_ids=places,
            attention_mask=within,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        return scores


def takes_rows(model: PreTrainedModel) -> bool:
    """Whether all layers of ``model`` have full attention, by torch's own or a twin's, which is what a `RowCache` serves."""
    # These take a mask of yes and no.
    own = getattr(model.config, "_attn_implementation", None) in ("sdpa", ATTENTION)
    return own and has_full_attention(model)


class _RowLayer(DynamicLayer):
    """Keys and values of one layer; where the next go is said beforehand."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self._rows = rows
        self._room: torch.Tensor | None = None  # (2, B, H, capacity, D)
        self._at: tuple[list[int], torch.Tensor, int] = ([], torch.empty(0), 0)

    def at(self, rows: list[int], places: torch.Tensor, used: int) -> None:
        """The next states are of ``rows``, at ``places`` (b, t); ``used`` places of them are looked at."""
        self._at = (rows, places, used)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Put (b, H, t, D) states where they go and return all of these rows as far as they are used."""
        rows, places, used = self._at
        room = self._grown(used, key_states)
        if len(rows) == 1:
            start = int(places[0, 0])
            own = room[:, rows[0] : rows[0] + 1, :, :used]
            own[0, :, :, start:], own[1, :, :, start:] = key_states, value_states
        else:
            row = torch.arange(len(rows), device=room.device)
            room[0, row, :, places[:, 0]] = key_states[:, :, 0]
            room[1, row, :, places[:, 0]] = value_states[:, :, 0]
            own = room[:, :, :, :used]
        return own[0], own[1]

    def get_seq_length(self) -> int:
        """Return 0: places and masks are given with each call."""
        return 0

    def copy(self, source: int, targets: Sequence[int], start: int, end: int) -> None:
        """Copy places ``start`` to ``end`` of a row into others."""
        if self._room is not None:
            for row in targets:
                self._room[:, row, :, start:end] = self._room[:, source, :, start:end]

    def keep(self, index: torch.Tensor) -> None:
        """Go on with these rows alone."""
        self._rows = len(index)
        if self._room is not None:
            self._room = self._room[:, index]

    def _grown(self, used: int, like: torch.Tensor) -> torch.Tensor:
        """The room, with place for ``used`` tokens a row."""
        if self._room is None or used > self._room.shape[3]:
            # Zeros: what is not yet written is masked, but must be a number.
            room = like.new_zeros(2, self._rows, like.shape[1], -(-used // CHUNK) * CHUNK, like.shape[3])
            if self._room is not None:
                room[:, :, :, : self._room.shape[3]] = self._room
            self._room = room
        return self._room
