"""Every setting of a training run, with its unit, default and range; `training.settings` reads and checks them.

Does not train, and does not look at the originals or the base; `training.job` does.
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.bases import DEFAULT
from data.brief import PLANS
from training.settings import NAME, Rule, build, check, is_name, read_settings

EPOCHS, FEWEST, MOST = 3, 10, 120
"""What max_steps is where it is not set: times that every original is shown, and the updates that this stays between."""


@dataclass(frozen=True)
class TrainConfig:
    """One training run. All lengths are tokens, all steps optimizer updates."""

    name: str = "unnamed"
    """Name of the run; its directory is OUTPUT_DIR/NAME. Letters, digits, dots, dashes and underscores."""

    originals: str = "data/seeds"
    """Folder of .txt or .md files, a .jsonl file, or a datasets id."""

    output_dir: str = "runs"
    """Folder that holds the run directories."""

    base: str = DEFAULT
    """Model to tune: stories (SmolLM2-135M taught to tell stories; embedded is another name), smollm2 (as it comes),
    tiny (untrained, for tests), a folder, or a hub id."""

    base_revision: str | None = None
    """Commit, tag or branch of a hub id; null takes the newest."""

    seed: int = 0
    """Random seed of everything: order, dropout, fresh adapters, drawn briefs and samples."""

    device: str = "auto"
    """auto (cuda, mps, cpu in this order), cuda, mps or cpu."""

    dtype: str = "auto"
    """Arithmetic of training: auto, float32 or bfloat16 (autocast; weights stay float32)."""

    hold_out: bool = True
    """Hold each original out once (in six groups above 12 originals) to measure and to choose the steps."""

    steps: int | None = None
    """Updates of the final model; null lets the held-out curves choose, and needs hold_out."""

    max_steps: int | None = None
    """Updates of each fold, the most that can be chosen; null: as many as show every original three times, those longer than the context in
    part, 10 to 120."""

    eval_every: int | None = None
    """Updates between two points of the held-out curves; steps are chosen among these points. Null: a fifth of max_steps."""

    learning_rate: float = 3e-5
    """Rate after warm-up; constant, so that a step means the same whatever the horizon."""

    warmup_steps: int = 1
    """Updates before the rate is all there; it rises evenly, and the first update has its part."""

    weight_decay: float = 0.0
    """AdamW's decoupled decay, as a fraction of the weight per update at rate 1."""

    max_grad_norm: float = 1.0
    """Gradients are scaled down to this L2 norm; 0 leaves them alone."""

    batch_size: int = 4
    """Token blocks (as a rule whole texts) of originals an update sees; all of them once where there are fewer."""

    micro_batch_size: int | None = None
    """Most blocks in memory at once; null takes all of an update. The result is the same, in less memory."""

    replay: int = 0
    """Stories of data/stories/ that an update sees besides, so that the model keeps to its briefs; a third of an update is plenty."""

    briefs: float = 0.5
    """Share of the times that an original is shown behind a part of its brief (`data.detect`'s, or that beside the file), 0 to 1."""

    beats: float = 0.5
    """Share of those times that it has beats too, one line for each paragraph, 0 to 1. Texts without beats of their own get those that
    the base writes, the first 64 texts alone. Bases other than stories write none."""

    refill_names: bool = True
    """Give the people of each original other names every time it is shown, so that none is learned."""

    refill_scenes: bool = False
    """Give its protagonist another occupation of the same kind too, and its towns and streets other names."""

    goldfish: int = 0
    """One token in so many is never asked for, always the same after the same words, so that no text is learned by heart; 0: all are."""

    neftune: float = 0.0
    """Noise on the embeddings, alpha of NEFTune (Jain et al. 2023, arXiv 2310.05914); 0: none."""

    dropout: float = 0.0
    """Share of what attention and feed-forward add that is dropped in training, 0 to 1."""

    layer_decay: float = 1.0
    """Factor on the rate from each layer to the one below (Howard & Ruder 2018); 1: all alike."""

    interpolation: float = 1.0
    """Share of the way from the base's weights to the tuned ones that a model stands at, at every look and at the end (WiSE-FT,
    Wortsman et al. 2022, arXiv 2109.01903), above 0 to 1; 1: all the way."""

    context: int | None = None
    """Longest block in tokens; longer texts become overlapping windows. Null takes the base's own."""

    lora_rank: int = 0
    """Rank of LoRA adapters on the linear layers, merged at the end; 0 tunes all weights."""

    lora_layers: int = 0
    """How many of the uppermost layers have adapters; 0: all. What lies below stays as it is. On a CPU in float32, with a micro_batch_size
    of 1, it is worked out once for each row of all tunings."""

    lora_alpha: float = 16.0
    """LoRA's scale: updates are multiplied by alpha / rank."""

    lora_dropout: float = 0.0
    """Share of adapter inputs dropped in training, 0 to 1."""

    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them: less memory, about a third slower."""

    checkpoint_seconds: float = 60.0
    """Seconds of tuning between two checkpoints that an interrupted run goes on from; 0 writes one after each update."""

    tensorboard: bool = False
    """Write losses and held-out curves for TensorBoard into the run's tensorboard/ folder."""

    samples: int = 8
    """Texts drawn from the final model for the report, and as many from the base for the floor."""

    best_of: int = 3
    """Candidates for each of as many texts again, of which one is chosen to be shown (`inference.choosing`); 1: nothing is chosen."""

    plan: str = "auto"
    """Whose plot a text is told from (`inference.plans`): auto (the bank's, where the base was taught to), bank, model or none."""

    draws: int = 4
    """Paragraphs that are drawn for each beat of a plot, of which one is taken."""

    samples_per_fold: int = 2
    """Texts drawn from each fold's model and scored against the original it never saw."""

    samples_control: int = 8
    """Texts drawn from the control, the base tuned as far on as many texts of another manner: what of the style is tuning on
    anything at all. As many as `samples` compare best. 0 leaves it out."""

    temperature: float = 0.8
    """Temperature that the model is saved with and sampled at, 0 (greedy) and up."""

    top_p: float = 1.0
    """Share of probability that sampling keeps, above 0 to 1."""

    min_p: float = 0.1
    """Tokens less probable than this fraction of the most probable one are not drawn, 0 to 1."""

    guidance: float = 2.0
    """How often a brief counts where samples are drawn without beats, 1 to 10; 1: once, in two thirds of the time."""

    guard: bool = True
    """Samples of the report may not go on with a run of an original's words beyond the length that the originals share."""

    keep_folds: bool = False
    """Keep the weights of the fold models in folds/, and of the control in control/, after their samples are drawn."""

    def __post_init__(self) -> None:
        check(self, _RULES, self._together)

    def _together(self, _: set[str]) -> list[str]:
        """What is wrong between fields."""
        if self.steps is None and self.hold_out is False:
            return ["steps: nothing chooses them without hold_out; set steps to a number, or hold_out: true"]
        return []

    def horizon(self, originals: int) -> int:
        """Updates of each fold: up to the most that can be chosen, and to what the user set."""
        shown = EPOCHS * -(-originals // self.batch_size)
        return max(self.max_steps or min(max(FEWEST, shown), MOST), self.steps or 0)

    def to_dict(self) -> dict[str, Any]:
        """All fields, defaults included."""
        return dataclasses.asdict(self)


def load_config(path: str | Path, overrides: Mapping[str, Any] | None = None) -> TrainConfig:
    """The configuration in a YAML file, with ``overrides`` on top.

    A relative ``originals`` or ``base`` folder is taken from the working directory, as on the command line. Raises
    ValueError that lists every unknown key (with the nearest known one), wrong type and value out of range.
    """
    return build(TrainConfig, {**read_settings(path), **(overrides or {})}, str(path))


def build_config(values: Mapping[Any, Any]) -> TrainConfig:
    """A configuration from plain values; the same checks as `load_config`."""
    return build(TrainConfig, values, "the settings")


def name_from(originals: str) -> str:
    """A run name for a folder, file or dataset id: its last part, what a name can't have replaced by dashes.

    >>> name_from("my texts/Été noir/")
    'Été-noir'
    """
    stem = Path(originals).resolve().name.removesuffix(".jsonl").removesuffix(".txt")
    return re.sub(r"[^\w.]+", "-", stem).strip("-._") or "unnamed"


_RULES: list[Rule] = [
    ("name", NAME, is_name),
    ("device", "auto, cuda, mps or cpu", lambda v: v in {"auto", "cuda", "mps", "cpu"}),
    ("dtype", "auto, float32 or bfloat16", lambda v: v in {"auto", "float32", "bfloat16"}),
    ("seed", "from 0 to 4294967295", lambda v: 0 <= v < 2**32),
    ("steps", "from 0 to 1000000, or null", lambda v: v is None or 0 <= v <= 10**6),
    ("max_steps", "from 1 to 1000000, or null", lambda v: v is None or 1 <= v <= 10**6),
    ("eval_every", "at least 1, or null", lambda v: v is None or v >= 1),
    ("learning_rate", "above 0 and below 1", lambda v: 0 < v < 1),
    ("warmup_steps", "at least 0", lambda v: v >= 0),
    ("weight_decay", "from 0 to 100", lambda v: 0 <= v <= 100),
    ("max_grad_norm", "from 0 to 1000000", lambda v: 0 <= v <= 10**6),
    ("batch_size", "from 1 to 100000", lambda v: 1 <= v <= 10**5),
    ("micro_batch_size", "from 1 to 100000, or null", lambda v: v is None or 1 <= v <= 10**5),
    ("replay", "from 0 to 100000", lambda v: 0 <= v <= 10**5),
    ("briefs", "from 0 to 1", lambda v: 0 <= v <= 1),
    ("beats", "from 0 to 1", lambda v: 0 <= v <= 1),
    ("goldfish", "0, or from 2 to 1000000", lambda v: v == 0 or 2 <= v <= 10**6),
    ("neftune", "from 0 to 1000", lambda v: 0 <= v <= 1000),
    ("dropout", "from 0 to below 1", lambda v: 0 <= v < 1),
    ("layer_decay", "above 0, up to 1", lambda v: 0 < v <= 1),
    ("interpolation", "above 0, up to 1", lambda v: 0 < v <= 1),
    ("context", "at least 8, or null", lambda v: v is None or v >= 8),
    ("lora_rank", "from 0 to 4096", lambda v: 0 <= v <= 4096),
    ("lora_layers", "from 0 to 10000", lambda v: 0 <= v <= 10**4),
    ("lora_alpha", "above 0", lambda v: 0 < v <= 10**6),
    ("lora_dropout", "from 0 to below 1", lambda v: 0 <= v < 1),
    ("checkpoint_seconds", "from 0 to 1000000", lambda v: 0 <= v <= 10**6),
    ("samples", "from 1 to 100000", lambda v: 1 <= v <= 10**5),
    ("best_of", "from 1 to 1000", lambda v: 1 <= v <= 1000),
    ("draws", "from 1 to 64", lambda v: 1 <= v <= 64),
    ("plan", "auto, bank, model or none", lambda v: v in PLANS and v != "given"),
    ("samples_per_fold", "from 0 to 100000", lambda v: 0 <= v <= 10**5),
    ("samples_control", "from 0 to 100000", lambda v: 0 <= v <= 10**5),
    ("temperature", "from 0 to 10", lambda v: 0 <= v <= 10),
    ("top_p", "above 0, up to 1", lambda v: 0 < v <= 1),
    ("min_p", "from 0 to 1", lambda v: 0 <= v <= 1),
    ("guidance", "from 1 to 10", lambda v: 1 <= v <= 10),
]
