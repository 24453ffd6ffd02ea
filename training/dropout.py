"""Dropout on what attention and feed-forward add to the residual stream, which many model classes have none for.

Decides nothing about where it pays; `training.finetune` puts it on.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional

ENDS = ("o_proj", "down_proj", "c_proj", "dense", "dense_4h_to_h")
"""Names of the last layer of attention and feed-forward: Llama, Qwen, Gemma; GPT-2; GPT-NeoX."""


@contextmanager
def dropped(model: nn.Module, share: float) -> Iterator[None]:
    """Meanwhile ``model`` drops a ``share`` (0 to 1) of them in training; 0 leaves it alone."""

    def drop(module: nn.Module, _: object, out: torch.Tensor) -> torch.Tensor:
        return functional.dropout(out, share, module.training)

    modules = [module for name, module in model.named_modules() if name.rpartition(".")[2] in ENDS]
    hooks = [module.register_forward_hook(drop) for module in modules] if share else []
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
