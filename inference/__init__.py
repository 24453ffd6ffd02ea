"""Loads models, samples new texts and scores them against the originals; writes the report.

Knows `data` but not `training`: the one link to a training run is its directory. Names are imported on first use, so
that ``import inference`` and every ``--help`` stay fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import data.environment  # noqa: F401  must come before torch and Hugging Face

if TYPE_CHECKING:
    from inference.checkpoints import Checkpoint, load
    from inference.likelihood import perplexity
    from inference.metrics import load_metric
    from inference.sample import Sample
    from inference.sampling import generate, stream
    from inference.scorecard import Scorecard
    from inference.scoring import score

_HOME = {
    "Checkpoint": "inference.checkpoints",
    "Sample": "inference.sample",
    "Scorecard": "inference.scorecard",
    "generate": "inference.sampling",
    "load": "inference.checkpoints",
    "load_metric": "inference.metrics",
    "perplexity": "inference.likelihood",
    "score": "inference.scoring",
    "stream": "inference.sampling",
}

__all__ = [
    "Checkpoint",
    "Sample",
    "Scorecard",
    "generate",
    "load",
    "load_metric",
    "perplexity",
    "score",
    "stream",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'inference' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
