"""transformers' Trainer with checkpoints that are whole or absent, and hold no pickle as its own do.

A tuning that was interrupted goes on with the same order of texts, rates and random numbers, and ends on the same machine with
the weights of an unbroken one. Does not know what is tuned; `training.finetune` does.
"""

import inspect
import json
import math
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from data import atomic
from data.dataset import IGNORE
from training import processes

DIVERGED = 2.0
"""Loss, as a multiple of what guessing among the vocabulary costs, from which a training is given up."""

KEPT = 2
"""Checkpoints of a tuning that lie on the disk: the newest, and the one before for when that is damaged."""

_TENSORS, _STATE, _TRAINER, _HASHES = (
    "tensors.safetensors",
    "state.json",
    "trainer_state.json",  # the name that the Trainer looks for
    "sha256.json",
)


@dataclass(frozen=True)
class Checkpoints:
    """Those of one tuning, in ``folder``: one every ``seconds`` (0: after each update). ``say`` is told what is damaged."""

    folder: Path
    seconds: float
    say: Callable[[str], None]

    def newest(self) -> Path | None:
        """The newest one whose files are what was written; damaged ones are removed."""
        there = sorted(self.folder.glob("update-*"), key=update_of)
        while there:
            path = there.pop()
            damage = _damage(path)
            if damage is None:
                return path
            instead = "the one before is taken" if there else "the tuning begins anew"
            self.say(f"checkpoint {path.name} of {self.folder.name} is damaged ({damage}): {instead}")
            shutil.rmtree(path)  # else it would count among those that are kept
        return None

    def write(self, update: int, tensors: dict[str, torch.Tensor], state: Any, trainer: TrainerState) -> None:
        """Write that of ``update``; older ones than the one before are removed."""
        partial = self.folder / "partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save_file(tensors, partial / _TENSORS)
        (partial / _STATE).write_text(json.dumps(state), "utf-8")
        trainer.save_to_json(str(partial / _TRAINER))
        (partial / _HASHES).write_text(
            json.dumps({name: atomic.sha256(partial / name) for name in (_TENSORS, _STATE, _TRAINER)}),
            "utf-8",
        )
        atomic.replace_folder(partial, self.folder / f"update-{update}")
        for old in sorted(self.folder.glob("update-*"), key=update_of)[:-KEPT]:
            shutil.rmtree(old)


def update_of(checkpoint: Path | None) -> int:
    """Updates that were done when ``checkpoint`` was written; 0 without one."""
    return int(checkpoint.name.removeprefix("update-")) if checkpoint else 0


class ResumableTrainer(Trainer):
    """Writes to ``checkpoints`` where the Trainer would save, and reads from there; without a grad scaler. The rate is constant
    after its rise, whose first update learns too (the Trainer's own begins at 0)."""

    def __init__(self, checkpoints: Checkpoints | None, **options: Any) -> None:
        super().__init__(**options)
        self.checkpoints = checkpoints

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """Called by the Trainer before the first update."""
        rise = self.args.get_warmup_steps(num_training_steps) + 1
        assert self.optimizer is not None
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer or self.optimizer, lambda update: min(1.0, (update + 1) / rise)
        )
        return self.lr_scheduler

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """As the Trainer's own, but what is not asked for is not worked out: no scores before labels that are left out."""
        labels = inputs["labels"]
        wanted = functional.pad(labels, (0, 1), value=IGNORE)[:, 1:]  # of each place the token after it
        (places,) = (wanted != IGNORE).any(dim=0).nonzero(as_tuple=True)
        # The last place of a row never has a label: only what is more is worth it.
        # Where one process has several cards the Trainer cuts all that it is given along the rows.
        if self._takes_places and self.args.n_gpu <= 1 and 0 < len(places) < labels.shape[1] - 1:
            inputs = {**inputs, "logits_to_keep": places, "shift_labels": wanted[:, places]}
        return super().compute_loss(model, inputs, *args, **kwargs)

    @cached_property
    def _takes_places(self) -> bool:
        """Whether the model can be asked for the scores at some places alone."""
        model: Any = self.accelerator.unwrap_model(self.model)
        own = model.get_base_model() if hasattr(model, "get_base_model") else model
        return "logits_to_keep" in inspect.signature(type(own).forward).parameters

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        refuse_nonsense(self.model, self.args, self.state)
        if self.checkpoints is None or not processes.is_first() or self.is_fsdp_enabled:
            return  # all have the same weights, or each only a part of them
        optimizer = self.optimizer.state_dict()  # type: ignore[union-attr]  # it is there once training goes on
        tensors = {f"model.{name}": p.detach() for name, p in _trained(self.model).items()}
        tensors |= {
            f"optimizer.{i}.{key}": torch.as_tensor(value)
            for i, values in optimizer["state"].items()
            for key, value in values.items()
        }
        tensors["random.cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        state = {"groups": optimizer["param_groups"], "scheduler": self.lr_scheduler.state_dict()}  # type: ignore[union-attr]
        self.checkpoints.write(
            self.state.global_step,
            {name: tensor.cpu().contiguous() for name, tensor in tensors.items()},
            state,
            self.state,
        )

    @torch.no_grad()
    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        tensors = load_file(Path(resume_from_checkpoint) / _TENSORS)
        for name, parameter in _trained(self.model if model is None else model).items():
            parameter.copy_(tensors[f"model.{name}"])

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        tensors = load_file(Path(checkpoint) / _TENSORS)
        state = json.loads((Path(checkpoint) / _STATE).read_text("utf-8"))
        of: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "optimizer":
                i, _, key = rest.partition(".")
                of.setdefault(int(i), {})[key] = tensor
        assert self.optimizer is not None and self.lr_scheduler is not None
        self.optimizer.load_state_dict({"state": of, "param_groups": state["groups"]})
        self.lr_scheduler.load_state_dict(state["scheduler"])

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        tensors = load_file(Path(checkpoint) / _TENSORS)
        torch.set_rng_state(tensors["random.cpu"])
        if torch.cuda.is_available() and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"])


def refuse_nonsense(
    model: Any, args: TrainingArguments, state: TrainerState, loss: float | None = None
) -> None:
    """Raise ValueError when ``loss`` is no number or far above what guessing costs; without one, when any weight is no number."""
    guessing = math.log(model.config.get_text_config().vocab_size)
    sound = loss is None or (math.isfinite(loss) and loss <= DIVERGED * guessing)
    if sound and (loss is not None or all(torch.isfinite(p).all() for p in _trained(model).values())):
        return
    found = "its weights are no numbers" if sound else f"its loss is {loss:g}"
    raise ValueError(
        f"the training diverged: {found} at update {state.global_step}. Lower learning_rate, found {args.learning_rate:g}: "
        f"--set learning_rate={args.learning_rate / 10:g} (and --overwrite where an interrupted run is in the way)"
    )


class SaveInTime(TrainerCallback):
    """Asks for a checkpoint every so many seconds, and for one and the end when ``asked`` says that somebody wants out."""

    def __init__(self, seconds: float, asked: Callable[[], bool]) -> None:
        self.seconds, self.asked = seconds, asked
        self.last = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if processes.anyone(self.asked()):
            control.should_save = control.should_training_stop = True
        elif (
            processes.agree(time.monotonic() - self.last >= self.seconds)
            and state.global_step < state.max_steps
        ):
            control.should_save = True
            self.last = time.monotonic()


@contextmanager
def polite() -> Iterator[Callable[[], bool]]:
    """Meanwhile Ctrl-C, and SIGTERM where the program handles it, only asks: the update is finished and saved first.

    Gives a function that says whether somebody asked. Whoever asks a second time is not kept waiting. Outside the main
    thread, where Python lets nobody handle signals, nothing changes.
    """
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        os.write(2, b"\nthis update is finished and saved first; once more stops at once\n")

    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if callable(signal.getsignal(number)):
                before[number] = signal.signal(number, ask)
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _trained(model: Any) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def _damage(checkpoint: Path) -> str | None:
    """What of ``checkpoint`` is not as it was written; None if it is whole."""
    try:
        hashes = json.loads((checkpoint / _HASHES).read_text("utf-8"))
        for name in (_TENSORS, _STATE, _TRAINER):
            if (found := atomic.sha256(checkpoint / name)) != hashes[name]:
                return f"{name}: expected sha256 {hashes[name][:12]}, found {found[:12]}"
    except OSError as error:
        return f"{Path(str(error.filename)).name}: {(error.strerror or '').lower()}"
    except (ValueError, KeyError, TypeError):
        return f"{_HASHES} can't be read"
    return None
