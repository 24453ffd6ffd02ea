"""The processes that train together, as `accelerate launch` or torchrun started them; without either, this one alone.

All run the same job on the same rows and come to the same decisions; the first alone writes to the user's folders. What no two
machines are sure to compute alike is agreed on. Starts no process.
"""

import atexit
import os
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import nn

T = TypeVar("T")


def count() -> int:
    """How many train together; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Return the number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_first() -> bool:
    """Whether this is the one that writes."""
    return rank() == 0


def join(on_cpu: bool) -> None:
    """Meet the others; nothing where there are none. Afterwards "cuda" means the card that is this process's own."""
    if count() > 1:
        from accelerate import PartialState

        state = PartialState(cpu=on_cpu)
        if on_cpu:
            # Gloo's threads may still hold tensors when the interpreter goes, which aborts an otherwise finished process. Cards
            # are left to themselves: there the leaving waits for the others, and after an error they may never come.
            atexit.register(state.destroy_process_group)


def agree(value: T) -> T:
    """The first process's ``value``, which must be picklable, in all of them."""
    if count() == 1:
        return value
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]


def anyone(flag: bool) -> bool:
    """Whether ``flag`` holds in any process."""
    if count() == 1:
        return flag
    from accelerate.utils import gather_object

    return any(gather_object([flag]))


def sum_up(parameters: "Sequence[nn.Parameter]", loss: "torch.Tensor | None", device: str) -> float:
    """Add up the gradients of ``parameters`` over all processes, in each of them, and return the sum of ``loss``.

    A process without a loss (None) has no gradients and adds nothing.
    """
    import torch

    value = torch.zeros((), device=device) if loss is None else loss.detach()
    if count() > 1:
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            torch.distributed.all_reduce(parameter.grad)
        torch.distributed.all_reduce(value)
    return float(value)


def wait() -> None:
    """Go on when all have come here."""
    if count() > 1:
        from accelerate import PartialState

        PartialState().wait_for_everyone()


def spread() -> bool:
    """Whether each process holds only a part of the weights (FSDP)."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() in {"1", "true"}


def gathered(model: "nn.Module", into: Any) -> Any:
    """``into`` with the weights of ``model``, which are spread, in every process."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    whole = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    into.load_state_dict(agree(whole))  # the first alone gets them
    return into
