"""Teaches a base to tell stories: one adapter over many stories, on a CPU or on cards, killable at any moment.

Its own loop and not the Trainer: the rate follows the elapsed share of a budget in tokens or minutes, rows of a step are packed
without padding, and several processes share one step. `training.base.rows` says what is taught, `training.base.measure` judges.
"""

import json
import math
import time
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional
from transformers import AutoConfig

from data import atomic
from data.adapted import merge, quiet_peft
from data.bases import Base, resolve
from data.dataset import IGNORE, encode
from data.memory import TOKENS_AS_WEIGHTS, check_memory
from data.plots import with_finer_beats
from data.stories import read_stories, spread_over, stories_for_testing
from inference.checkpoints import best_device, best_dtype, load_weights
from training import processes
from training.base.adapter_files import read_adapter, whole_folder, write_adapter
from training.base.config import BaseConfig
from training.base.packed import pack
from training.base.rows import Row, Rows, bits_per_byte
from training.products import frozen_product, wide_products
from training.resumable import polite

PASSES = 3
"""Passes over the stories without a single row after which a training is given up."""

FREE = (
    "tokens",
    "minutes",
    "learning_rate",
    "save_minutes",
    "measure_minutes",
    "measured",
    "test_source",
    "tuned",
)
"""Settings that may change between two resumptions."""

PREFERENCES = ("beta", "gap", "copying", "imitate")
"""Settings of `training.base.prefer` alone."""

ARCHITECTURES = ("llama", "qwen2", "qwen3", "mistral")
"""Kinds of model that packed rows were made for: causal attention without windows, caps or biases in the head."""


def adapt(config: BaseConfig, runs: Path = Path("runs"), *, steps: int | None = None) -> Path:
    """Train to the end of the budget and return the adapter's folder. A checkpoint of an earlier call is continued.

    config: what to do. runs: where the folder ``config.name`` goes. steps: stop after so many more steps, with a checkpoint.
    Raises ValueError when the checkpoint was made with other settings, is damaged, or the loss is not a number.
    """
    if steps is not None and steps < 1:
        raise ValueError(f"steps must be at least 1, found {steps}")
    processes.join(on_cpu=best_device() == "cpu")
    try:
        return _adapt(config, runs / config.name, steps)
    except torch.OutOfMemoryError as error:
        raise ValueError(
            f"there is too little memory on the card ({str(error).splitlines()[0]}). Set a smaller tokens_per_step and context, "
            f"found {config.tokens_per_step} and {config.context}"
            + ("" if config.choices else ", or candidates: 2048")
        ) from error


def _adapt(config: BaseConfig, folder: Path, steps: int | None) -> Path:
    if config.choices is None:
        kind = Training
    else:
        from training.base.prefer import Preferring as kind
    with kind(config, folder) as training, polite() as asked:
        done = 0
        while training.progress() < 1:
            training.step()
            done += 1
            stopped = processes.anyone(asked())
            if stopped or done == steps:
                training.save()
                if stopped:
                    raise KeyboardInterrupt
                return training.folder
        return training.finish()


class Training(ExitStack):
    """Everything that a checkpoint holds, and the step that changes it."""

    def __init__(self, config: BaseConfig, folder: Path) -> None:
        super().__init__()
        self.config, self.folder = config, folder
        try:
            self._begin(config)
        except BaseException:
            self.close()
            raise

    def _begin(self, config: BaseConfig) -> None:
        base = resolve(config.base)
        if config.context > base.context():
            raise ValueError(
                f"context: this base sees at most {base.context()} tokens at once, found {config.context}; lower it"
            )
        self._refuse_architecture(base)
        if best_device() == "cpu":
            # Measured: 9 GB for 135 million weights and 2,400 tokens a step.
            tokens = max(config.tokens_per_step, config.context)
            advice = "Set a smaller tokens_per_step and context, or choose a smaller base."
            copies = (2 + self._other_weights()) * processes.count()
            check_memory(base, copies + tokens / TOKENS_AS_WEIGHTS, advice)
        self.tokenizer = base.tokenizer()
        stories = list(read_stories(Path(config.stories)))
        if config.plots is not None:
            stories = with_finer_beats(stories, Path(config.plots))
        tests = stories_for_testing(stories, config.test_source)
        if config.test_source is not None and not tests:
            raise ValueError(
                f"test_source: there are no stories of {config.test_source} for testing with beats in {config.stories}; leave it out "
                "to measure all that are for testing"
            )
        self.tests = spread_over([test for test in tests if test.finer] or tests, config.measured)
        self.stamp = self._stamp(config) | {"base_sha256": base.sha256()}
        taught = [story for story in stories if not story.test]
        if not taught:
            raise ValueError(
                f"all {len(stories)} stories of {config.stories} are for testing; prepare some for training"
            )
        known = {story.source.partition("/")[0] for story in taught}
        if unknown := sorted((set(config.sources) | set(config.bare) - {""}) - known):
            raise ValueError(
                f"sources, bare: there are no stories of {', '.join(unknown)}; there are {', '.join(sorted(known))}"
            )
        self.rows = Rows(
            taught,
            self.tokenizer,
            config.forms,
            sources=config.sources,
            bare=config.bare,
            renamed=config.renamed,
            finer=config.finer,
            context=config.context,
            seed=config.seed,
        )
        self.device = best_device()
        self.dtype = best_dtype(self.device)
        torch.manual_seed(config.seed)
        adapter = LoraConfig(
            task_type="CAUSAL_LM",
            r=config.rank,
            lora_alpha=config.alpha,  # type: ignore[arg-type]  # peft multiplies by it; a float is as good
            target_modules="all-linear",
        )
        with quiet_peft():
            adapted: Any = get_peft_model(load_weights(base, self.dtype), adapter)
        self.model = adapted
        self.model.to(self.device).train()
        self.weights = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self.core = self.model.get_base_model()
        self.used = torch.zeros(self.core.lm_head.weight.shape[0], dtype=torch.bool, device=self.device)
        for story in self.rows.stories if config.candidates else ():
            self.used[encode("\n".join([story.text, *story.beats]), self.tokenizer)] = True
        self.core.set_attn_implementation("packed")
        if self.device == "cpu" and self.dtype == torch.float32:
            self.enter_context(wide_products(self.model))
        self.optimizer = torch.optim.AdamW(
            self.weights.values(), lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=0.0
        )
        self.state: dict[str, Any] = {"step": 0, "tokens": 0, "drawn": 0, "seconds": 0.0, "measured": 0.0}
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._restore() and config.start:
            self._start_from(Path(config.start))
        if processes.anyone(processes.agree(self.state["step"]) != self.state["step"]):
            raise ValueError(
                f"the processes don't see the same {self.folder}: put it on a disk that all of them share"
            )
        self.stream = self.rows.after(self.state["drawn"])
        self.saved = self.state["seconds"]
        self._say(
            f"{sum(p.numel() for p in self.weights.values()) / 1e6:.1f}M weights of an adapter, {self.device}, {self.dtype}, "
            f"{len(self.rows.stories)} stories, at {self.progress():.1%}"
        )

    def _stamp(self, config: BaseConfig) -> dict[str, Any]:
        """What a checkpoint must agree with."""
        unused = PREFERENCES if config.choices is None else ()
        stamp = {key: value for key, value in config.to_dict().items() if key not in (*FREE, *unused)}
        stamp["stories_sha256"] = atomic.sha256(Path(config.stories))
        if config.plots is not None:
            stamp["plots_sha256"] = atomic.sha256(Path(config.plots))
        return stamp

    def progress(self) -> float:
        """Elapsed share of the budget, 0..1, the same in all processes."""
        config = self.config
        if config.tokens:
            return min(1.0, self.state["tokens"] / config.tokens)
        return min(1.0, processes.agree(self.state["seconds"]) / 60 / (config.minutes or 1))

    def step(self) -> None:
        """Take one step; now and then also measure and save."""
        started, config = time.perf_counter(), self.config
        torch.manual_seed(config.seed * 1_000_003 + self.state["step"])
        rows = self._draw()
        loss = self._learn(rows)
        value = processes.sum_up(list(self.weights.values()), loss, self.device)
        norm = float(nn.utils.clip_grad_norm_(self.weights.values(), config.clip))
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise ValueError(
                f"the loss is not a number at step {self.state['step']}. Lower the rate: "
                f"--set learning_rate={config.learning_rate / 3:g}. The training continues from its last checkpoint, if it has one"
            )
        rate = config.learning_rate * schedule(self.progress(), config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.state["step"] += 1
        self.state["tokens"] += self._size(rows)
        self.state["seconds"] += time.perf_counter() - started
        if self.state["step"] % 10 == 0:
            self._log(loss=round(value, 4), rate=float(f"{rate:.3g}"), norm=round(norm, 3))
        seconds = processes.agree(self.state["seconds"])
        if seconds - self.state["measured"] > 60 * config.measure_minutes:
            self.state["measured"] = seconds
            self._log(test=self.measure())
        if seconds - self.saved > 60 * config.save_minutes:
            self.save()

    def _learn(self, rows: list[Row]) -> torch.Tensor | None:
        """The gradient of this process's share of the mean loss of a step's rows, and that share; None where it has no row."""
        learned = [label for _, row in rows for label in row[1:] if label != IGNORE]
        self.wanted = torch.tensor(learned, device=self.device)
        own = rows[processes.rank() :: processes.count()]
        if not own:
            return None
        loss = self._loss(own, self.core) / len(learned)
        loss.backward()
        return loss.detach()

    def _size(self, rows: list[Row]) -> int:
        """Tokens of the rows."""
        return sum(len(ids) for ids, _ in rows)

    def _draw(self) -> list[Row]:
        """The rows of the next step."""
        found: list[Row] = []
        left_out = 0
        while self._size(found) < self.config.tokens_per_step:
            row = next(self.stream)
            self.state["drawn"] += 1
            left_out = 0 if row[0] else left_out + 1
            if row[0]:
                found.append(row)
            elif left_out > PASSES * len(self.rows.turns):
                raise ValueError(
                    f"no row can be trained on: every story is left out by sources, or has more than {self.config.context} tokens. "
                    "Set other sources or a larger context"
                )
        return found

    def _arithmetic(self) -> AbstractContextManager[None]:
        """In which products are worked out in the training's number format."""
        return torch.autocast(self.device, self.dtype) if self.dtype != torch.float32 else nullcontext()

    def _loss(self, rows: list[Row], core: Any) -> torch.Tensor:
        """Sum of the loss over all labels of ``rows``, in nats."""
        batch = pack(rows)
        with self._arithmetic():
            hidden = core.model(
                input_ids=batch["input_ids"].to(self.device),
                position_ids=batch["position_ids"].to(self.device),
                use_cache=False,
                lengths=batch["lengths"],
            ).last_hidden_state
            wanted = batch["labels"].to(self.device)
            keep = wanted != IGNORE
            if core.training and self.config.candidates:
                return self._sampled_loss(hidden[keep], wanted[keep])
            logits = core.lm_head(hidden[keep])
        return functional.cross_entropy(logits.float(), wanted[keep], reduction="sum")

    def _sampled_loss(self, hidden: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """The loss of ``hidden`` (N, D) and ``wanted`` (N,) over the tokens that stories use, and `candidates` others that stand for
        the rest of the vocabulary: sampled softmax (Jean et al. 2015, arXiv 1412.2007)."""
        weight = self.core.lm_head.weight
        used = self.used.clone()
        used[self.wanted] = True  # of all rows of the step: each process has the same tokens
        rest = (~used).nonzero()[:, 0]
        if not len(rest):
            return functional.cross_entropy(self.core.lm_head(hidden).float(), wanted, reduction="sum")
        drawn = rest[torch.randint(len(rest), (self.config.candidates,), device=rest.device)]
        tokens = torch.cat([used.nonzero()[:, 0], drawn])
        product = frozen_product if self.dtype == torch.float32 else functional.linear
        logits = product(hidden, weight[tokens].detach()).float()
        # Each of the drawn stands for several of the rest.
        shift = torch.zeros(len(tokens), device=logits.device)
        shift[-len(drawn) :] = math.log(len(rest) / len(drawn))
        place = used.cumsum(0) - 1
        return functional.cross_entropy(logits + shift, place[wanted], reduction="sum")

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """Bits per byte of test stories: bare, behind their brief, and told from their beats. The first process measures."""
        found: dict[str, float] = {}
        if processes.is_first() and self.tests:
            self.model.eval()
            found = bits_per_byte(self.tests, self.tokenizer, lambda row: float(self._loss([row], self.core)))
            self.model.train()
        return {name: round(value, 4) for name, value in processes.agree(found).items()}

    def save(self) -> None:
        """Write the checkpoint; the one before stays until it is complete."""
        self.saved = self.state["seconds"]
        if not processes.is_first():
            return
        tensors = {f"adapter.{name}": p.detach().cpu().contiguous() for name, p in self.weights.items()}
        for name, parameter in self.weights.items():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{name}|{key}"] = torch.as_tensor(value).cpu().contiguous()
        with whole_folder(self.folder / "checkpoint") as partial:
            save_file(tensors, partial / "tensors.safetensors")
            atomic.write_json(partial / "state.json", {**self.state, "stamp": self.stamp})

    def _restore(self) -> bool:
        """Take over the own checkpoint; whether there is one."""
        checkpoint = self.folder / "checkpoint"
        if processes.is_first():
            atomic.recover_folder(checkpoint)
        processes.wait()
        if not checkpoint.exists():
            return False
        try:
            state = json.loads((checkpoint / "state.json").read_text("utf-8"))
            stamp = state.pop("stamp")
            tensors = load_file(checkpoint / "tensors.safetensors")
        except (OSError, ValueError, KeyError, AttributeError, SafetensorError) as error:
            raise ValueError(
                f"{checkpoint} is damaged ({error}). Remove that folder to begin again"
            ) from error
        if changed := sorted(key for key in self.stamp if stamp.get(key) != self.stamp[key]):
            raise ValueError(
                f"{checkpoint} was made with another {', '.join(changed)}. Change it back, or train under another name: "
                "--set name=..."
            )
        self.state |= state
        self._take(
            {name.removeprefix("adapter."): t for name, t in tensors.items() if name.startswith("adapter.")}
        )
        for name, parameter in self.weights.items():
            prefix = f"optimizer.{name}|"
            self.optimizer.state[parameter] = {
                key.removeprefix(prefix): value if key.endswith("|step") else value.to(self.device)
                for key, value in tensors.items()
                if key.startswith(prefix)
            }
        return True

    def _start_from(self, folder: Path) -> None:
        """Take over the weights of the adapter in ``folder``."""
        tensors, settings = read_adapter(folder)
        found = {"rank": settings.get("r"), "alpha": settings.get("lora_alpha")}
        wanted = {"rank": self.config.rank, "alpha": self.config.alpha}
        if found != wanted:
            raise ValueError(
                f"the adapter in {folder} has {found}, the configuration {wanted}; change rank and alpha, or start"
            )
        self._take(tensors)

    def _other_weights(self) -> int:
        """How many models as large as the base lie in a process's memory beside it."""
        return 0

    @staticmethod
    def _refuse_architecture(base: Base) -> None:
        """Packed rows and sampled losses know what these models do, and would train others wrongly."""
        settings = AutoConfig.from_pretrained(base.path, local_files_only=True, trust_remote_code=False)
        windows = getattr(settings, "sliding_window", None) and getattr(settings, "use_sliding_window", True)
        if settings.model_type not in ARCHITECTURES or windows:
            kind = f"{settings.model_type} with a sliding window" if windows else settings.model_type
            raise ValueError(
                f"a base of kind {kind} can't be taught; choose one of kind {', '.join(ARCHITECTURES)}"
            )

    @torch.no_grad()
    def _take(self, tensors: dict[str, torch.Tensor]) -> None:
        if set(tensors) != set(self.weights) or any(
            tensors[name].shape != p.shape for name, p in self.weights.items()
        ):
            raise ValueError(
                "the adapter to start from has other layers or another rank than the configuration; change rank or start"
            )
        for name, parameter in self.weights.items():
            parameter.copy_(tensors[name])

    def finish(self) -> Path:
        """Save, measure, and write the adapter in bfloat16 as peft reads it, and the model with the adapter merged in."""
        self.save()
        figures = self.measure()
        self._log(test=figures)
        out = self.folder / "adapter"
        if processes.is_first():
            with whole_folder(out) as partial:
                write_adapter(self.model, partial, self.config.base)
                atomic.write_json(
                    partial / "training.json",
                    {**self.config.to_dict(), **self.stamp}
                    | {"trained_tokens": self.state["tokens"], "steps": self.state["step"]}
                    | {"seconds": round(self.state["seconds"]), "bits_per_byte_test": figures},
                )
            with whole_folder(self.folder / "model") as partial:
                merge(resolve(self.config.base).path, out, partial)
        processes.wait()
        return out

    def _log(self, **figures: Any) -> None:
        state = {key: self.state[key] for key in ("step", "tokens", "drawn")}
        line = {
            **state,
            "seconds": round(self.state["seconds"], 1),
            "progress": round(self.progress(), 4),
            **figures,
        }
        if processes.is_first():
            with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
        self._say(json.dumps(line))

    def _say(self, line: str) -> None:
        if processes.is_first():
            print(line, flush=True)


def schedule(progress: float, config: BaseConfig) -> float:
    """Share of the rate at ``progress``: rises up to `warmup`, is level up to `hold`, then falls straight to `final`."""
    if progress < config.warmup:
        return max(progress / config.warmup, 0.02)
    if progress < config.hold:
        return 1.0
    return 1 - (1 - config.final) * (progress - config.hold) / max(1 - config.hold, 1e-9)
