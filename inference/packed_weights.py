"""A twin of a model for drawing on a CPU: each weight is laid out once as oneDNN reads it best.

A step of drawing multiplies few rows by all weights. torch's own product reads them as they lie, which is slow for few rows on AMD
processors above all: a step of four rows takes 1.8 times as long, one of 32 rows 1.2 times (LAB.md). And oneDNN rounds a row
alike whatever number of rows lies beside it. Attention of single tokens is worked out plainly: torch's own gives each thread a part
of the rows and a buffer of its own, and rounding depends on that buffer. The twin shares all parameters and buffers of the model. Nothing
of the model is changed, so that other threads may use it meanwhile. torch's compiler uses the same two functions (`torch.ops.mkldnn`).
"""

import copy
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from inference.decoding import SMALL

ROWS = 16
"""Rows that the layout is made for; it serves any number."""

WHOLE = 64
"""Keys come in multiples of this where rows are at places of their own (`inference.row_cache`)."""

ATTENTION = "plain_for_single_tokens"
"""Name of the twin's attention in transformers."""


def packed(model: PreTrainedModel) -> PreTrainedModel:
    """Make a twin of a model that multiplies by packed weights.

    model: drawn from. Returns ``model`` itself where it lies on a card, is not float32 or has less than `SMALL` parameters, where
    calls take longer than products, and where torch comes without oneDNN. The packed copies of the linear layers come on top of the
    model's own weights, for as long as the twin is there. Hooks on linear layers do not run in a twin.
    """
    if not _worth_packing(model):
        return model
    shared: dict[int, Any] = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    twin = copy.deepcopy(model, shared)
    # Models that ask for "sdpa" by name in their own code keep theirs.
    if twin.config._attn_implementation == "sdpa" and type(twin)._can_set_attn_implementation():
        twin.config._attn_implementation = ATTENTION
    for module in list(twin.modules()):
        for name, layer in module.named_children():
            if isinstance(layer, nn.Linear):
                setattr(module, name, _PackedLinear(layer))
    return twin


def _worth_packing(model: PreTrainedModel) -> bool:
    return (
        model.device.type == "cpu"
        and model.dtype == torch.float32
        and model.num_parameters() >= SMALL
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )


class _PackedLinear(nn.Module):
    """A linear layer by its packed weight."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self._packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), ROWS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, self.bias, "none", [], "")
        return found


def plain_for_single_tokens(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention function: (B, H, T, D), of keys and values a whole fraction of the H, to (B, T, H, D).

    By plain products where there is one query, a mask of yes and no or none, and a whole multiple of `WHOLE` keys, else by torch's own.
    With another number of keys the places of the rows differ in how they lie in memory, and that decides a rounding too.
    """
    plain = (
        query.shape[-2] == 1
        and key.shape[-2] % WHOLE == 0
        and (attention_mask is None or attention_mask.dtype == torch.bool)
        and not kwargs.get("dropout")
        and kwargs.get("position_bias") is None
        and kwargs.get("softcap") is None
    )
    if not plain or scaling is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    batch, heads, _, width = query.shape
    # The queries of one head of keys together.
    asked = (query * scaling).reshape(batch, key.shape[1], -1, width)
    scores = torch.matmul(asked, key.transpose(-2, -1))
    if attention_mask is not None:
        scores.masked_fill_(~attention_mask, -torch.inf)
    found = torch.matmul(torch.softmax(scores, dim=-1), value).view(batch, heads, 1, -1)
    return found.transpose(1, 2).contiguous(), None


AttentionInterface.register(ATTENTION, plain_for_single_tokens)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
