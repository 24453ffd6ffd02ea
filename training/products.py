"""Matrix products of LoRA adapters for training in float32 on a CPU.

One wide product takes the place of three and a sum: the product of an adapter's two narrow matrices is added to the frozen weight
first, which costs next to nothing beside the tokens of a step. On AMD processors, where torch's MKL is slow, NumPy's OpenBLAS
multiplies, a share of the rows in each thread (LAB.md has figures). Same function, other rounding. Does nothing for cards or for
bfloat16, where the sum would lose digits.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft.tuners.lora import Linear
from threadpoolctl import threadpool_limits
from torch import nn

_times: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = torch.matmul
"""What multiplies (M, K) by (K, N) at present."""


def is_amd() -> bool:
    """Whether this machine's processor is AMD's, as far as Linux says."""
    try:
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return False


@contextmanager
def numpy_products() -> Iterator[None]:
    """Meanwhile NumPy multiplies for the functions of this module, in as many threads as torch has."""
    global _times  # noqa: PLW0603  one training at a time
    parts = torch.get_num_threads()
    with ThreadPoolExecutor(max(1, parts - 1)) as pool, threadpool_limits(1, "blas"):

        def times(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            left, right = a.detach().numpy(), b.detach().numpy()
            out = np.empty((len(left), right.shape[1]), np.float32)
            borders = [len(left) * i // parts for i in range(parts + 1)]
            own, *others = [slice(*pair) for pair in pairwise(borders)]
            jobs = [pool.submit(np.matmul, left[rows], right, out[rows]) for rows in others]
            np.matmul(left[own], right, out[own])
            for job in jobs:
                job.result()
            return torch.from_numpy(out)

        before, _times = _times, times
        try:
            yield
        finally:
            _times = before


class _Frozen(torch.autograd.Function):
    """x Wᵀ for x (T, K) and a weight W (N, K) that is not trained."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(weight)
        return _times(x, weight.T)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        return _times(gradients[0], weight) if ctx.needs_input_grad[0] else None, None


class _Adapted(torch.autograd.Function):
    """x (W + scale B A)ᵀ for x (T, K) and W (N, K), of which A (R, K) and B (N, R) are trained."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, down: torch.Tensor, up: torch.Tensor, scale: float
    ) -> torch.Tensor:
        whole = torch.addmm(weight, up, down, alpha=scale)
        ctx.save_for_backward(x, whole, down, up)
        ctx.scale = scale
        return _times(x, whole.T)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (grad,) = gradients
        x, whole, down, up = ctx.saved_tensors
        of_down = _times(_times(grad, up).T, x).mul_(ctx.scale)
        of_up = _times(grad.T, _times(x, down.T)).mul_(ctx.scale)
        return _times(grad, whole) if ctx.needs_input_grad[0] else None, None, of_down, of_up, None


def frozen_product(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """``x`` (T, K) times the transposed ``weight`` (N, K), which gets no gradient."""
    out: torch.Tensor = _Frozen.apply(x, weight.detach())
    return out


def _frozen_forward(layer: nn.Linear, x: torch.Tensor) -> torch.Tensor:
    return frozen_product(x.reshape(-1, x.shape[-1]), layer.weight).view(*x.shape[:-1], len(layer.weight))


def _forward(layer: Linear, x: torch.Tensor) -> torch.Tensor:
    (name,) = layer.active_adapters
    out: torch.Tensor = _Adapted.apply(
        x.reshape(-1, x.shape[-1]),
        layer.get_base_layer().weight.detach(),  # type: ignore[operator]  # a parameter, which torch types as a module too
        layer.lora_A[name].weight,
        layer.lora_B[name].weight,
        layer.scaling[name],
    )
    return out.view(*x.shape[:-1], -1)


@contextmanager
def wide_products(model: nn.Module) -> Iterator[None]:
    """Meanwhile the linear layers of ``model`` run by these products; those with a bias, with dropout or with other trained weights
    stay as they are."""
    adapted = [
        module
        for module in model.modules()
        if isinstance(module, Linear)
        and module.get_base_layer().bias is None
        and not module.get_base_layer().weight.requires_grad
        and all(isinstance(dropout, nn.Identity) for dropout in module.lora_dropout.values())
    ]
    inside = {
        id(part) for module in model.modules() if isinstance(module, Linear) for part in module.modules()
    }
    frozen = [
        module
        for module in model.modules()
        if is_amd()
        and type(module) is nn.Linear
        and id(module) not in inside
        and module.bias is None
        and not module.weight.requires_grad
    ]
    with ExitStack() as stack:
        if is_amd():
            stack.enter_context(numpy_products())
        for layers, forward in ((adapted, _forward), (frozen, _frozen_forward)):
            for layer in layers:
                layer.forward = forward.__get__(layer)
                stack.callback(delattr, layer, "forward")
        yield
