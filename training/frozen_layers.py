"""The lowest layers of a tuning that leaves them as they are: worked out once for each row, and kept.

Adapters on the uppermost layers alone leave the others as they were, in all folds alike. The folds show the same rows too
(`training.plan`), so most rows that a fold needs were worked out for an earlier one. Only rows that come alone are kept. Does nothing for
architectures that it was not made for.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from inference.cache import has_full_attention

ARCHITECTURES = ("llama", "qwen2", "qwen3", "mistral")
"""Kinds of model whose layers give one tensor, the next layer's input."""

MOST_BYTES = 2**28
"""What is kept at most; the oldest go first. A row of 800 tokens of the base stories takes 1.8 MB."""


class FrozenLayers:
    """What the lowest layers of one base make of the rows that they saw, by the rows' ids.

    most_bytes: how much of it is kept. One base and one number of layers at a time: others need another.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self.found = self.missed = 0
        """How often a row was known, and how often not."""
        self._kept: OrderedDict[bytes, torch.Tensor] = OrderedDict()
        self._bytes = 0

    @contextmanager
    def of(self, model: PreTrainedModel, count: int) -> Iterator[None]:
        """Meanwhile the lowest ``count`` layers of ``model`` run for rows alone that they did not see yet.

        model: on a CPU. Rows are known again where they come alone, and without an attention mask, a cache or places of their own;
        else everything runs as ever.
        """
        if not count or model.config.model_type not in ARCHITECTURES or not has_full_attention(model):
            yield
            return
        decoder: Any = model.get_decoder()
        lower = list(decoder.layers[:count])
        key: list[bytes | None] = [None]

        def remember(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            ids = kwargs.get("input_ids", args[0] if args else None)
            plain = not any(
                kwargs.get(name) is not None for name in ("attention_mask", "past_key_values", "position_ids")
            )
            # Several rows hardly ever come in the same company again.
            alone = isinstance(ids, torch.Tensor) and len(ids) == 1 and len(args) <= 1
            key[0] = _key(ids) if plain and alone and ids is not None else None

        def below(hidden: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
            def run() -> torch.Tensor:
                found = hidden
                for layer in lower:
                    found = type(layer).forward(layer, found, *args, **kwargs)
                return found

            return run() if key[0] is None else self._of(key[0], run)

        def above(hidden: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
            return hidden

        with ExitStack() as stack:
            stack.callback(decoder.register_forward_pre_hook(remember, with_kwargs=True).remove)
            for layer in lower:
                layer.forward = above if layer is not lower[0] else below
                stack.callback(delattr, layer, "forward")
            yield

    def _of(self, key: bytes, run: Callable[[], torch.Tensor]) -> torch.Tensor:
        """What is kept under ``key``, or else what ``run`` gives."""
        if key in self._kept:
            self.found += 1
            return self._kept[key]
        self.missed += 1
        # A tensor of inference mode could not be trained with later.
        with torch.inference_mode(False), torch.no_grad():
            found = self._kept[key] = run().clone()
        self._bytes += found.nbytes
        while len(self._kept) > 1 and self._bytes > self.most_bytes:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return found

    def forget(self) -> None:
        """Keep nothing any longer."""
        self._kept.clear()
        self._bytes = 0


def _key(ids: torch.Tensor) -> bytes:
    shape = repr(tuple(ids.shape)).encode()
    return hashlib.blake2b(shape + ids.cpu().numpy().tobytes(), digest_size=16).digest()
