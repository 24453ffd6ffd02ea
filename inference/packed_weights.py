"""A twin of a model for drawing on a CPU: each weight is laid out once as oneDNN reads it best.

A step of drawing multiplies few rows by all weights. torch's own product reads them as they lie, which is slow for few rows on AMD
processors above all: a step of four rows takes 1.8 times as long, one of 32 rows 1.2 times (LAB.md). And oneDNN rounds a row
alike whatever number of rows lies beside it. The twin shares all parameters and buffers of the model. Nothing of the model is changed, so
that other threads may use it meanwhile. torch's compiler uses the same two functions (`torch.ops.mkldnn`).
"""

import copy
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from inference.checkpoints import best_dtype
from inference.decoding import SMALL

ROWS = 16
"""Rows that the layout is made for; it serves any number."""


def packed(model: PreTrainedModel, attention: str | None = None) -> PreTrainedModel:
    """Make a twin of a model that multiplies by packed weights.

    model: drawn from. attention: name of the twin's attention in transformers, None for the model's own. Nothing is packed where the
    model lies on a card, has another number format than the processor multiplies, or less than `SMALL` parameters, where calls take
    longer than products, and where torch comes without oneDNN. Returns ``model`` itself where there is no other attention either.
    The packed copies of the linear layers come on top of the model's own weights, for as long as the twin is there. Hooks on linear
    layers do not run in a twin.
    """
    packs = worth_packing(model)
    if not packs and attention is None:
        return model
    shared: dict[int, Any] = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    twin = copy.deepcopy(model, shared)
    if attention is not None:
        twin.config._attn_implementation = attention
    if packs:
        for module in list(twin.modules()):
            for name, layer in module.named_children():
                if isinstance(layer, nn.Linear):
                    setattr(module, name, PackedLinear(layer))
    return twin


def worth_packing(model: PreTrainedModel) -> bool:
    """Whether `packed` packs the weights of ``model``."""
    return (
        model.device.type == "cpu"
        and model.dtype in (torch.float32, best_dtype("cpu"))
        and model.num_parameters() >= SMALL
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )


class PackedLinear(nn.Module):
    """A linear layer by its packed weight."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self._packed = pack(layer.weight.detach())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return times(x, self._packed, self.bias)


def pack(weight: torch.Tensor) -> torch.Tensor:
    """A weight (N, K) as `times` reads it."""
    found: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)
    return found


def times(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """``x`` (..., K) by a packed ``weight`` (N, K): (..., N)."""
    found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return found
