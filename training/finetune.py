"""One tuning of one model: transformers' Trainer at a constant rate, with a look at the live model on the way.

The same function runs a fold and the final refit. Decides nothing: which texts, how many steps and what to measure
come from the caller. Writes no files but checkpoints, where it is told to.
"""

import math
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    DataCollatorForSeq2Seq,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.integrations import TensorBoardCallback

from data.bases import Base
from data.dataset import IGNORE
from inference.checkpoints import DTYPES, best_device, best_dtype, load_weights
from training.attention import attention, fits
from training.config import TrainConfig
from training.resumable import Checkpoints, ResumableTrainer, SaveInTime, polite, update_of

if TYPE_CHECKING:
    from datasets import Dataset
    from torch.utils.tensorboard import SummaryWriter

DIVERGED = 2.0
"""Loss, as a multiple of what guessing among the vocabulary costs, from which a training is given up."""

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
    rows: "Dataset",
    tokenizer: Any,
    config: TrainConfig,
    steps: int,
    *,
    look: Look | None = None,
    on_step: Callable[[], object] = lambda: None,
    checkpoints: Checkpoints | None = None,
    board: Path | None = None,
) -> PreTrainedModel:
    """A copy of ``base`` after ``steps`` updates on ``rows`` (input_ids, labels); adapters are merged.

    ``look`` is called at the steps that `looks` gives, before the first update too; ``on_step`` after each. With
    ``checkpoints`` the newest of them is gone on from, and looks up to there are not taken again; Ctrl-C lets the update be
    finished and saved. ``board`` is a folder for TensorBoard's files: loss, rate and norm of every update, and the looks.
    Same base, rows, configuration and machine: same weights. AdamW (Loshchilov & Hutter 2019); the loss is the mean over
    the labels of the whole update, so accumulation changes nothing (transformers PR 34191).
    """
    # Before the adapters are made: their first weights are random too.
    set_seed(config.seed)
    model = load_weights(base)
    device, dtype = hardware(config)
    if steps == 0:
        return model
    if config.gradient_checkpointing:
        model.activation_checkpointing_enable()  # what transformers calls it from 5.23 on
    if config.lora_rank:
        model = _with_adapters(model, config)
    fast = not config.lora_rank and fits(model, device, dtype)
    begun = checkpoints.newest() if checkpoints else None
    for _ in range(update_of(begun)):
        on_step()
    with (
        attention(model, "blocked") if fast else nullcontext(),
        tempfile.TemporaryDirectory() as folder,  # the Trainer makes its folder even if it saves nothing
        polite() if checkpoints else nullcontext(lambda: False) as asked,
    ):
        writer = _writer(board, update_of(begun)) if board else None
        callbacks: list[TrainerCallback] = [_Looker(looks(config, steps), look, on_step, writer)]
        options: dict[str, Any] = {
            "model": model,
            "args": _arguments(config, steps, device, dtype, folder),
            "train_dataset": rows,
            "data_collator": collator(tokenizer),
            "callbacks": callbacks,
        }
        if checkpoints:
            callbacks.append(SaveInTime(checkpoints.seconds, asked))
        if writer:
            callbacks.append(TensorBoardCallback(writer))  # closes it as well
        trainer = ResumableTrainer(checkpoints, **options) if checkpoints else Trainer(**options)
        trainer.remove_callback(PrinterCallback)  # it would print the totals of every fold
        if update_of(begun) < steps:
            trainer.train(resume_from_checkpoint=str(begun) if begun else None)
        else:  # interrupted after the last update
            trainer._load_from_checkpoint(str(begun))
        if asked():
            raise KeyboardInterrupt
    trained: PreTrainedModel = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    if config.lora_rank:
        trained = trained.merge_and_unload()  # type: ignore[operator]  # peft's model, not typed as one
    return trained


def _arguments(
    config: TrainConfig, steps: int, device: str, dtype: torch.dtype, folder: str
) -> TrainingArguments:
    return TrainingArguments(
        output_dir=folder,
        max_steps=steps,
        learning_rate=config.learning_rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        per_device_train_batch_size=config.micro_batch_size or config.batch_size,
        gradient_accumulation_steps=config.batch_size // (config.micro_batch_size or config.batch_size),
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
        dataloader_pin_memory=device == "cuda",
    )


def _writer(board: Path, done: int) -> "SummaryWriter":
    """TensorBoard's files; what an interrupted attempt wrote after ``done`` updates is measured again and no longer shown."""
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(board), purge_step=done + 1 if done else None)


def _with_adapters(model: PreTrainedModel, config: TrainConfig) -> Any:
    from peft import LoraConfig, get_peft_model

    adapters = LoraConfig(
        task_type="CAUSAL_LM",
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,  # type: ignore[arg-type]  # peft multiplies by it; a float is as good
        lora_dropout=config.lora_dropout,
        target_modules="all-linear",
    )
    if config.gradient_checkpointing:
        model.enable_input_require_grads()  # else nothing upstream of the first adapter asks for a gradient
    with warnings.catch_warnings():
        # GPT-2's Conv1D layers: peft says that it sets fan_in_fan_out itself, which is what is wanted.
        warnings.filterwarnings("ignore", message="fan_in_fan_out")
        # peft 0.21 asks for an attribute that transformers 5.23 calls by another name.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`", category=FutureWarning)
        return get_peft_model(model, adapters)


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
    return {*range(0, steps, config.eval_every), steps, config.steps if config.steps is not None else steps}


class _Looker(TrainerCallback):
    def __init__(
        self,
        at: set[int],
        look: Look | None,
        on_step: Callable[[], object],
        writer: "SummaryWriter | None",
    ) -> None:
        self.at, self.look, self.on_step, self.writer = at, look, on_step, writer

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
            self._look(state.global_step, kwargs["model"])

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        loss = (logs or {}).get("loss", 0.0)
        guessing = math.log(kwargs["model"].config.get_text_config().vocab_size)
        if not math.isfinite(loss) or loss > DIVERGED * guessing:
            raise ValueError(
                f"the training diverged: its loss is {loss:g} at update {state.global_step}. Nothing of it is kept; what was "
                f"finished before is. Lower learning_rate, found {args.learning_rate:g}, for example --set "
                f"learning_rate={args.learning_rate / 10:g}"
            )

    def _look(self, step: int, model: PreTrainedModel) -> None:
        if self.look:
            exact = (
                attention(model, "sdpa") if model.config._attn_implementation == "blocked" else nullcontext()
            )
            with _own_forward(model), exact:
                figures = self.look(step, model)
            if self.writer:
                for name, value in (figures or {}).items():
                    self.writer.add_scalar(name, value, step)


@contextmanager
def _own_forward(model: PreTrainedModel) -> Iterator[None]:
    """Take off accelerate's autocast meanwhile: it hides the class's forward behind an attribute of the instance."""
    wrapped = model.__dict__.pop("forward", None)
    try:
        yield
    finally:
        if wrapped is not None:
            model.__dict__["forward"] = wrapped
