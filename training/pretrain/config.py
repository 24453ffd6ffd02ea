"""What one pretraining is: the fields of configs/base-*.yaml, checked. Fine-tuning has its own (`training.config`)."""

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml


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
    save_minutes: float = 5.0
    measure_minutes: float = 15.0
    seed: int = 0

    def __post_init__(self) -> None:
        problems = []
        if (self.tokens is None) == (self.minutes is None):
            problems.append(f"give tokens or minutes, found tokens={self.tokens} and minutes={self.minutes}")
        if not self.mix:
            problems.append("mix names no bucket")
        for key in ("warmup", "hold", "final", "last", "ema", "dropout"):
            if not 0 <= getattr(self, key) <= 1:
                problems.append(f"{key} must be between 0 and 1, found {getattr(self, key)}")
        if self.warmup > self.hold:
            problems.append(f"warmup must not be above hold, found {self.warmup} and {self.hold}")
        if problems:
            raise ValueError("not a valid pretraining: " + "; ".join(problems))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for YAML."""
        return asdict(self)


def load_pretrain_config(path: str | Path, overrides: dict[str, Any] | None = None) -> PretrainConfig:
    """The configuration in a YAML file; ValueError names unknown keys."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(
            f"there is no file {path}: presets are configs/base-cpu.yaml and configs/base-gpu.yaml"
        )
    values = {**(yaml.safe_load(path.read_text("utf-8")) or {}), **(overrides or {})}
    known = {one.name for one in fields(PretrainConfig)}
    if unknown := sorted(set(values) - known):
        raise ValueError(
            f"unknown keys in {path}: {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        )
    return PretrainConfig(**values)
