"""Burrows's Delta and cosine delta, as yardsticks beside the style vote. They read the most frequent words, so names and
topics that come often get in; the verdict does not use them.

Sources: Burrows 2002, "Delta: a measure of stylistic difference and a guide to likely authorship"; Smith & Aldridge 2011,
"Improving authorship attribution: optimizing Burrows' Delta method" (cosine).
"""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from inference.novelty import word_texts
from inference.stylometry import contrast_texts, cosine, means_without_each

MOST_FREQUENT = 150


def deltas(
    texts: Sequence[str], references: Sequence[str], *, equal: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """(Burrows's Delta, 0 and up, lower is nearer; cosine delta, -1..1, higher is nearer) of each text, (N,) each.

    Relative frequencies of the 150 most frequent words of references and contrast texts, z-scored on these; each text against
    the references' mean; with ``equal``, against that of every n-1 of them and averaged. What is scored is not fitted on.
    """
    fitted = [_counts(text) for text in (*contrast_texts(), *references)]
    total = Counter[str]()
    for counts in fitted:
        total.update(counts)
    vocabulary = [
        word for word, _ in sorted(total.items(), key=lambda item: (-item[1], item[0]))[:MOST_FREQUENT]
    ]
    table = np.array([_shares(counts, vocabulary) for counts in fitted])
    mean, sd = table.mean(axis=0), table.std(axis=0)
    sd = np.where(sd > 0, sd, 1)
    own = np.array([_shares(_counts(text), vocabulary) for text in texts])
    z = (own.reshape(len(texts), len(vocabulary)) - mean) / sd
    targets = (table[-len(references) :] - mean) / sd
    means = means_without_each(targets) if equal else [targets.mean(axis=0)]
    burrows = np.mean([np.abs(z - target).mean(axis=1) for target in means], axis=0)
    return burrows, np.mean([cosine(z, target) for target in means], axis=0)


@lru_cache(maxsize=8192)
def _counts(text: str) -> Counter[str]:
    return Counter(word_texts(text))


def _shares(counts: Counter[str], vocabulary: Sequence[str]) -> list[float]:
    size = max(sum(counts.values()), 1)
    return [counts[word] / size for word in vocabulary]
