"""Vectors of texts, computed once a process: folds, samples and scale ask for the same texts again and again."""

from collections.abc import Callable, Sequence

import numpy as np


class Remembered:
    """A function from texts to rows of an array, (N, ...), that computes no row twice while it is remembered."""

    def __init__(self, compute: Callable[[Sequence[str]], np.ndarray], at_most: int = 4096) -> None:
        self._compute, self._at_most = compute, at_most
        self._rows: dict[str, np.ndarray] = {}

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        unknown = [text for text in dict.fromkeys(texts) if text not in self._rows]
        if unknown and len(self._rows) + len(unknown) > max(self._at_most, len(texts)):
            self._rows.clear()
            unknown = list(dict.fromkeys(texts))
        if unknown:
            self._rows.update(zip(unknown, self._compute(unknown), strict=True))
        return np.stack([self._rows[text] for text in texts])
