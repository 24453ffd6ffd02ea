"""The mean of several trainings' weights as one model: branches or later states of one training, of other mixes or seeds.

Their mean may cost less on held-out text than each of them (Wortsman et al. 2022, arXiv 2203.05482), as long as they come from the
same weights not long ago; and so may a training with a share of the weights that it began from (the same, arXiv 2109.01903). Does
not train, and does not say which go together; `training.pretrain.base_eval` does.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from transformers import AutoTokenizer, Qwen3Config

from data import atomic
from data.bases import resolve
from inference.checkpoints import load_weights
from training.pretrain.weights import AVERAGE, TENSORS, read_tensors, write_model

Weights = Mapping[str, torch.Tensor]


def average(trainings: Sequence[Path], out: Path, *, keep: float = 0.0, base: str | None = None) -> Path:
    """Write the equal mean of the averaged weights of ``trainings`` (folders with a checkpoint) as a model folder in bfloat16.

    With ``keep`` (0 to below 1) that share of the result is ``base``'s ("embedded" or a model folder: what the trainings began from),
    and one training is enough.
    Configuration and tokenizer are those of the first one that has come to its end; that the others have the same tokenizer is not
    checked. Raises ValueError for fewer than two sets of weights or one twice, a checkpoint that is missing, damaged or of another shape,
    where none has come to its end, and where ``out`` exists.
    """
    if not 0 <= keep < 1:
        raise ValueError(
            f"the share to keep is from 0 to below 1, found {keep}: type for example --keep 0.25"
        )
    if bool(keep) != (base is not None):
        raise ValueError(f"found a share of {keep} to keep of {base}: give --keep and --base, or neither")
    if len({folder.resolve() for folder in trainings}) < max(1 if keep else 2, len(trainings)):
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
        _alike(folder, weights, trainings[0], first)
    mean = {name: torch.stack([w[name] for w in (first, *others)]).mean(0) for name in first}
    if base is not None:
        old = dict(load_weights(resolve(base)).named_parameters())
        _alike(base, old, trainings[0], first)
        mean = {name: tensor.lerp(old[name].detach(), keep) for name, tensor in mean.items()}
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    tokenizer = AutoTokenizer.from_pretrained(ended, local_files_only=True)
    write_model(Qwen3Config.from_pretrained(ended, local_files_only=True), mean, tokenizer, partial)
    atomic.replace_folder(partial, out)
    return out


def _alike(one: str | Path, weights: Weights, other: Path, others: Weights) -> None:
    if {n: w.shape for n, w in weights.items()} != {n: w.shape for n, w in others.items()}:
        raise ValueError(f"{one} has another shape than {other}: only like goes with like")


def _averaged(training: Path) -> dict[str, torch.Tensor]:
    """The averaged weights of its checkpoint, float32."""
    tensors = read_tensors(training / "checkpoint", "leave that training out, or begin it anew")
    return {n.removeprefix(AVERAGE): tensor for n, tensor in tensors.items() if n.startswith(AVERAGE)}
