"""The mean of several trainings' weights as one model: branches or later states of one training, of other mixes or seeds.

Their mean may cost less on held-out text than each of them (Wortsman et al. 2022, arXiv 2203.05482), as long as they come from the
same weights not long ago. Does not train, and does not say which go together; `training.pretrain.base_eval` does.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoTokenizer, Qwen3Config

from data import atomic
from training.pretrain.weights import AVERAGE, TENSORS, read_tensors, write_model


def average(trainings: Sequence[Path], out: Path) -> Path:
    """Write the equal mean of the averaged weights of ``trainings`` (folders with a checkpoint) as a model folder in bfloat16.

    Configuration and tokenizer are those of the first one that has come to its end; that the others have the same tokenizer is not
    checked. Raises ValueError for fewer than two trainings or one twice, a checkpoint that is missing, damaged or of another shape,
    where none has come to its end, and where ``out`` exists.
    """
    if len({folder.resolve() for folder in trainings}) < max(2, len(trainings)):
        raise ValueError(
            f"a mean is of two trainings or more, each once, found {', '.join(map(str, trainings))}: name the others too"
        )
    if out.exists():
        raise ValueError(f"{out} exists already: choose another folder, or remove it")
    for folder in trainings:  # what an interruption left half replaced
        atomic.recover_folder(folder / "checkpoint")
        atomic.recover_folder(folder / "model")
    if missing := [str(folder) for folder in trainings if not (folder / "checkpoint" / TENSORS).exists()]:
        raise ValueError(
            f"no checkpoint in {', '.join(missing)}: name folders of trainings, as runs/base-cpu"
        )
    ended = next((folder / "model" for folder in trainings if (folder / "model").exists()), None)
    if ended is None:
        raise ValueError(f"none of {', '.join(map(str, trainings))} has come to its end: finish one of them")
    first, *others = map(_averaged, trainings)
    for folder, weights in zip(trainings[1:], others, strict=True):
        if {n: w.shape for n, w in weights.items()} != {n: w.shape for n, w in first.items()}:
            raise ValueError(f"{folder} has another shape than {trainings[0]}: only like goes with like")
    mean = {name: torch.stack([w[name] for w in (first, *others)]).mean(0) for name in first}
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    tokenizer = AutoTokenizer.from_pretrained(ended, local_files_only=True)
    write_model(Qwen3Config.from_pretrained(ended, local_files_only=True), mean, tokenizer, partial)
    atomic.replace_folder(partial, out)
    return out


def _averaged(training: Path) -> dict[str, torch.Tensor]:
    """The averaged weights of its checkpoint, float32."""
    tensors = read_tensors(training / "checkpoint", "leave that training out, or begin it anew")
    return {n.removeprefix(AVERAGE): tensor for n, tensor in tensors.items() if n.startswith(AVERAGE)}
