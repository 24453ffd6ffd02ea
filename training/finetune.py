"""One tuning of one model: transformers' Trainer at a constant rate, with a look at the live model on the way.

The same function runs a fold and the final refit. Decides nothing: which texts, how many steps and what to measure
come from the caller. Writes no files but checkpoints, where it is told to.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    DataCollatorForSeq2Seq,
    PreTrainedModel,
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from data.bases import Base
from data.dataset import IGNORE
from inference.checkpoints import DTYPES, best_device, best_dtype, load_weights
from training import processes
from training.adapters import frozen_layers, layer_of, with_new_adapter
from training.attention import attention, fits
from training.config import TrainConfig
from training.dropout import dropped
from training.frozen_layers import FrozenLayers
from training.plan import Plan
from training.products import wide_products
from training.resumable import Checkpoints, ResumableTrainer, SaveInTime, polite, refuse_nonsense, update_of

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

Look = Callable[[int, PreTrainedModel], Mapping[str, float] | None]
"""Called with the number of updates done and the live model, in evaluation of full precision; what it returns goes to the board."""


def hardware(config: TrainConfig) -> tuple[str, torch.dtype]:
    """Device and arithmetic that this configuration gets on this machine."""
    device = best_device() if config.device == "auto" else config.device
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(device, True):
        raise ValueError(
            f"device: {device} is not there on this machine; set device: auto, which takes {best_device()}"
        )
    return device, best_dtype(device) if config.dtype == "auto" else DTYPES[config.dtype]


def finetune(
    base: Base,
    plan: Plan,
    steps: int,
    *,
    look: Look | None = None,
    on_step: Callable[[], object] = lambda: None,
    checkpoints: Checkpoints | None = None,
    board: Path | None = None,
    frozen: FrozenLayers | None = None,
) -> PreTrainedModel:
    """A copy of ``base`` after ``steps`` updates of what ``plan`` shows it; adapters are merged.

    ``look`` is called at the steps that `looks` gives, before the first update too; ``on_step`` after each. With
    ``checkpoints`` the newest of them is gone on from, and looks up to there are not taken again; Ctrl-C lets the update be
    finished and saved. ``board`` is a folder for TensorBoard's files: loss, rate and norm of every update, and the looks.
    Same base, rows, configuration and machine: same weights. AdamW (Loshchilov & Hutter 2019); the loss is the mean over
    the labels of the whole update, so neither accumulation nor a number of processes changes anything (transformers PR 34191).
    """
    config = plan.config
    # Before the adapters are made: their first weights are random too.
    set_seed(config.seed)
    model = load_weights(base)
    device, dtype = hardware(config)
    if steps == 0:
        return model
    if config.gradient_checkpointing:
        model.activation_checkpointing_enable()  # what transformers calls it from 5.23 on
    below = 0
    if config.lora_rank:
        below = frozen_layers(model, config)
        model = with_new_adapter(model, config)
    partly = _Partly(model, config.interpolation)
    fast = fits(model, device, dtype)
    wide = config.lora_rank and device == "cpu" and dtype == torch.float32
    # Whether nothing is random in the layers without adapters.
    still = not (config.neftune or config.dropout or getattr(model.config, "attention_dropout", 0))
    begun = checkpoints.newest() if checkpoints else None
    for _ in range(update_of(begun)):
        on_step()
    with (
        attention(model, "blocked") if fast else nullcontext(),
        wide_products(model) if wide else nullcontext(),
        (frozen or FrozenLayers()).of(model, below) if wide and still else nullcontext(),
        dropped(model, config.dropout),
        _writer(board, update_of(begun)) as writer,
        tempfile.TemporaryDirectory() as folder,  # the Trainer makes its folder even if it saves nothing
        polite() if checkpoints else nullcontext(lambda: False) as asked,
    ):
        callbacks: list[TrainerCallback] = [_Looker(looks(config, steps), look, on_step, writer, partly)]
        options: dict[str, Any] = {
            "model": model,
            "args": _arguments(plan, steps, device, dtype, folder),
            "train_dataset": plan.rows(steps),
            "data_collator": collator(plan.tokenizer),
            "callbacks": callbacks,
        }
        if config.layer_decay < 1:
            options["optimizers"] = (_layered(model, config), None)
        if checkpoints:
            callbacks.append(SaveInTime(checkpoints.seconds, asked))
        trainer = ResumableTrainer(checkpoints, **options)
        trainer.remove_callback(PrinterCallback)  # it would print the totals of every fold
        if update_of(begun) != steps:
            trainer.train(resume_from_checkpoint=str(begun) if begun else None)
        else:  # interrupted after the last update
            trainer._load_from_checkpoint(str(begun))
        refuse_nonsense(trainer.model, trainer.args, trainer.state)
        if processes.anyone(asked()):
            raise KeyboardInterrupt
    trained: PreTrainedModel = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    if trainer.is_fsdp_enabled:
        trained = processes.gathered(trainer.model_wrapped, load_weights(base))
    partly.enter(trained)
    if config.lora_rank:
        trained = trained.merge_and_unload()  # type: ignore[operator]  # peft's model, not typed as one
    return trained


def _arguments(plan: Plan, steps: int, device: str, dtype: torch.dtype, folder: str) -> TrainingArguments:
    config, rows = plan.config, plan.per_update // processes.count()
    at_once = max(d for d in range(1, min(config.micro_batch_size or rows, rows) + 1) if rows % d == 0)
    return TrainingArguments(
        output_dir=folder,
        max_steps=steps,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=rows // at_once,
        train_sampling_strategy="sequential",  # the plan is the order
        neftune_noise_alpha=config.neftune or None,
        seed=config.seed,
        data_seed=config.seed,
        bf16=dtype == torch.bfloat16,
        use_cpu=device == "cpu",
        optim="adamw_torch",
        save_strategy="no",
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,  # else the last good loss would be logged in place of one that is no number
        report_to=[],
        disable_tqdm=True,
        ddp_find_unused_parameters=False,
        dataloader_pin_memory=device == "cuda",
    )


@contextmanager
def _writer(board: Path | None, done: int) -> "Iterator[SummaryWriter | None]":
    """TensorBoard's file in the folder ``board``, None without one.

    What an interrupted attempt wrote after ``done`` updates is measured again and no longer shown. Neither the machine nor
    the process is in the file's name, as TensorBoard would have it.
    """
    if board is None:
        yield None
        return
    from torch.utils.tensorboard import SummaryWriter

    if not done:
        shutil.rmtree(board, ignore_errors=True)
    try:
        with SummaryWriter(str(board), purge_step=done + 1 if done else None) as writer:
            yield writer
    finally:
        for number, file in enumerate(
            sorted(board.iterdir())
        ):  # TensorBoard reads them in the order of their names
            file.rename(board / f"events.out.tfevents.{number:04d}")


def _layered(model: PreTrainedModel, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW with a lower rate for lower layers: a factor ``layer_decay`` for each down to the embeddings."""
    layers = 1 + max((layer_of(name) for name, _ in model.named_parameters()), default=-1)
    groups: dict[tuple[int, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            embedding = "embed" in name or ".wte" in name or ".wpe" in name
            below = layers + 1 if embedding else layers - layer_of(name) if layer_of(name) >= 0 else 0
            groups.setdefault((below, parameter.ndim > 1), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": config.learning_rate * config.layer_decay**below,
                "weight_decay": config.weight_decay if matrix else 0.0,
            }
            for (below, matrix), parameters in groups.items()
        ]
    )


def collator(tokenizer: Any) -> Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]]:
    """Puts blocks into one batch: ``input_ids`` padded on the right, ``labels`` by `IGNORE`, both (B, T).

    There is no attention mask: a causal model never looks to the right, where the padding is, and without a mask
    attention takes its fast path.
    """
    pad = DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=IGNORE)

    def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = pad(rows)
        return {"input_ids": batch["input_ids"], "labels": batch["labels"]}

    return collate


def looks(config: TrainConfig, steps: int) -> set[int]:
    """The updates after which a tuning of ``steps`` is measured: every so many, the last, and a step the user set."""
    every = config.eval_every or max(1, steps // 5)
    return {*range(0, steps, every), steps, config.steps if config.steps is not None else steps}


class _Looker(TrainerCallback):
    def __init__(
        self,
        at: set[int],
        look: Look | None,
        on_step: Callable[[], object],
        writer: "SummaryWriter | None",
        partly: "_Partly",
    ) -> None:
        self.at, self.look, self.on_step, self.writer, self.partly = at, look, on_step, writer, partly

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.global_step == 0:
            self._look(0, kwargs["model"])

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.on_step()
        if state.global_step in self.at:
            refuse_nonsense(kwargs["model"], args, state)
            self._look(state.global_step, kwargs["model"])

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        refuse_nonsense(kwargs["model"], args, state, (logs or {}).get("loss", 0.0))
        if self.writer:
            for name in ("loss", "learning_rate", "grad_norm"):
                if name in (logs or {}):
                    self.writer.add_scalar(f"train/{name}", (logs or {})[name], state.global_step)

    def _look(self, step: int, model: PreTrainedModel) -> None:
        if self.look:
            exact = (
                attention(model, "sdpa") if model.config._attn_implementation == "blocked" else nullcontext()
            )
            with _own_forward(model), exact, self.partly.at(model):
                figures = self.look(step, model)
            if self.writer:
                for name, value in (figures or {}).items():
                    self.writer.add_scalar(name, value, step)


class _Partly:
    """Weights a share of the way from the base's to the tuned ones; the tuning itself goes on from where it was."""

    def __init__(self, untuned: PreTrainedModel, share: float) -> None:
        self.share = share
        self.base = {
            n: p.detach().clone()
            for n, p in untuned.named_parameters()
            if share < 1 and p.requires_grad and not _of_adapter(n)
        }

    @contextmanager
    def at(self, model: PreTrainedModel) -> Iterator[None]:
        """Meanwhile ``model`` stands part of the way."""
        tuned = (
            {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
            if self.share < 1
            else {}
        )
        self.enter(model)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    if name in tuned:
                        parameter.copy_(tuned[name])

    def enter(self, model: PreTrainedModel) -> None:
        """Put ``model`` there. Of adapters, whose base stays, the second factor is scaled."""
        if self.share == 1:
            return
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.mul_(self.share)
                elif parameter.requires_grad and not _of_adapter(name):
                    parameter.lerp_(self.base[name].to(parameter), 1 - self.share)


def _of_adapter(name: str) -> bool:
    return "lora_A" in name or "lora_B" in name


@contextmanager
def _own_forward(model: PreTrainedModel) -> Iterator[None]:
    """Take off accelerate's autocast meanwhile: it hides the class's forward behind an attribute of the instance."""
    wrapped = model.__dict__.pop("forward", None)
    try:
        yield
    finally:
        if wrapped is not None:
            model.__dict__["forward"] = wrapped
