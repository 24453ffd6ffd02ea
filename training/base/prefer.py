"""Teaches a base to prefer the better of its own paragraphs: direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290).

More stories of other writers did not make a small base more sensible (LAB.md). Its own slips did: candidates that it drew for one beat are
rated, and the adapter learns to make a better one more probable than a worse one, beside what it was at the start. The best ones are
also learned as stories are, so that they don't become rarer together (Pang et al. 2024, arXiv 2404.19733).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from data import atomic
from data.bases import Base
from inference.checkpoints import load_weights
from training import processes
from training.base.adapt import Training
from training.base.adapter_files import ADAPTER, read_adapter
from training.base.choices import Tree, read_choices, tree
from training.base.config import BaseConfig
from training.base.rows import passes

FULL = 4.0
"""Difference of two ratings from which on a pair counts fully; a smaller one counts as its share."""

GOOD = 6.0
"""Lowest rating of a best candidate that is imitated, after what `copying` takes."""


class Preferring(Training):
    """A training whose steps show stories with their rated candidates."""

    def _begin(self, config: BaseConfig) -> None:
        assert config.choices is not None and config.start is not None  # `BaseConfig` checks it
        self.stories = read_choices(Path(config.choices))
        super()._begin(config)
        self.core.set_attn_implementation("sdpa")  # a candidate sees its story and no other candidate
        grown = [
            (tree(story, self.tokenizer, self._worth, config.copying), story.by) for story in self.stories
        ]
        trees = [(one, by) for one, by in grown if one.rated]
        if not trees:
            raise ValueError(
                f"{config.choices} has no beat whose candidates differ by {config.gap:g} or more; rate them, or set a smaller gap"
            )
        most = max(config.tokens_per_step, config.context)
        kept = [(one, by) for one, by in trees if len(one.ids) <= most]
        self.trees, self.by = [one for one, _ in kept], [by for _, by in kept]
        if not self.trees:
            shortest = min(len(one.ids) for one, _ in trees)
            raise ValueError(
                f"every story of {config.choices} has more than {most} tokens with its candidates; "
                f"set tokens_per_step to {shortest} or more"
            )
        self.pairs = [_pairs(one, config.gap) for one in self.trees]
        self.stream_of_trees = passes(len(self.trees), self.state["drawn"], f"{config.seed}:choices")
        start = read_adapter(Path(config.start))[0]
        self.frozen = {by: self._frozen(by, start) for by in sorted({"", *self.by})}
        self.reference = self._references(start)
        beats = sum(len(one.rated) for one in self.trees)
        self._say(
            f"{len(self.trees)} rated stories, {beats} beats, {sum(map(len, self.pairs))} pairs; "
            f"{len(trees) - len(self.trees)} stories are left out, since they have more than {most} tokens"
        )

    def _other_weights(self) -> int:
        return len({story.by for story in self.stories} - {""})

    def _stamp(self, config: BaseConfig) -> dict[str, Any]:
        assert config.choices is not None and config.start is not None
        adapter = Path(config.start) / ADAPTER
        if not adapter.is_file():
            raise ValueError(f"there is no adapter in {config.start}; set start to a folder with {ADAPTER}")
        hashes = {
            "choices_sha256": atomic.sha256(Path(config.choices)),
            "start_sha256": atomic.sha256(adapter),
        }
        runs = sorted({story.by for story in self.stories if story.by})
        return (
            super()._stamp(config) | hashes | {"tuned_sha256": {by: self._tuned(by).sha256() for by in runs}}
        )

    def _tuned(self, by: str) -> Base:
        folder = Path(self.config.tuned) / by / "model"
        if not folder.is_dir():
            raise ValueError(
                f"{self.config.choices} has stories of the run {by}, and there is no {folder}; train it again, or set tuned to the "
                "folder of its run"
            )
        return Base(by, folder)

    def _layers(self) -> dict[str, Any]:
        """The layers that have an adapter, by the names that they have without one."""
        return {name: layer for name, layer in self.core.named_modules() if hasattr(layer, "lora_A")}

    def _frozen(self, by: str, start: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The frozen weights on which the adapter ``start`` gives the tuned model of the run ``by``."""
        layers = self._layers()
        if not by:
            return {name: layer.base_layer.weight.data for name, layer in layers.items()}
        tuned, found = load_weights(self._tuned(by)).state_dict(), {}
        for name, layer in layers.items():
            own, weight = layer.base_layer.weight, tuned.get(f"{name}.weight")
            if weight is None or weight.shape != own.shape:
                raise ValueError(
                    f"the run {by} in {self.config.tuned} is of another base than {self.config.base}; set base to its own"
                )
            down, up = (start[f"base_model.model.{name}.lora_{part}.default.weight"] for part in "AB")
            found[name] = (weight - layer.scaling["default"] * (up @ down)).to(own)
        return found

    def _stand_on(self, by: str) -> None:
        """Put the frozen weights of the run ``by`` under the adapter; of the base where it is empty."""
        for name, layer in self._layers().items():
            layer.base_layer.weight.data = self.frozen[by][name]

    def _worth(self, ratings: Sequence[float]) -> bool:
        return len(ratings) > 1 and max(ratings) - min(ratings) >= self.config.gap

    def measure(self) -> dict[str, float]:
        """As of any base: without what a tuning changed."""
        self._stand_on("")
        return super().measure()

    @torch.no_grad()
    def _references(self, start: dict[str, torch.Tensor]) -> list[torch.Tensor]:
        """The log probability of every candidate under the adapter that the training began from."""
        now = {name: p.detach().clone() for name, p in self.weights.items()}
        self._take(start)
        self.model.eval()
        found = [self._logs(number)[0] for number in range(len(self.trees))]
        self.model.train()
        self._take(now)
        return found

    def _draw(self) -> list[Any]:
        """The numbers of the stories of the next step."""
        found: list[int] = []
        while self._size(found) < self.config.tokens_per_step:
            _, number = next(self.stream_of_trees)
            found.append(number)
            self.state["drawn"] += 1
        return found

    def _size(self, rows: Sequence[Any]) -> int:
        return sum(len(self.trees[number].ids) for number in rows)

    def _learn(self, rows: Sequence[Any]) -> torch.Tensor | None:
        """The gradient tree by tree, so that one alone is in memory; the loss of all of this process's."""
        total: torch.Tensor | None = None
        for loss in self._losses(rows):
            loss.backward()
            total = loss.detach() if total is None else total + loss.detach()
        return total

    def _losses(self, rows: Sequence[Any]) -> Iterator[torch.Tensor]:
        """Yield what each of this process's trees adds to the loss, in which all pairs and all beats of all processes count alike."""
        config = self.config
        weights = sum(weight for number in rows for *_, weight in self.pairs[number])
        beats = sum(len(self.trees[number].rated) for number in rows)
        for number in rows[processes.rank() :: processes.count()]:
            logs, counts = self._logs(number)
            better, worse, weight = (
                torch.tensor(column, device=logs.device) for column in zip(*self.pairs[number], strict=True)
            )
            gained = logs - self.reference[number]
            preferred = functional.logsigmoid(config.beta * (gained[better] - gained[worse]))
            loss = -(preferred * weight).sum() / weights
            for best in _best(self.trees[number]):
                loss = loss - config.imitate / beats * (logs[best] / counts[best]).mean()
            yield loss

    def _logs(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The log probability (candidates,) of each candidate of a tree, and its tokens."""
        self._stand_on(self.by[number])
        one, device = self.trees[number], self.device
        ids = torch.tensor([one.ids], device=device)
        with self._arithmetic():
            hidden = self.core.model(
                input_ids=ids,
                position_ids=torch.tensor([one.positions], device=device),
                attention_mask=one.sees().to(device)[None, None],
                use_cache=False,
            ).last_hidden_state[0]
            logits = self.core.lm_head(hidden[torch.tensor(one.places(), device=device)])
        wanted = torch.cat([ids[0, start : start + count] for _, start, count in one.branches])
        logs = -functional.cross_entropy(logits.float(), wanted, reduction="none")
        counts = [count for *_, count in one.branches]
        return torch.stack([part.sum() for part in logs.split(counts)]), torch.tensor(counts, device=device)


def _pairs(one: Tree, gap: float) -> list[tuple[int, int, float]]:
    """The better and the worse branch of each pair of one beat that differ by ``gap`` or more, and what the pair counts."""
    return [
        (better, worse, min(1.0, (high - low) / FULL))
        for rated in one.rated
        for high, better in rated
        for low, worse in rated
        if high - low >= gap
    ]


def _best(one: Tree) -> Iterator[list[int]]:
    """Of each beat the branches with the highest rating, where that is `GOOD`."""
    for rated in one.rated:
        highest = max(rating for rating, _ in rated)
        if highest >= GOOD:
            yield [branch for rating, branch in rated if rating == highest]
