"""What a pretraining keeps of its weights on the disk: tensors of a checkpoint, and the model folder that it becomes.

Neither trains nor decides when something is written; `training.pretrain.loop` and `training.pretrain.average` do.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

TENSORS = "tensors.safetensors"

AVERAGE = "average."
"""What the names of the averaged weights begin with in a checkpoint."""


def read_tensors(checkpoint: Path, do: str) -> dict[str, torch.Tensor]:
    """All tensors of the folder ``checkpoint``; ValueError that says what to ``do`` where they are damaged."""
    try:
        return load_file(checkpoint / TENSORS)
    except SafetensorError as error:
        raise ValueError(f"{checkpoint} is damaged ({error}): {do}") from error


def write_model(
    config: Qwen3Config, weights: Mapping[str, torch.Tensor], tokenizer: Any, folder: Path
) -> None:
    """Write ``weights`` (by parameter, embeddings tied) into ``folder`` as a model in bfloat16, with its tokenizer."""
    model = Qwen3ForCausalLM(config)
    model.load_state_dict({**weights, "lm_head.weight": weights["model.embed_tokens.weight"]})
    model.to(torch.bfloat16)  # type: ignore[arg-type]  # transformers types `to` as if it took a model
    end = tokenizer.eos_token_id
    model.generation_config = GenerationConfig(bos_token_id=end, eos_token_id=end, pad_token_id=end)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
