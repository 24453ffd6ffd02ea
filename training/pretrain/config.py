"""What one pretraining is: the fields of configs/base-*.yaml, checked. Fine-tuning has its own (`training.config`)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from training.settings import NAME, Rule, build, check, is_name, read_settings


@dataclass(frozen=True)
class PretrainConfig:
    """Settings of a pretraining; shares and fractions are 0..1."""

    name: str = "base"
    """Folder under runs/ for checkpoint, log and model."""
    data: str = "runs/base-data"
    """The prepared folder."""
    vignettes: str = "data/vignettes"
    """Folder of .txt with gold briefs, trained beside the corpus."""
    forbidden: str = "data/seeds"
    """Texts that nothing trained may share eight words in a row with; whatever `load_originals` takes."""
    init: str | None = None
    """Weights to start from: "embedded" or a model folder of the same shape; embeddings go by token. None: fresh ones."""
    start: str | None = None
    """Name of another training, whose last checkpoint this one starts from, with its optimizers and with what it has drawn: an
    unfinished training cools down beside itself and can go on after."""
    layers: int = 8
    width: int = 320
    heads: int = 5
    kv_heads: int = 5
    feed_forward: int = 896
    vocabulary: int = 6144
    length: int = 768
    """Most tokens of a row."""
    tokens_per_update: int = 16_384
    tokens_per_batch: int = 8_192
    """Padded tokens that go through the model at once."""
    tokens: int | None = None
    """Tokens to train on; or `minutes`, exactly one of the two."""
    minutes: float | None = None
    """Training time, over all resumptions."""
    warmup: float = 0.02
    """Fraction of the training over which rates rise."""
    hold: float = 0.4
    """Fraction after which rates fall."""
    final: float = 0.04
    """Share of the rates that is left at the end."""
    lr_matrix: float = 1.5e-3
    """Of Muon (Jordan 2024), scaled to match AdamW's (Liu et al. 2025, arXiv 2502.16982)."""
    lr_other: float = 5e-3
    """Of AdamW, for embedding and gains."""
    weight_decay: float = 0.3
    """Of the matrices."""
    compile: bool = False
    """Fuse operations with torch.compile: needs a C++ compiler on a CPU; sums are rounded otherwise than without."""
    clip: float = 1.0
    z_loss: float = 0.0
    dropout: float = 0.0
    """Of what attention and feed-forward add to the residual stream."""
    ema: float = 0.995
    """Share of the averaged weights that an update keeps."""
    last: float = 0.8
    """Fraction from which `mix_last` is drawn."""
    mix: dict[str, float] = field(default_factory=dict)
    """Bucket to share of tokens."""
    mix_last: dict[str, float] = field(default_factory=dict)
    keep: dict[str, float] = field(default_factory=dict)
    """Source to the share of its texts that `prepare` takes, always the same ones; all of a source that is not named."""
    briefs: dict[str, float] = field(default_factory=dict)
    """Source to the share of its stories that stand behind a brief; `pieces.WITH_BRIEF` of a source that is not named."""
    mirrored: dict[str, float] = field(default_factory=dict)
    """Source to the share of its stories about women that are told of men instead, if nothing in them is bound to one gender
    (`training.pretrain.mirror`)."""
    save_minutes: float = 5.0
    measure_minutes: float = 15.0
    seed: int = 0

    def __post_init__(self) -> None:
        check(self, _RULES, self._together)

    def _together(self, wrong: set[str]) -> list[str]:
        """What is wrong between fields; those that are ``wrong`` by themselves go with nothing."""
        problems = []
        if (self.tokens is None) == (self.minutes is None):
            problems.append(f"tokens, minutes: give one of the two, found {self.tokens} and {self.minutes}")
        if wrong.isdisjoint({"warmup", "hold"}) and self.warmup > self.hold:
            problems.append(f"warmup: must not be above hold, found {self.warmup} and {self.hold}")
        if self.init and self.start:
            problems.append(f"init, start: give one of the two, found {self.init} and {self.start}")
        return problems

    @property
    def sources(self) -> set[str]:
        """Those that the mixes name buckets of."""
        return {bucket.split("/")[0] for bucket in (*self.mix, *self.mix_last)}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for YAML."""
        return asdict(self)


def load_pretrain_config(path: str | Path, overrides: Mapping[str, Any] | None = None) -> PretrainConfig:
    """The configuration in a YAML file, with ``overrides`` on top; ValueError lists what is wrong with it."""
    return build(PretrainConfig, {**read_settings(path), **(overrides or {})}, str(path))


_SHARE = "from 0 to 1"
_COUNT = "at least 1"


def _share(value: float) -> bool:
    return 0 <= value <= 1


def _shares(value: Mapping[str, float]) -> bool:
    return all(map(_share, value.values()))


def _count(value: int) -> bool:
    return value >= 1


_RULES: list[Rule] = [
    *((key, _SHARE, _share) for key in ("warmup", "hold", "final", "ema", "last")),
    *((key, _COUNT, _count) for key in ("layers", "heads", "kv_heads", "feed_forward")),
    *((key, _COUNT, _count) for key in ("length", "tokens_per_update", "tokens_per_batch")),
    ("name", NAME, is_name),
    ("start", f"null, or {NAME}", lambda v: v is None or is_name(v)),
    ("width", "at least 8", lambda v: v >= 8),
    ("vocabulary", "from 300 to 1000000", lambda v: 300 <= v <= 10**6),
    ("tokens", "at least 1, or null", lambda v: v is None or v >= 1),
    ("minutes", "above 0, or null", lambda v: v is None or v > 0),
    ("lr_matrix", "above 0 and below 1", lambda v: 0 < v < 1),
    ("lr_other", "above 0 and below 1", lambda v: 0 < v < 1),
    ("weight_decay", "from 0 to 100", lambda v: 0 <= v <= 100),
    ("clip", "above 0", lambda v: v > 0),
    ("z_loss", _SHARE, _share),
    ("dropout", "from 0 to below 1", lambda v: 0 <= v < 1),
    ("mix", "shares above 0 that name a bucket each", lambda v: bool(v) and min(v.values()) > 0),
    ("mix_last", "shares above 0 that name a bucket each", lambda v: not v or min(v.values()) > 0),
    *((key, "shares from 0 to 1", _shares) for key in ("briefs", "mirrored")),
    ("keep", "shares above 0, up to 1", lambda v: all(0 < share <= 1 for share in v.values())),
    ("save_minutes", "at least 0", lambda v: v >= 0),
    ("measure_minutes", "at least 0", lambda v: v >= 0),
    ("seed", "from 0 to 4294967295", lambda v: 0 <= v < 2**32),
]
