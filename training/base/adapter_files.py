"""The files of an adapter: written in bfloat16 as peft reads them, read back, and written whole or not at all. Trains nothing."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from data import atomic
from data.adapted import ADAPTER_FILES

ADAPTER_CONFIG, ADAPTER = ADAPTER_FILES


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to write into, which then takes the place of ``folder``; after an error it is removed."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        for file in partial.iterdir():
            file.chmod(0o644)  # safetensors writes for the owner alone
        atomic.replace_folder(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def write_adapter(model: Any, folder: Path, base: str) -> None:
    """Write the adapter of ``model`` into ``folder`` in bfloat16, with the configuration that peft loads it by.

    base: what the adapter belongs to, as a configuration names it. The path of this machine's copy is left out.
    """
    settings = replace(model.peft_config["default"], base_model_name_or_path=base, inference_mode=True)
    # peft has the layers in a set, whose order is another one each time.
    plain = {
        key: sorted(value) if isinstance(value, set) else value for key, value in settings.to_dict().items()
    }
    atomic.write_json(folder / ADAPTER_CONFIG, plain)
    tensors = {
        name.replace(".default.", "."): p.detach().to("cpu", torch.bfloat16).contiguous()
        for name, p in model.named_parameters()
        if p.requires_grad
    }
    save_file(tensors, folder / ADAPTER, metadata={"format": "pt"})


def read_adapter(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what `write_adapter` wrote: the weights by the names that they have in a model, and the settings."""
    try:
        tensors = load_file(folder / ADAPTER)
        settings: dict[str, Any] = json.loads((folder / ADAPTER_CONFIG).read_text("utf-8"))
    except (OSError, ValueError, SafetensorError) as error:
        raise ValueError(
            f"there is no adapter in {folder} ({error}); name a folder with {ADAPTER}"
        ) from error
    weights = {
        name.replace(".lora_A.", ".lora_A.default.").replace(".lora_B.", ".lora_B.default."): tensor.float()
        for name, tensor in tensors.items()
    }
    return weights, settings
