"""Causal attention in bfloat16 for training on a CPU: matrix products by blocks instead of torch's fused kernel.

torch's CPU kernel spends more time on a training step's attention than on all its matrices together; plain products of
a block of queries with the keys before it are over twice as fast, and only the triangle that counts is worked out. Does
not do padding masks, dropout, caches or windows: `fits` says which models need none of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface, PreTrainedModel

BLOCK = 128
"""Queries at a time. Larger blocks work out more of the masked half, smaller ones make products too small to be fast."""


class _Causal(torch.autograd.Function):
    """softmax(q kᵀ / √D, causal) v, for (N, T, D) each; the probabilities of each block are kept for the way back."""

    @staticmethod
    def forward(ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        scale, out, kept = q.shape[-1] ** -0.5, torch.empty_like(q), []
        for start, stop in _blocks(q.shape[1]):
            mask = torch.full((stop - start, stop), -torch.inf, dtype=q.dtype).triu(1 + start)
            scores = torch.baddbmm(mask, q[:, start:stop], k[:, :stop].transpose(1, 2), alpha=scale)
            kept.append(scores.softmax(-1))
            out[:, start:stop] = kept[-1] @ v[:, :stop]
        ctx.save_for_backward(q, k, v, *kept)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, ...]:
        (grad,) = gradients
        q, k, v, *kept = ctx.saved_tensors
        scale, dq = q.shape[-1] ** -0.5, torch.empty_like(q)
        dk, dv = (torch.zeros_like(x, dtype=torch.float32) for x in (k, v))  # summed over blocks
        for (start, stop), chances in zip(_blocks(q.shape[1]), kept, strict=True):
            dv[:, :stop] += chances.transpose(1, 2) @ grad[:, start:stop]
            through = grad[:, start:stop] @ v[:, :stop].transpose(1, 2)
            scores = torch._softmax_backward_data(through, chances, -1, chances.dtype) * scale
            dq[:, start:stop] = scores @ k[:, :stop]
            dk[:, :stop] += scores.transpose(1, 2) @ q[:, start:stop]
        return dq, dk.to(k.dtype), dv.to(v.dtype)


def _blocks(length: int) -> list[tuple[int, int]]:
    return [(start, min(length, start + BLOCK)) for start in range(0, length, BLOCK)]


@torch.compiler.disable
def blocked_attention(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any
) -> tuple[torch.Tensor, None]:
    """transformers' attention function: (B, H, T, D), of keys and values a whole fraction of the H, to (B, T, H, D); causal,
    scaled by 1 / sqrt(D)."""
    batch, heads, length, width = query.shape
    if (queries := heads // key.shape[1]) > 1:  # that share a head of keys and values
        key, value = (x.repeat_interleave(queries, dim=1) for x in (key, value))
    flat = (x.to(torch.bfloat16).reshape(batch * heads, length, width) for x in (query, key, value))
    with torch.autocast(query.device.type, enabled=False):
        out = _Causal.apply(*flat)
    return out.view(batch, heads, length, width).transpose(1, 2).contiguous(), None


AttentionInterface.register("blocked", blocked_attention)


def fits(model: PreTrainedModel, device: str, dtype: torch.dtype) -> bool:
    """Whether a training of ``model`` in ``dtype`` is what this attention is for."""
    config = model.config
    return (
        device == "cpu"
        and dtype == torch.bfloat16
        and config.model_type in ("qwen3", "llama")
        and not config.attention_dropout
        and not getattr(config, "use_sliding_window", False)
    )


@contextmanager
def attention(model: PreTrainedModel, name: str) -> Iterator[None]:
    """The attention called ``name`` meanwhile."""
    before = model.config._attn_implementation
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
