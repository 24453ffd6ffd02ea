"""A key-value cache that grows by chunks, for sampling on a CPU.

transformers' own grows by one token at a time and copies all it holds at every step, which on a CPU with a small model
was 71 % of the time of sampling (LAB.md, 2026-11-20). Same values, same shapes as far as the model sees. Full attention only:
where a model has layers of another kind, transformers' own cache is used.
"""

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

CHUNK = 256
"""Tokens by which a layer's room grows."""


class ChunkedLayer(DynamicLayer):
    """Keys and values (B, H, T, D) as views of a buffer with room for more tokens.

    Serves sampling alone: whatever replaces ``keys`` from outside (beam search, cropping) would leave
    the buffer behind.
    """

    _room: torch.Tensor | None = None  # (2, B, H, capacity, D)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append (B, H, t, D) states and return all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        before = self.get_seq_length()
        after = before + key_states.shape[-2]
        if self._room is None or after > self._room.shape[-2]:
            batch, heads, _, width = key_states.shape
            room = key_states.new_empty(2, batch, heads, (after // CHUNK + 1) * CHUNK, width)
            if self._room is not None:
                room[..., :before, :] = self._room[..., :before, :]
            self._room = room
        self._room[0, :, :, before:after] = key_states
        self._room[1, :, :, before:after] = value_states
        self.keys, self.values = self._room[0, :, :, :after], self._room[1, :, :, :after]
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Go on with the rows ``indices`` (N,) alone."""
        if self._room is not None:
            self._room, length = self._room[:, indices], self.get_seq_length()
            self.keys, self.values = self._room[0, :, :, :length], self._room[1, :, :, :length]


def chunked_cache(model: PreTrainedModel) -> DynamicCache | None:
    """A fresh cache for one call of ``model.generate``; None where transformers' own is to be used."""
    if model.device.type != "cpu" or not has_full_attention(model):
        return None
    cache = DynamicCache(config=model.config)
    cache.layers = [ChunkedLayer() for _ in cache.layers]
    return cache


def has_full_attention(model: PreTrainedModel) -> bool:
    """Whether all layers of ``model`` see the whole text."""
    if not model._supports_default_dynamic_cache():  # type: ignore[operator]
        return False
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)
