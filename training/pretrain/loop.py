"""Pretrains a small Qwen3 on prepared token files: one process, CPU or GPU, killable at any moment.

Its own loop and not the Trainer: rates follow the elapsed share of a budget in tokens or in minutes, matrices have another
optimizer than the rest, and a checkpoint is safetensors and JSON without a pickle. Recipe: `PretrainConfig`. Does not judge
what comes out; `training.pretrain.base_eval` does.
"""

import json
import time
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional
from transformers import AutoTokenizer, PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from data import atomic
from data.bases import resolve
from data.dataset import IGNORE
from inference.checkpoints import best_device, best_dtype, load_weights
from training.attention import fits
from training.dropout import dropped
from training.pretrain.config import PretrainConfig
from training.pretrain.tokens import Stream, batches, fingerprint, read_buckets
from training.pretrain.weights import AVERAGE, TENSORS, read_tensors, write_model
from training.resumable import polite

CONTEXT = 1024

FREE = (
    "tokens",
    "minutes",
    "save_minutes",
    "measure_minutes",
    "compile",
    "tokens_per_batch",
    "keep",
    "briefs",
    "mirrored",
)
"""Settings that a checkpoint does not hold one to: the budget, what changes a sum by its rounding alone, and what the token
files say already."""

SHAPE = ("layers", "width", "heads", "kv_heads", "feed_forward", "vocabulary")

MEASURED_ROWS = 64
"""Held-out documents of each bucket that the log's figure is of."""


def pretrain(config: PretrainConfig, runs: Path = Path("runs"), *, updates: int | None = None) -> Path:
    """Train to the end of the budget, from the last checkpoint if there is one, and return the model's folder.

    ``updates`` stops earlier, after so many more, with a checkpoint: for a machine that is to be left in between. Raises
    ValueError when the checkpoint was made with other settings or other token files.
    """
    training = _Training(config, runs / config.name)
    done = 0
    with polite() as asked:
        while training.progress < 1:
            training.step()
            done += 1
            if done == updates or asked():
                training.save()
                if asked():
                    raise KeyboardInterrupt
                return training.folder
    return training.finish()


class _Training:
    """Everything that a checkpoint holds, and the step that changes it."""

    def __init__(self, config: PretrainConfig, folder: Path) -> None:
        self.config, self.folder = config, folder
        data = Path(config.data)
        if not (data / "manifest.json").exists():
            raise ValueError(f"{data} is not prepared: python -m training prepare CONFIG --corpus FOLDER")
        self.tokenizer = AutoTokenizer.from_pretrained(data / "tokenizer", local_files_only=True)
        if len(self.tokenizer) != config.vocabulary:
            raise ValueError(
                f"{data} has a vocabulary of {len(self.tokenizer)}, the configuration {config.vocabulary}"
            )
        self.buckets, self.held_out = read_buckets(data / "train"), read_buckets(data / "held_out")
        if unknown := sorted({*config.mix, *config.mix_last} - set(self.buckets)):
            raise ValueError(
                f"the mix names buckets that {data} has not: {', '.join(unknown)}; it has {', '.join(self.buckets)}"
            )
        # The budget may be changed on the way: a training that gets more or less time than was thought ends well all the same.
        settings = {key: value for key, value in config.to_dict().items() if key not in FREE}
        self.stamp = {**settings, "token_files": fingerprint(data / "train")}
        self.device = best_device()
        self.dtype = best_dtype(self.device)
        torch.manual_seed(config.seed)
        self.model = _initial(config, self.tokenizer)
        self.model.to(self.device)  # type: ignore[arg-type]  # transformers types `to` as if it took a model
        self.average = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        self.optimizers = _optimizers(self.model, config)
        if fits(self.model, self.device, self.dtype):
            self.model.set_attn_implementation("blocked")
        ExitStack().enter_context(dropped(self.model, config.dropout))  # for as long as it lives
        self.hidden: Any = self.model.model
        self.cost: Any = _cost
        if config.compile:
            self.hidden, self.cost = (torch.compile(f, dynamic=True) for f in (self.hidden, _cost))
        self.state: dict[str, Any] = {
            **{"update": 0, "tokens": 0, "seconds": 0.0, "drawn": {}, "measured": 0.0},
            "before": {"tokens": 0, "seconds": 0.0},  # what the training that this one starts from has had
        }
        folder.mkdir(parents=True, exist_ok=True)
        self._restore()
        self.stream = Stream(self.buckets, config.length, config.seed, self.state["drawn"])
        self.saved = self.state["seconds"]
        self._say(
            f"{sum(p.numel() for p in self.model.parameters()) / 1e6:.1f}M parameters, {self.device}, {self.dtype}, at {self.progress:.1%}"
        )

    @property
    def progress(self) -> float:
        """Elapsed share of the budget, 0..1."""
        config = self.config
        done = (
            self.state["tokens"] / config.tokens
            if config.tokens
            else self.state["seconds"] / 60 / (config.minutes or 1)
        )
        return min(1.0, done)

    def step(self) -> None:
        """One update; now and then also a measurement and a checkpoint."""
        started, config, progress = time.perf_counter(), self.config, self.progress
        mix = config.mix_last if config.mix_last and progress >= config.last else config.mix
        rows = self.stream.draw(mix, config.tokens_per_update, self.state["update"])
        labels = sum(len(ids) - first for ids, first in rows)
        torch.manual_seed(config.seed * 1_000_003 + self.state["update"])  # of the dropout
        rate = schedule(progress, config)
        self.model.train()
        total = torch.zeros((), device=self.device)
        for ids, targets in batches(rows, config.tokens_per_batch, self.tokenizer.pad_token_id):
            loss = self._loss(ids, targets, config.z_loss) / labels
            loss.backward()
            total += loss.detach()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), config.clip)
        for optimizer, peak in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = peak * rate
                if "momentum" in group:  # Muon's rises at first (modded-nanogpt)
                    group["momentum"] = 0.85 + 0.1 * min(1.0, self.state["update"] / 300)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        keep = min(config.ema, (self.state["update"] + 1) / (self.state["update"] + 10))
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                self.average[name].lerp_(parameter, 1 - keep)
        value = float(total)
        if value != value:
            raise ValueError(
                f"the loss is not a number at update {self.state['update']}: the last good state is in "
                f"{self.folder / 'checkpoint'}; lower the rates"
            )
        self.state["update"] += 1
        self.state["tokens"] += sum(len(ids) for ids, _ in rows)
        self.state["seconds"] += time.perf_counter() - started
        if self.state["update"] % 10 == 0:
            self._log(loss=round(value, 4), rate=round(rate, 4), norm=round(float(norm), 3))
        if self.state["seconds"] - self.state["measured"] > 60 * config.measure_minutes:
            self.state["measured"] = self.state["seconds"]
            self._log(held_out=self.measure())
        if self.state["seconds"] - self.saved > 60 * config.save_minutes:
            self.save()

    def _loss(self, ids: torch.Tensor, targets: torch.Tensor, z_loss: float) -> torch.Tensor:
        """`_cost` of the labels, (B, T) as ``ids``."""
        autocast = torch.autocast(self.device, self.dtype) if self.dtype != torch.float32 else nullcontext()
        with autocast:
            # Padding is on the right, where causal attention never looks back at it from a label.
            hidden = self.hidden(input_ids=ids.to(self.device), use_cache=False).last_hidden_state[:, :-1]
            wanted = targets[:, 1:].to(self.device)
            keep = wanted != IGNORE
            logits = self.model.lm_head(hidden[keep])
        return self.cost(logits, wanted[keep], z_loss)

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """Nats per token of the averaged weights on held-out documents, by bucket."""
        self.model.eval()
        found = {}
        with _swapped(self.model, self.average):
            for name, bucket in self.held_out.items():
                rows = [bucket.row(i, self.config.length) for i in range(min(MEASURED_ROWS, len(bucket)))]
                labels = sum(len(ids) - first for ids, first in rows)
                sums = [float(self._loss(*b, 0.0)) for b in batches(rows, self.config.tokens_per_batch, 0)]
                found[name] = round(sum(sums) / labels, 4)
        return found

    def save(self) -> None:
        """Write the checkpoint; the one before stays until it is complete."""
        partial = self.folder / "checkpoint.partial"
        partial.mkdir(exist_ok=True)
        tensors = {f"model.{n}": p.detach().cpu().contiguous() for n, p in self.model.named_parameters()}
        tensors |= {AVERAGE + n: p.cpu().contiguous() for n, p in self.average.items()}
        names = {id(p): n for n, p in self.model.named_parameters()}
        for optimizer, _ in self.optimizers:
            for parameter, values in optimizer.state.items():
                for key, value in values.items():
                    tensors[f"optimizer.{names[id(parameter)]}.{key}"] = (
                        torch.as_tensor(value).cpu().contiguous()
                    )
        save_file(tensors, partial / TENSORS)
        atomic.write_json(
            partial / "state.json", {**self.state, "drawn": self.stream.drawn, "stamp": self.stamp}
        )
        atomic.replace_folder(partial, self.folder / "checkpoint")
        self.saved = self.state["seconds"]

    def _restore(self) -> None:
        """Go on from the own checkpoint; where there is none yet, from that of the training to start from."""
        own = self.folder / "checkpoint"
        atomic.recover_folder(own)
        if (own / "state.json").exists():
            self.state |= self._load(own, {*self.stamp})
        if self.config.start is None:
            return
        other = self.folder.parent / self.config.start / "checkpoint"
        if (own / "state.json").exists():
            there = other / "state.json"
            newest = json.loads(there.read_text("utf-8"))["update"] if there.exists() else self.state["from"]
            if self.progress == 1 and newest != self.state["from"]:
                raise ValueError(
                    f"{self.folder} ended from update {self.state['from']} of {self.config.start}, which is at {newest} now: give "
                    "this training another name, or remove that folder"
                )
            return
        if not (other / "state.json").exists():  # or it is being replaced this moment
            raise ValueError(f"start: {self.config.start} has no checkpoint in {self.folder.parent}")
        state = self._load(other, {*SHAPE, "token_files", "seed"})
        before = state.get("before", self.state["before"])
        self.state |= {"update": state["update"], "from": state["update"], "drawn": state["drawn"]}
        self.state["before"] = {key: before[key] + state[key] for key in before}

    def _load(self, checkpoint: Path, held_to: set[str]) -> dict[str, Any]:
        """Take over weights, averages and optimizers of ``checkpoint``, whose settings ``held_to`` must be the same; returns
        its state."""
        state: dict[str, Any] = json.loads((checkpoint / "state.json").read_text("utf-8"))
        stamp = state.pop("stamp")
        if changed := sorted(key for key in held_to if stamp.get(key) != self.stamp.get(key)):
            raise ValueError(
                f"{checkpoint} was made with another {', '.join(changed)}: change it back, or train under another name"
            )
        tensors = read_tensors(checkpoint, "remove that folder, and begin anew")
        parameters = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(tensors[f"model.{name}"])
                self.average[name].copy_(tensors[AVERAGE + name])
        for optimizer, _ in self.optimizers:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    name = next(n for n, p in parameters.items() if p is parameter)
                    prefix = f"optimizer.{name}."
                    optimizer.state[parameter] = {
                        key.removeprefix(prefix): value if key.endswith(".step") else value.to(self.device)
                        for key, value in tensors.items()
                        if key.startswith(prefix)
                    }
        return state

    def finish(self) -> Path:
        """Write the averaged weights as a model folder in bfloat16."""
        self.save()
        self._log(held_out=self.measure())
        partial = self.folder / "model.partial"
        write_model(self.model.config, self.average, self.tokenizer, partial)
        (partial / "pretrain.yaml").write_text(
            yaml.safe_dump(
                {
                    **self.config.to_dict(),
                    "trained_tokens": self.state["tokens"] + self.state["before"]["tokens"],
                    "seconds": round(self.state["seconds"] + self.state["before"]["seconds"]),
                }
            ),
            "utf-8",
        )
        atomic.replace_folder(partial, self.folder / "model")
        return self.folder / "model"

    def _log(self, **figures: Any) -> None:
        state = {
            "update": self.state["update"],
            "tokens": self.state["tokens"],
            "seconds": round(self.state["seconds"], 1),
        }
        line = json.dumps({**state, "progress": round(self.progress, 4), **figures})
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(line + "\n")
        self._say(line)

    def _say(self, line: str) -> None:
        print(line, flush=True)


class _swapped:
    """The model with other weights meanwhile."""

    def __init__(self, model: PreTrainedModel, weights: Mapping[str, torch.Tensor]) -> None:
        self.model, self.weights = model, weights

    @torch.no_grad()
    def __enter__(self) -> None:
        self.own = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        self._copy(self.weights)

    def __exit__(self, *_: object) -> None:
        self._copy(self.own)

    @torch.no_grad()
    def _copy(self, weights: Mapping[str, torch.Tensor]) -> None:
        for name, parameter in self.model.named_parameters():
            parameter.copy_(weights[name])


def _cost(logits: torch.Tensor, wanted: torch.Tensor, z_loss: float) -> torch.Tensor:
    """Summed cross entropy of ``logits`` (N, V) for the tokens ``wanted`` (N,); plus the z-loss (PaLM)."""
    logits = logits.float()
    loss = functional.cross_entropy(logits, wanted, reduction="sum")
    return loss + z_loss * logits.logsumexp(-1).square().sum() if z_loss else loss


def schedule(progress: float, config: PretrainConfig) -> float:
    """Share of the rates at ``progress``: up to `warmup`, level to `hold`, then straight down to `final`."""
    if progress < config.warmup:
        return max(progress / config.warmup, 0.02)
    if progress < config.hold:
        return 1.0
    return 1 - (1 - config.final) * (progress - config.hold) / (1 - config.hold)


def _initial(config: PretrainConfig, tokenizer: Any) -> Qwen3ForCausalLM:
    """Fresh weights; or those of `init`, a token that the old tokenizer has not with the mean embedding of
    what it makes of it."""
    end = tokenizer.eos_token_id
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=config.vocabulary,
            hidden_size=config.width,
            intermediate_size=config.feed_forward,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.kv_heads,
            head_dim=64,
            max_position_embeddings=CONTEXT,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            tie_word_embeddings=True,
            bos_token_id=end,
            eos_token_id=end,
            pad_token_id=end,
        )
    )
    if config.init is None:
        for layer in model.model.layers:  # blocks that add nothing at first (Fixup; modded-nanogpt)
            nn.init.zeros_(layer.self_attn.o_proj.weight)
            nn.init.zeros_(layer.mlp.down_proj.weight)
        return model
    base = resolve(config.init)
    weights = load_weights(base).state_dict()
    rows = weights["model.embed_tokens.weight"]
    old = base.tokenizer()
    known = old.get_vocab()
    embedding = torch.stack(
        [
            rows[known[token]] if token in known else rows[_old_ids(old, tokenizer.decode([i]))].mean(0)
            for i, token in enumerate(tokenizer.convert_ids_to_tokens(range(config.vocabulary)))
        ]
    )
    state = {k: v for k, v in weights.items() if k not in ("model.embed_tokens.weight", "lm_head.weight")}
    state |= {"model.embed_tokens.weight": embedding, "lm_head.weight": embedding}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{config.init} has another shape than the configuration: {error}") from error
    return model


def _old_ids(old: Any, piece: str) -> list[int]:
    return old(piece, add_special_tokens=False)["input_ids"] or [old.eos_token_id]


def _optimizers(model: PreTrainedModel, config: PretrainConfig) -> list[tuple[torch.optim.Optimizer, float]]:
    """Muon for the matrices of the blocks, AdamW for the rest, each with its peak rate."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    known = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in known]
    muon = torch.optim.Muon(
        matrices,
        lr=config.lr_matrix,
        weight_decay=config.weight_decay,
        momentum=0.95,
        adjust_lr_fn="match_rms_adamw",
    )
    adam = torch.optim.AdamW(others, lr=config.lr_other, betas=(0.9, 0.98), weight_decay=0.0)
    return [(muon, config.lr_matrix), (adam, config.lr_other)]
