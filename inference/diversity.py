"""Whether samples differ from each other as much as originals do: Vendi score, names, openings and endings, at equal n.

More texts always hold more variety, so samples are compared with the originals at the same number of texts: the mean over
random choices of that many. Needs at least two texts of each. Sources: Friedman & Dieng 2023, "The Vendi score".
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from inference.novelty import words

CHOICES = 200
"""Random choices of n texts that a figure is the mean of, where there are more than n."""


def vendi(vectors: np.ndarray) -> float:
    """Effective number of different texts, 1..N, of unit vectors (N, D): e to the entropy of the eigenvalues of their
    similarities over N."""
    values = np.linalg.eigvalsh(vectors @ vectors.T / len(vectors))
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


def opening(text: str) -> str:
    """The first three words, folded."""
    return " ".join(word.text for word in words(text)[:3])


def ending(text: str) -> str:
    """The last four words, folded."""
    return " ".join(word.text for word in words(text)[-4:])


def diversity(
    vectors: np.ndarray, texts: Sequence[str], names: Sequence[str], n: int, seed: int = 0
) -> dict[str, float]:
    """Figures at ``n`` texts out of N: ``vendi`` (1..n) of ``vectors`` (N, D, unit length), and the shares (0..1) of distinct
    ``names`` (no name found counts as none alike), ``openings`` and ``endings``."""
    rows = list(range(len(texts)))
    rng = random.Random(seed)
    choices = [rows] if len(rows) <= n else [rng.sample(rows, n) for _ in range(CHOICES)]
    labels = {"names": names, "openings": [opening(t) for t in texts], "endings": [ending(t) for t in texts]}

    def average(figure: Callable[[list[int]], float]) -> float:
        return float(np.mean([figure(choice) for choice in choices]))

    found = {"vendi": average(lambda choice: vendi(vectors[choice]))}
    for label, values in labels.items():
        found[label] = average(lambda choice, values=values: _distinct([values[i] for i in choice]))  # type: ignore[misc]
    return found


def _distinct(values: Sequence[Any]) -> float:
    named = [value for value in values if value]
    return (len(set(named)) + len(values) - len(named)) / len(values)


def expected_nearest(similarities: np.ndarray, n: int) -> float:
    """Mean of the highest of ``n`` of the values ``similarities``, drawn without replacement; of all where there are fewer."""
    ordered = np.sort(similarities)[::-1]
    total, left, chance = 0.0, len(ordered), 1.0
    if n >= left:
        return float(ordered[0])
    for value in ordered:
        # The highest so far is in the draw with n of `left` chances, given that none before it is.
        total += chance * n / left * float(value)
        chance *= 1 - n / left
        left -= 1
        if left < n:
            break
    return total
