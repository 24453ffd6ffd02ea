"""LoRA adapters (Hu et al. 2021, arXiv 2106.09685) of a tuning: put on a model, and merged again from a folder. Does not train."""

import re
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from data.adapted import quiet_peft
from data.bases import Base
from data.model_cache import tensor_shapes
from training.config import TrainConfig


def with_new_adapter(model: PreTrainedModel, config: TrainConfig) -> Any:
    """``model`` with a fresh adapter on every linear layer, as peft wraps it; the adapter alone is trained."""
    from peft import LoraConfig, get_peft_model

    adapters = LoraConfig(
        task_type="CAUSAL_LM",
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,  # type: ignore[arg-type]  # peft multiplies by it; a float is as good
        lora_dropout=config.lora_dropout,
        target_modules="all-linear",
    )
    if config.gradient_checkpointing:
        model.enable_input_require_grads()  # else nothing upstream of the first adapter asks for a gradient
    with quiet_peft():
        return get_peft_model(model, adapters)


def adapter_bytes(base: Base, rank: int) -> int:
    """Size of an adapter on every linear layer of ``base`` in float32, from the shapes of its weights."""
    matrices = [
        shape
        for name, shape in tensor_shapes(base.path).items()
        if len(shape) == 2 and not re.search("embed|lm_head|wte|wpe", name)
    ]
    return sum(4 * rank * (rows + columns) for rows, columns in matrices)


def with_adapter(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """``model`` with the adapter that peft saved in ``folder`` merged in: on a CPU, the very weights of the tuning that it is of.

    Raises ValueError for a damaged adapter.
    """
    from peft import PeftModel

    try:
        with quiet_peft():
            adapted: Any = PeftModel.from_pretrained(model, str(folder))
    except Exception as error:
        raise ValueError(f"the adapter in {folder} is damaged ({type(error).__name__}: {error})") from error
    merged: PreTrainedModel = adapted.merge_and_unload()
    return merged
