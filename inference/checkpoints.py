"""Loads a model with its tokenizer from whatever a user calls a model, onto the best device, in the best type.

safetensors only, no code from a model folder, no network but for a hub id. Does not sample or score.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging as transformers_logging

from data.bases import DEFAULT, Base, resolve
from data.dataset import special_ids
from inference.runs import Run, is_run

SMALL_FILES = 128 * 2**20
"""Bytes of weight files under which a model counts as small."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A model ready to use. ``context`` in tokens; ``run`` is set when it came from a run directory."""

    model: PreTrainedModel
    tokenizer: Any
    id: str
    context: int
    run: Run | None = None

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.model.device


def best_device() -> str:
    """ "cuda", "mps" or "cpu", in this order of preference."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def best_dtype(device: str) -> torch.dtype:
    """bfloat16 where the hardware multiplies it natively, else float32.

    A CPU without AVX512-BF16 or AMX emulates bfloat16 and is slower for it.
    """
    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if device == "cpu" and torch.backends.mkldnn.is_available() and torch.cpu._is_avx512_bf16_supported():
        return torch.bfloat16
    return torch.float32


def sampling_dtype(base: Base, device: str) -> torch.dtype:
    """`best_dtype`, but float32 for a small model on a CPU: there a step costs what its attention costs, and torch's
    for one query is several times slower in bfloat16 (LAB.md)."""
    small = base.weight_bytes() < SMALL_FILES
    return torch.float32 if device == "cpu" and small else best_dtype(device)


def load(
    source: "str | Path | Checkpoint | PreTrainedModel",
    *,
    revision: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
) -> Checkpoint:
    """The model behind ``source``, in evaluation mode.

    ``source`` is a run directory, a model folder, "stories", "smollm2", "tiny", a hub id, or a model that is
    loaded already (its tokenizer is then read from where the model came from). ``dtype`` is "auto", "float32" or "bfloat16"; "auto" is
    what samples fastest. The last two checkpoints are kept, so that calling twice does not load twice.

    Raises ValueError when there is no such model, its files are damaged, or it has no end-of-text token.
    """
    if isinstance(source, Checkpoint):
        return source
    if isinstance(source, PreTrainedModel):
        base = resolve(str(source.name_or_path))
        return Checkpoint(source.eval(), base.tokenizer(), base.id, base.context())
    if dtype != "auto" and dtype not in DTYPES:
        raise ValueError(f"unknown dtype {dtype!r}: choose auto, {' or '.join(DTYPES)}")
    device = best_device() if device == "auto" else device
    run = Run.open(source) if is_run(source) else None
    base = resolve(run.model_folder if run else source, revision)
    if run:
        run.check_model(base)
    torch_dtype = sampling_dtype(base, device) if dtype == "auto" else DTYPES[dtype]
    return _load(base, base.sha256(), run, torch_dtype, device)


@lru_cache(maxsize=2)
def _load(base: Base, sha256: str, run: Run | None, dtype: torch.dtype, device: str) -> Checkpoint:
    # sha256 is part of the key alone: a folder whose weights were replaced is loaded anew.
    tokenizer = base.tokenizer()
    special_ids(tokenizer)  # a model that could never end a text is refused here
    model = load_weights(base, dtype)
    model.to(device).eval()  # type: ignore[arg-type]  # transformers types `to` as if it took a model
    return Checkpoint(model, tokenizer, str(run.path) if run else base.id, base.context(), run)


def load_weights(base: Base, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """A fresh copy of the base's weights on the CPU, for training or for use."""
    transformers_logging.disable_progress_bar()  # two seconds at most for what is loaded here; a bar is only noise
    if base.untrained:
        return _untrained(base, dtype)
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            base.path,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except Exception as error:
        raise ValueError(
            f"the model in {base.path} can't be loaded ({type(error).__name__}: {error}). Copy or fetch it anew, or use base: {DEFAULT}"
        ) from error
    model: PreTrainedModel = loaded[0]
    if missing := sorted(loaded[1]["missing_keys"]):
        # transformers would go on with random weights in their place.
        raise ValueError(
            f"the model in {base.path} is damaged: {len(missing)} weights are missing, such as {missing[0]}"
        )
    return model


def _untrained(base: Base, dtype: torch.dtype) -> PreTrainedModel:
    """Two layers of width 64 with the base's own vocabulary; always the same weights."""
    config = AutoConfig.from_pretrained(base.path, local_files_only=True)
    config.update({"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128, "head_dim": 32})
    config.update({"num_attention_heads": 2, "num_key_value_heads": 2})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.to(dtype)  # type: ignore[arg-type]
    return model
