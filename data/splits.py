"""Which originals are held out when: leave-one-out for few, k-fold for many, and only a part of very many.

Does not train or score. Roles of other data (contrast, replay) are not its business.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LEAVE_ONE_OUT_UP_TO = 12
"""Documents up to which each is held out alone; above, as many folds are made as `K_FOLDS` says."""

K_FOLDS = 6

HELD_OUT_AT_MOST = 16
"""Documents of a fold: what more would tell is not worth the time of measuring them."""


@dataclass(frozen=True)
class Fold:
    """Positions of the originals that are trained and of those that are held out; together all, disjoint."""

    index: int
    train: tuple[int, ...]
    held_out: tuple[int, ...]


def folds(originals: Sequence[Any], seed: int = 0) -> list[Fold]:
    """Every original held out exactly once; no folds for a single original, which has nothing to be held against. Above `K_FOLDS`
    times `HELD_OUT_AT_MOST` originals so many are held out, and the others always trained.

    The same ``seed`` gives the same folds. Leave-one-out does not depend on it.

    >>> [fold.held_out for fold in folds(["a", "b", "c"])]
    [(0,), (1,), (2,)]
    """
    n = len(originals)
    if n < 2:
        return []
    if n <= LEAVE_ONE_OUT_UP_TO:
        groups: list[tuple[int, ...]] = [(i,) for i in range(n)]
    else:
        order = list(range(n))
        random.Random(seed).shuffle(order)
        groups = [tuple(sorted(order[k::K_FOLDS][:HELD_OUT_AT_MOST])) for k in range(K_FOLDS)]
    return [
        Fold(index, tuple(i for i in range(n) if i not in held_out), held_out)
        for index, held_out in enumerate(groups)
    ]
