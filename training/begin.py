"""What a run begins with: inputs that were checked, and a folder to work in that replaces nothing unasked. Does not train.

An interrupted attempt lies in a hidden folder beside the target, and is gone on with, left alone or made anew as ``existing`` of
`training.job.train` says.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from tqdm import tqdm

from data import atomic
from data.bases import Base, resolve
from data.dataset import encode, windows
from data.memory import TOKENS_AS_WEIGHTS, check_memory
from data.originals import Original, load_originals
from inference.runs import is_run
from training import processes, provenance
from training.config import TrainConfig
from training.current import finished, run_folder
from training.finetune import hardware

TUNED, ADAPTED = 4.0, 2.0
"""Memory that a tuning takes, in multiples of the weights: with all weights, which have gradients and two means each, and with an
adapter, whose sum with the frozen weights is kept for the way back (`training.products`)."""

CHECKPOINTED = 5
"""How many times more tokens take as much memory with gradient checkpointing; in bfloat16 twice as many do."""


@dataclass(frozen=True)
class Begun:
    """What a run goes on from; ``work`` is None where there is nothing to do."""

    originals: Sequence[Original]
    base: Base
    work: Path | None


def begin(config: TrainConfig, existing: str, report: bool, progress: bool) -> Begun:
    """Check what goes in, and make the folder to work in."""
    if config.tensorboard and find_spec("tensorboard") is None:
        raise ValueError("tensorboard: is not installed; pip install tensorboard, or set tensorboard: false")
    originals = load_originals(config.originals)
    base = resolve(config.base, config.base_revision)
    target = run_folder(config)
    atomic.recover_folder(target)
    stamp = provenance.fingerprint(config, originals, base)
    if existing == "refresh" and finished(target, stamp, report):
        return Begun(originals, base, None)
    if existing == "refresh":
        _refuse_other_texts(target, originals)
    if config.context is not None and config.context > base.context():
        raise ValueError(
            f"context: this base sees at most {base.context()} tokens at once, found {config.context}; leave it out, or lower it"
        )
    if processes.spread() and (config.lora_rank or config.interpolation < 1 or config.layer_decay < 1):
        raise ValueError(
            "lora_rank, interpolation, layer_decay: none goes with weights that are spread over processes (FSDP); use "
            "configs/accelerate/ddp.yaml, or set lora_rank: 0, interpolation: 1 and layer_decay: 1"
        )
    if hardware(config)[0] == "cpu":
        weights = (ADAPTED if config.lora_rank else TUNED) + (
            config.interpolation < 1 and not config.lora_rank
        )
        check_memory(base, processes.count() * weights + _texts_as_weights(config, originals, base))
    return Begun(originals, base, _folder(target, stamp, existing, progress))


def _texts_as_weights(config: TrainConfig, originals: Sequence[Original], base: Base) -> float:
    """Memory that the texts of a step take, in multiples of the weights."""
    tokenizer, context = base.tokenizer(), config.context or base.context()
    lengths = sorted(
        window.end - window.start
        for original in originals
        for window in windows(len(encode(original.text, tokenizer)) + 2, context)
    )
    rows = config.micro_batch_size or config.batch_size + config.replay
    at_once = sum(lengths[-rows:])
    as_weights = at_once / TOKENS_AS_WEIGHTS / (CHECKPOINTED if config.gradient_checkpointing else 1)
    return as_weights / 2 if hardware(config)[1] == torch.bfloat16 else as_weights


def _refuse_other_texts(target: Path, originals: Sequence[Original]) -> None:
    """ValueError where ``target``, finished or interrupted, is of texts that are none of ``originals``."""
    for folder, what in ((target, "a run"), (_work(target), "an interrupted run")):
        try:
            there = {original.text for original in load_originals(folder / "originals.jsonl")}
        except ValueError:  # none, or not so far
            continue
        if not there & {original.text for original in originals}:
            raise ValueError(
                f"{target} is {what} of other texts. Give this one a name of its own (make run NAME=..., or --name ...), "
                f"or remove {folder}."
            )


def _work(target: Path) -> Path:
    return target.with_name(f".{target.name}.partial")


def _folder(target: Path, stamp: str, existing: str, progress: bool) -> Path:
    """The folder to work in: fresh, or the interrupted attempt's. Refuses what would replace something unasked."""
    work = _work(target)
    interrupted = (work / "fingerprint").exists()
    same = interrupted and (work / "fingerprint").read_text("utf-8") == stamp
    if existing not in {"refuse", "overwrite", "resume", "refresh"}:
        raise ValueError(f"existing must be refuse, overwrite, resume or refresh, found {existing!r}")
    if existing == "resume" and not same:
        found = (
            "its settings, texts, base or code have changed" if interrupted else "no interrupted run is there"
        )
        raise ValueError(f"{target} can't be resumed: {found}. Start anew with --overwrite.")
    if existing == "refuse" and target.exists():
        raise ValueError(f"{target} exists already. Train it anew with --overwrite, or choose another name.")
    if existing == "refuse" and interrupted:
        raise ValueError(
            f"an interrupted run of {target} is there. Continue it with --resume, or start anew with --overwrite."
        )
    if existing == "refresh" and progress and (is_run(target) or interrupted) and not same:
        what = "an interrupted attempt" if interrupted else str(target)
        tqdm.write(f"{what}: inputs, settings or the program have changed; it is made anew")
    if existing == "overwrite" or not same:
        shutil.rmtree(work, ignore_errors=True)
    atomic.sweep(work)
    work.mkdir(parents=True, exist_ok=True)
    atomic.write_text(work / "fingerprint", stamp)
    return work
