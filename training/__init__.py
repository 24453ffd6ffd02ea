"""Fine-tunes a base on a handful of originals, holding each out in turn, and writes the run directory.

Knows `data` and `inference`. Names are imported on first use, so that every ``--help`` stays fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import data.environment  # noqa: F401  must come before torch and Hugging Face

if TYPE_CHECKING:
    from training.config import TrainConfig, load_config
    from training.job import train

_HOME = {"TrainConfig": "training.config", "load_config": "training.config", "train": "training.job"}

__all__ = ["TrainConfig", "load_config", "train"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'training' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
