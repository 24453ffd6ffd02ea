"""Matrix products for drawing on a CPU: each weight is laid out once as oneDNN reads it best.

A step of drawing multiplies few rows by all weights. torch's own product reads them as they lie, which is slow for few rows on AMD
processors above all: a step of four rows takes 1.8 times as long, one of 32 rows 1.2 times (LAB.md). And oneDNN rounds a row
alike whatever number of rows lies beside it. Attention of single tokens is worked out plainly: torch's own gives each thread a part
of the rows and a buffer of its own, and rounding depends on that buffer. Nothing of the model is changed, so that other threads may use it
meanwhile: the products are exchanged in the calls of the own thread alone. torch's compiler uses the same two functions
(`torch.ops.mkldnn`).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from inference.decoding import SMALL

ROWS = 16
"""Rows that the layout is made for; it serves any number."""

WHOLE = 64
"""Keys come in multiples of this where rows are at places of their own (`inference.row_cache`)."""


@contextmanager
def packed_weights(model: PreTrainedModel) -> Iterator[None]:
    """Multiply by packed weights meanwhile, in this thread.

    model: drawn from. Its weights exist a second time meanwhile. Nothing happens for a model on a card, one whose weights are not
    float32, one of less than `SMALL` parameters, where calls take longer than products, and where torch comes without oneDNN.
    """
    if not _worth_packing(model):
        yield
        return
    with _Packed(model):
        yield


def _worth_packing(model: PreTrainedModel) -> bool:
    return (
        model.device.type == "cpu"
        and model.dtype == torch.float32
        and model.num_parameters() >= SMALL
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )


class _Packed(TorchFunctionMode):
    """Takes the products of ``model``'s linear layers over, and the attention of single tokens; all other calls go on as they are."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        pack = torch.ops.mkldnn._reorder_linear_weight
        self._packed = {
            id(layer.weight): pack(layer.weight.detach(), ROWS)
            for layer in model.modules()
            if isinstance(layer, nn.Linear)
        }

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        if func is functional.linear and not kwargs and (weight := self._packed.get(id(args[1]))) is not None:
            bias = args[2] if len(args) > 2 else None
            return torch.ops.mkldnn._linear_pointwise(args[0], weight, bias, "none", [], "")
        kwargs = kwargs or {}
        if func is functional.scaled_dot_product_attention and _is_plain(*args, **kwargs):
            return _attended(args[0], args[1], args[2], kwargs["attn_mask"], kwargs["scale"])
        return func(*args, **kwargs)


def _is_plain(
    query: torch.Tensor, key: torch.Tensor, *_: Any, attn_mask: Any = None, scale: Any = None, **other: Any
) -> bool:
    """Whether this is attention of single tokens: of few queries, by a mask of yes and no, without more to it. With another number
    of keys the places of the rows differ in how they lie in memory, and that decides a rounding too."""
    few = (
        query.shape[-2] < ROWS
        and key.shape[-2] % WHOLE == 0
        and attn_mask is not None
        and attn_mask.dtype == torch.bool
    )
    return few and scale is not None and not any(other.values())


def _attended(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, within: torch.Tensor, scale: float
) -> torch.Tensor:
    scores = torch.matmul(query * scale, key.transpose(-2, -1)).masked_fill_(~within, -torch.inf)
    return torch.matmul(torch.softmax(scores, dim=-1), value)
