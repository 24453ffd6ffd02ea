"""Four families of style features, each brought into a space in which texts of one author lie close together.

Raw features: character 3-5-grams and 1-3-grams of tokens, both of the masked text (`inference.masking`), function words
(most frequent words, Burrows 2002), and the stylometric features (`inference.stylometry`). Vocabularies, means, deviations
and projections were learned from a corpus of many authors by `training.style`, never from the texts in hand: linear
discriminants with a shrunken within-author covariance (Fisher 1936; Ledoit & Wolf 2004 for the idea of shrinking). Gives
vectors; `inference.imposters` compares them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from inference.masking import function_words, masked
from inference.remembered import Remembered
from inference.stylometry import features

FOLDER = Path(__file__).parent / "style"
"""Where the learned part lies: vocabulary.json and weights.safetensors."""

FAMILIES = ("char", "masked", "function", "stylometry")
"""Names of the families."""

LIMIT = 4.0
"""Standardised features are clipped to this on both sides."""


@dataclass(frozen=True)
class Projection:
    """What was learned for one family: F raw features to D dimensions, and M texts of many authors there."""

    mean: np.ndarray  # (F,)
    sd: np.ndarray  # (F,)
    centre: np.ndarray  # (F,), of the standardised features
    matrix: np.ndarray  # (F, D)
    background: np.ndarray  # (M, D)

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        """(N, F) raw features to (N, D)."""
        result: np.ndarray = (standardised(raw, self.mean, self.sd) - self.centre) @ self.matrix
        return result


def standardised(raw: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """z-scores of ``raw`` (N, F), clipped."""
    return np.clip((raw - mean) / sd, -LIMIT, LIMIT)


def vectorizer(family: str, vocabulary: Sequence[str] | None, size: int | None = None) -> Any:
    """The counter of a family's n-grams: of a known vocabulary, or one to be fitted, of the ``size`` most frequent."""
    from sklearn.feature_extraction.text import CountVectorizer

    settings: dict[str, Any] = {
        "lowercase": False,
        "dtype": np.float32,
        "vocabulary": vocabulary,
        "max_features": size,
    }
    if family == "char":
        return CountVectorizer(analyzer="char", ngram_range=(3, 5), **settings)
    longest = 3 if family == "masked" else 1
    return CountVectorizer(token_pattern=r"\S+", ngram_range=(1, longest), **settings)


def counted(family: str, texts: Sequence[str]) -> list[str]:
    """What a family counts the n-grams of."""
    return [function_words(text) if family == "function" else masked(text) for text in texts]


def shares(counts: Any) -> np.ndarray:
    """Square roots of the n-grams' shares (which stabilises their variance), (N, F), from sparse counts; 0 for no count."""
    dense = counts.toarray()
    return np.sqrt(dense / np.maximum(dense.sum(axis=1, keepdims=True), 1))


def raw_features(texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Raw features by family, (N, F) each."""
    found = {"stylometry": np.array([features(text) for text in texts])}
    for family, vocabulary in _vocabularies().items():
        found[family] = shares(vectorizer(family, vocabulary).transform(counted(family, texts)))
    return found


def embed_style(texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Each family's vectors of ``texts``, (N, D), float64."""
    rows = _joined(texts)
    ends = np.cumsum([projection.matrix.shape[1] for projection in projections().values()])
    return dict(zip(projections(), np.split(rows, ends[:-1], axis=1), strict=True))


def _project(texts: Sequence[str]) -> np.ndarray:
    raw = raw_features(texts)
    return np.hstack([projection(raw[family]) for family, projection in projections().items()])


_joined = Remembered(_project)


@cache
def projections() -> Mapping[str, Projection]:
    """What was learned, by family; ValueError where its files are missing."""
    from safetensors.numpy import load_file

    _check(FOLDER / "weights.safetensors")
    tensors = load_file(FOLDER / "weights.safetensors")
    return {
        family: Projection(
            *(
                tensors[f"{family}.{part}"].astype(np.float64)
                for part in ("mean", "sd", "centre", "matrix", "background")
            )
        )
        for family in FAMILIES
    }


@cache
def learned() -> dict[str, Any]:
    """vocabulary.json: each family's n-grams, and the calibration of `inference.imposters.probability`."""
    _check(FOLDER / "vocabulary.json")
    return dict(json.loads((FOLDER / "vocabulary.json").read_text("utf-8")))


def _vocabularies() -> dict[str, list[str]]:
    return {family: learned()["vocabulary"][family] for family in FAMILIES if family != "stylometry"}


def _check(path: Path) -> None:
    if not path.is_file():
        raise ValueError(f"{path} is missing: get it back from git, or make it with python -m training style")
