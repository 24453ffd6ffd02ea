"""What the teaching of a base is: the fields of configs/base/stories*.yaml, checked. Fine-tuning has its own (`training.config`)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from training.base.rows import FORMS
from training.settings import NAME, Rule, build, check, is_name, read_settings


@dataclass(frozen=True)
class BaseConfig:
    """Settings of `training.base`; shares are from 0 to 1."""

    name: str = "stories"
    """Folder under runs/ for checkpoint, log and adapter."""
    base: str = "smollm2"
    """Model to teach: "smollm2", a model folder, or a hub id."""
    stories: str = "data/stories/stories.jsonl.xz"
    """File of stories that `prepare` wrote."""
    start: str | None = None
    """Folder of an adapter to go on from, such as data/base_models/stories. null: a fresh one."""
    rank: int = 32
    """Rank of the adapter (LoRA, Hu et al. 2021, arXiv 2106.09685) in every linear layer."""
    alpha: float = 64.0
    """Strength of the adapter; it is multiplied by alpha / rank."""
    learning_rate: float = 5e-4
    """Peak rate of AdamW."""
    warmup: float = 0.03
    """Share of the training over which the rate rises."""
    hold: float = 0.5
    """Share of the training after which the rate falls."""
    final: float = 0.05
    """Share of the rate that is left at the end."""
    candidates: int = 0
    """Tokens drawn at each step to stand for those that no story uses, 2048 for example; 0: all of the vocabulary is worked out.
    Saves a tenth of the time with a large vocabulary."""
    tokens_per_step: int = 2400
    """Tokens of one step, over all processes; rows are added until there are as many."""
    tokens: int | None = None
    """Tokens to train on; or `minutes`, exactly one of the two."""
    minutes: float | None = None
    """Training time in minutes, over all resumptions."""
    context: int = 1280
    """Most tokens of a row; a longer row is left out."""
    clip: float = 1.0
    """Largest norm of the gradient of a step."""
    forms: dict[str, float] = field(
        default_factory=lambda: {"story": 0.3, "plan": 0.1, "told": 0.5, "beat": 0.1}
    )
    """Share of the rows of each form; `training.base.rows` explains them."""
    sources: dict[str, float] = field(default_factory=dict)
    """How often each pass has the stories of a source: 0.25 is every fourth, 2 is all of them twice. Once where it is not named."""
    bare: dict[str, float] = field(default_factory=lambda: {"": 0.12})
    """Share of the rows of a source that have no brief; "" is for the sources that are not named; 0 where it is left out."""
    renamed: float = 0.7
    """Share of the rows whose people get other names."""
    plots: str | None = None
    """File with finer beats of the stories (`data.plots`). null: there are none."""
    finer: float = 0.6
    """Share of the rows told, and of those for a beat, that have a story's finer beats."""
    choices: str | None = None
    """File of rated candidates (`training.base.choices`): the adapter in `start` learns to prefer the better ones, and no rows of
    stories are shown. null: stories are taught."""
    tuned: str = "runs"
    """With `choices`: folder of the runs whose tuned models told the stories that name one (`by`). The adapter learns on top of what
    such a tuning changed, so that a tuned model gains by it. Each run takes as much memory as the base."""
    beta: float = 0.1
    """With `choices`: how much a candidate's probability must move; a smaller one lets the model go further away from `start`."""
    gap: float = 1.5
    """With `choices`: least difference of two ratings, from 0 to 10, that makes a pair."""
    copying: float = 0.0
    """With `choices`: points that a candidate loses if all of its 4-grams stand in its beat; half of them if half do. To repeat the plot
    is the surest way to be right, so ratings for sense alone teach it."""
    imitate: float = 0.2
    """With `choices`: what learning the best candidates as stories are learned counts, beside preferring them."""
    save_minutes: float = 5.0
    """Minutes between two checkpoints."""
    measure_minutes: float = 30.0
    """Minutes between two measurements on test stories."""
    test_source: str | None = None
    """Source whose test stories are measured, such as flowing; null: of all."""
    measured: int = 12
    """Test stories of a measurement."""
    seed: int = 0
    """Seed of all that is drawn."""

    def __post_init__(self) -> None:
        check(self, _RULES, self._together)

    def _together(self, wrong: set[str]) -> list[str]:
        if (self.tokens is None) == (self.minutes is None):
            return [f"tokens, minutes: give one of the two, found {self.tokens} and {self.minutes}"]
        if self.choices is not None and self.start is None:
            return ["choices: needs the adapter that drew them; set start, such as data/base_models/stories"]
        if wrong.isdisjoint({"warmup", "hold"}) and self.warmup > self.hold:
            return [f"warmup: must not be above hold, found {self.warmup} and {self.hold}"]
        return []

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for YAML."""
        return asdict(self)


def load_base_config(path: str | Path, overrides: Mapping[str, Any] | None = None) -> BaseConfig:
    """Read a `BaseConfig` from a YAML file, with ``overrides`` on top; ValueError lists what is wrong with it."""
    return build(BaseConfig, {**read_settings(path), **(overrides or {})}, str(path))


def _shares(value: Mapping[str, float]) -> bool:
    return all(0 <= share <= 1 for share in value.values())


_RULES: list[Rule] = [
    *((key, "from 0 to 1", lambda v: 0 <= v <= 1) for key in ("warmup", "hold", "final", "renamed", "finer")),
    *((key, "at least 1", lambda v: v >= 1) for key in ("rank", "tokens_per_step", "measured")),
    ("candidates", "at least 0", lambda v: v >= 0),
    ("name", NAME, is_name),
    ("alpha", "above 0", lambda v: v > 0),
    ("learning_rate", "above 0 and below 1", lambda v: 0 < v < 1),
    ("tokens", "at least 1, or null", lambda v: v is None or v >= 1),
    ("minutes", "above 0, or null", lambda v: v is None or v > 0),
    ("beta", "above 0", lambda v: v > 0),
    ("gap", "above 0", lambda v: v > 0),
    ("copying", "at least 0", lambda v: v >= 0),
    ("imitate", "at least 0", lambda v: v >= 0),
    ("context", "at least 32", lambda v: v >= 32),
    ("clip", "above 0", lambda v: v > 0),
    (
        "forms",
        f"shares from 0 to 1 of {', '.join(FORMS)}, one of them above 0",
        lambda v: _shares(v) and set(v) <= set(FORMS) and any(v.values()),
    ),
    ("sources", "from 0 to 100 for each", lambda v: all(0 <= often <= 100 for often in v.values())),
    ("bare", "shares from 0 to 1", _shares),
    ("save_minutes", "at least 0", lambda v: v >= 0),
    ("measure_minutes", "at least 0", lambda v: v >= 0),
    ("seed", "from 0 to 4294967295", lambda v: 0 <= v < 2**32),
]
