"""Our metrics as modules of the `evaluate` library, loaded from disk: no hub, from any working directory.

Each folder beside this file holds one module under its own name. They only translate: the computing is in
modules of `inference`, so that there is one definition of each figure.
"""

import difflib
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent

NAMES = (
    "delta",
    "diversity",
    "memory",
    "novelty",
    "perplexity",
    "similarity",
    "structure",
    "style",
    "stylometry",
)
"""The metrics there are."""


def load_metric(name: str) -> Any:
    """The ``evaluate`` module ``name``, to be used as ``load_metric(name).compute(predictions=[...], ...)``.

    "perplexity" and "memory" take ``model``, "structure" nothing more; the others take ``originals`` (a list of strings). Values a text
    come as lists, and the corpus figure beside them. Raises ValueError for a name that is not in `NAMES`.
    """
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=1)
        raise ValueError(
            f"unknown metric {name!r}: "
            + (f"did you mean {near[0]!r}?" if near else f"there are {', '.join(NAMES)}")
        )
    import evaluate

    return evaluate.load(str(_HERE / name), keep_in_memory=True)
