"""Several rows in one sequence without padding, each blind to the others: `packed` for transformers' attention interface.

A batch of rows of different lengths wastes products on padding. Here all tokens of a step stand in one row (1, T): whatever works
on single tokens runs once over all of them, and attention runs row by row. Does not do windows, sinks or attention dropout.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface

from data.dataset import IGNORE
from training.attention import blocked_attention


def pack(rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> dict[str, Any]:
    """One sequence of ``rows``, each its token ids and its labels: ``input_ids``, ``position_ids`` and ``labels`` (1, T), and
    ``lengths``, the tokens of each row.

    The labels are shifted: ``labels[0, t]`` is what comes after token t, `IGNORE` at the end of each row.

    >>> batch = pack([([5, 6, 7], [-100, 6, 7]), ([8, 9], [-100, 9])])
    >>> batch["position_ids"].tolist(), batch["labels"].tolist(), batch["lengths"]
    ([[0, 1, 2, 0, 1]], [[6, 7, -100, 9, -100]], [3, 2])
    """
    ids = [token for row, _ in rows for token in row]
    labels = [label for _, row in rows for label in (*row[1:], IGNORE)]
    positions = [position for row, _ in rows for position in range(len(row))]
    return {
        "input_ids": torch.tensor([ids]),
        "position_ids": torch.tensor([positions]),
        "labels": torch.tensor([labels]),
        "lengths": [len(row) for row, _ in rows],
    }


def packed_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    *,
    scaling: float | None = None,
    lengths: Sequence[int],
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention function: (1, H, T, D) to (1, T, H, D); causal within each of the rows of ``lengths``."""
    if (queries := query.shape[1] // key.shape[1]) > 1:  # that share a head of keys and values
        key, value = (x.repeat_interleave(queries, dim=1) for x in (key, value))
    rows = zip(*(x.split(list(lengths), dim=2) for x in (query, key, value)), strict=True)
    if (
        query.device.type == "cpu"
        and query.dtype == torch.bfloat16
        and scaling in (None, query.shape[-1] ** -0.5)
    ):
        out = [blocked_attention(module, q, k, v)[0].transpose(1, 2) for q, k, v in rows]
    else:
        attend = functional.scaled_dot_product_attention
        out = [attend(q, k, v, is_causal=True, scale=scaling) for q, k, v in rows]
    return torch.cat(out, dim=2).transpose(1, 2).contiguous(), None


AttentionInterface.register("packed", packed_attention)
