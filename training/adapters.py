"""LoRA adapters (Hu et al. 2021, arXiv 2106.09685) of a tuning: put on a model, and merged again from a folder. Does not train."""

import re
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from data.adapted import quiet_peft
from data.bases import Base
from data.model_cache import tensor_shapes
from training.config import TrainConfig


def with_new_adapter(model: PreTrainedModel, config: TrainConfig) -> Any:
    """``model`` with fresh adapters on its linear layers, as peft wraps it; they alone are trained. Raises ValueError where ``lora_layers``
    can't be kept to."""
    from peft import LoraConfig, get_peft_model

    below = frozen_layers(model, config)
    upper = [
        name
        for name, module in model.named_modules()
        if below and isinstance(module, torch.nn.Linear | Conv1D) and layer_of(name) >= below
    ]
    adapters = LoraConfig(
        task_type="CAUSAL_LM",
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,  # type: ignore[arg-type]  # peft multiplies by it; a float is as good
        lora_dropout=config.lora_dropout,
        target_modules=upper or "all-linear",
    )
    if config.gradient_checkpointing:
        model.enable_input_require_grads()  # else nothing upstream of the first adapter asks for a gradient
    with quiet_peft():
        return get_peft_model(model, adapters)


def layer_of(name: str) -> int:
    """Number of the layer, from 0 at the bottom, that a parameter or module belongs to by its name; -1 for none."""
    found = re.search(r"(?:^|\.)(?:layers|h)\.(\d+)\.", name)
    return int(found[1]) if found else -1


def frozen_layers(model: PreTrainedModel, config: TrainConfig) -> int:
    """How many of the lowest layers of ``model`` have no adapter and so stay as they are."""
    if not (config.lora_rank and config.lora_layers):
        return 0
    layers = 1 + max(layer_of(name) for name, _ in model.named_parameters())
    if not layers:
        raise ValueError(
            f"lora_layers: the layers of a model of kind {model.config.model_type} are not known; set lora_layers: 0, which takes all"
        )
    return max(0, layers - config.lora_layers)


def adapter_bytes(base: Base, config: TrainConfig) -> int:
    """Size of an adapter on the linear layers of ``base`` in float32, from the shapes of its weights."""
    matrices = {
        name: shape
        for name, shape in tensor_shapes(base.path).items()
        if len(shape) == 2 and not re.search("embed|lm_head|wte|wpe", name)
    }
    least = 1 + max(map(layer_of, matrices), default=0) - (config.lora_layers or len(matrices))
    return sum(
        4 * config.lora_rank * sum(shape) for name, shape in matrices.items() if layer_of(name) >= least
    )


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
