"""The scale that the originals make, and the metrics that are read on it.

Both ends come from the originals and the contrast texts alone, never from what is scored. The originals are scored
against n-1 texts, so a new text is scored against every n-1 of them and averaged; otherwise it would have one
reference more. Gives figures in their own units; `inference.scoring` makes verdicts of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Any

import numpy as np

from inference.novelty import CopyIndex, copy_limit, repetition, shared_spans
from inference.similarity import embed
from inference.stylometry import contrast, contrast_texts


@dataclass(frozen=True)
class Scale:
    """Both ends of every scale, made from the originals and the contrast texts alone, never from what is scored."""

    originals: tuple[str, ...]
    band: dict[str, list[float]]
    contrast: dict[str, float]

    @classmethod
    @lru_cache(maxsize=8)
    def _of(cls, originals: tuple[str, ...]) -> "Scale":
        n = len(originals)
        zero = {
            "style": float(_cosine(_contrast_z(), contrast().z(originals).mean(axis=0)).mean()),
            "similarity": float((_contrast_embedded() @ _embedded(originals).T).mean()),
        }
        band: dict[str, list[float]] = {
            "words": [float(len(text.split())) for text in originals],
            "repetition": [repetition(text) for text in originals],
        }
        if n > 1:
            rest = [originals[:i] + originals[i + 1 :] for i in range(n)]
            band["style"] = [float(style([o], r)[0]) for o, r in zip(originals, rest, strict=True)]
            own = _embedded(originals)  # (R, D)
            band["similarity"] = [float((own[i] @ np.delete(own, i, axis=0).T).mean()) for i in range(n)]
            novelties = [CopyIndex(r).ngram_novelty(o) for o, r in zip(originals, rest, strict=True)]
            band["novelty_4gram_equal"] = [v for v in novelties if not math.isnan(v)]
            band["longest_copied_span"] = [float(words) for words in shared_spans(originals)]
        band["stylometry"], zero["stylometry"] = band.get("style", []), zero["style"]
        return cls(originals, {key: values for key, values in band.items() if values}, zero)

    @classmethod
    def of(cls, originals: Sequence[str]) -> "Scale":
        """The scale that these originals make; remembered."""
        return cls._of(tuple(originals))

    def ceiling(self, metric: str) -> float:
        """Mean of the originals against the rest; 1, the end of a cosine, when there is only one."""
        return mean(self.band[metric]) if metric in self.band else 1.0

    @cached_property
    def copy_limit(self) -> int:
        """Words in a row that may be copied (`inference.novelty.copy_limit`)."""
        return copy_limit(self.originals)


_EMBEDDINGS: dict[str, np.ndarray] = {}
_EMBEDDINGS_AT_MOST = 4096


def _embedded(texts: Sequence[str]) -> np.ndarray:
    """Sentence embeddings, shape (N, D), remembered: folds and final model are scored on the same texts."""
    unknown = [text for text in dict.fromkeys(texts) if text not in _EMBEDDINGS]
    if len(_EMBEDDINGS) + len(unknown) > _EMBEDDINGS_AT_MOST:
        _EMBEDDINGS.clear()
        unknown = list(dict.fromkeys(texts))
    _EMBEDDINGS.update(zip(unknown, embed(unknown), strict=True))
    return np.stack([_EMBEDDINGS[text] for text in texts])


def _contrast_embedded() -> np.ndarray:
    return _embedded(contrast_texts()[::5])


@cache
def _contrast_z() -> np.ndarray:
    return contrast().z(contrast_texts())


def _subsets(n: int) -> list[list[int]]:
    """Every choice of n-1 out of n positions; the one position there is when n is 1."""
    return [[j for j in range(n) if j != i] for i in range(n)] if n > 1 else [[0]]


def style(texts: Sequence[str], references: Sequence[str], *, equal: bool = False) -> np.ndarray:
    """Stylometric cosine of each text with the mean of the references, shape (N,), -1..1.

    With ``equal``, with every n-1 of the references and averaged, as the originals themselves are scored.
    """
    z, r = contrast().z(texts), contrast().z(references)
    chosen = _subsets(len(references)) if equal else [list(range(len(references)))]
    return np.mean([_cosine(z, r[subset].mean(axis=0)) for subset in chosen], axis=0)


def content(texts: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """Mean cosine of sentence embeddings with the references, shape (N,), -1..1.

    A mean over references is the same as over every n-1 of them, so it needs no equal form.
    """
    return (_embedded(texts) @ _embedded(references).T).mean(axis=1)


def measure(texts: Sequence[str], scale: Scale, copies: CopyIndex) -> list[dict[str, Any]]:
    """The metrics of every text but those of a language model; keys and units as in `score`."""
    references = scale.originals
    styles, contents = style(texts, references, equal=True), content(texts, references)
    partial = [CopyIndex([references[j] for j in subset]) for subset in _subsets(len(references))]
    rows = []
    for text, own_style, own_content in zip(texts, styles, contents, strict=True):
        longest = copies.longest(text)
        rows.append(
            {
                "style": float(own_style),
                "stylometry": float(own_style),
                "similarity": float(own_content),
                "longest_copied_span": longest.words if longest else 0,
                "novelty_4gram": copies.ngram_novelty(text),
                "novelty_4gram_equal": mean([index.ngram_novelty(text) for index in partial]),
                "nearest": copies.nearest(text),
                "repetition": repetition(text),
                "words": len(text.split()),
            }
        )
    return rows


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(a, axis=-1) * np.linalg.norm(b)
    return np.divide(a @ b, norm, out=np.zeros(len(a)), where=norm > 0)


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean of at least one value."""
    return float(sum(values) / len(values))
