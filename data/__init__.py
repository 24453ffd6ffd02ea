"""Originals, briefs, folds and token blocks: everything that happens to the texts before a model sees them.

Knows nothing of models, training or scores. Names are imported on first use, so that ``import data`` and every
``--help`` stay fast; no module here is named like a public function, since importing it would hide that function.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import data.environment  # noqa: F401  must come before torch and Hugging Face

if TYPE_CHECKING:
    from data.brief import Brief
    from data.dataset import build_dataset
    from data.detect import detect_brief
    from data.draw import draw_briefs
    from data.originals import Original, load_originals
    from data.splits import Fold, folds

_HOME = {
    "Brief": "data.brief",
    "Fold": "data.splits",
    "Original": "data.originals",
    "build_dataset": "data.dataset",
    "detect_brief": "data.detect",
    "draw_briefs": "data.draw",
    "folds": "data.splits",
    "load_originals": "data.originals",
}

__all__ = [
    "Brief",
    "Fold",
    "Original",
    "build_dataset",
    "detect_brief",
    "draw_briefs",
    "folds",
    "load_originals",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'data' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
