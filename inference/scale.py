"""The metrics of a text that need no language model, and the scale that the originals make of them.

Both ends of the scale come from the originals and the contrast texts alone, never from what is scored. The originals are
measured against n-1 texts, so a new text is measured against every n-1 of them and averaged where the number matters;
otherwise it would have one reference more. Gives figures in their own units; `inference.scoring` makes verdicts of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import Any

import numpy as np

from inference.band import BAND_OF, banded
from inference.delta import deltas
from inference.imposters import style_votes
from inference.near import near_copied
from inference.novelty import CopyIndex, copy_limit, repetition
from inference.remembered import Remembered
from inference.similarity import embed
from inference.structure import structure
from inference.stylometry import contrast, contrast_texts, cosine, means_without_each

EMBEDDED_AT_MOST = 200
"""References whose sentence embeddings are computed; each takes a tenth of a second on a CPU."""

AT_ONCE = 10 * BAND_OF
"""Originals from which those of the band are measured against all that are not of it: it is nearly all, and they are indexed once."""

ZERO_EVERY = 5
"""Every so manieth contrast text makes the lower end of the scale; no control is tuned on one of these."""

embedded = Remembered(embed)
"""Sentence embeddings (N, 384), remembered."""


@dataclass(frozen=True)
class Scale:
    """``band``: each original against the others, by metric; ``contrast``: mean of texts that are not in the manner."""

    originals: tuple[str, ...]
    band: dict[str, list[float]]
    contrast: dict[str, float]

    @classmethod
    @lru_cache(maxsize=8)
    def _of(cls, originals: tuple[str, ...]) -> "Scale":
        n = len(originals)
        chosen = banded(n)
        if n >= AT_ONCE:
            others = [originals[i] for i in range(n) if i not in chosen]
            rows = measure([originals[i] for i in chosen], others, equal=False)
        elif n > 1:
            rows = [
                measure([originals[i]], originals[:i] + originals[i + 1 :], equal=False)[0] for i in chosen
            ]
        else:
            rows = [{**structure(originals[0]), "repetition": repetition(originals[0])}]
        band = {key: [row[key] for row in rows if _number(row[key])] for key in rows[0]}
        far = manner(contrast_texts()[::ZERO_EVERY], originals)
        zero = {key: float(np.mean(values)) for key, values in far.items()}
        return cls(originals, {key: values for key, values in band.items() if values}, zero)

    @classmethod
    def of(cls, originals: Sequence[str]) -> "Scale":
        """The scale that these originals make; remembered."""
        return cls._of(tuple(originals))

    def ceiling(self, metric: str) -> float:
        """Mean of the originals against the rest; 1, the end of a cosine and of a vote, when there is only one."""
        return mean(self.band[metric]) if metric in self.band else 1.0

    @cached_property
    def copy_limit(self) -> int:
        """Words in a row that may be copied (`inference.novelty.copy_limit`): of all originals, as the guard has it."""
        return copy_limit(self.originals)

    @cached_property
    def some(self) -> tuple[str, ...]:
        """The originals, or those of them that `content` looks at."""
        return tuple(some_of(self.originals))

    @cached_property
    def protagonists(self) -> tuple[str, ...]:
        """The protagonist of each of ``some``, "" where none is found."""
        return tuple(str(structure(text)["protagonist"]) for text in self.some)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def stylometric(texts: Sequence[str], references: Sequence[str], *, equal: bool = False) -> np.ndarray:
    """Stylometric cosine of each text with the mean of the references, shape (N,), -1..1 (`inference.stylometry`).

    1: it leaves the usual in just the references' ways; 0: in unrelated ways, or it has no words; below 0: in opposite ways.
    With ``equal``, with every n-1 of the references and averaged, as the originals themselves are measured. Raises ValueError
    for no reference, or a string in place of a list.
    """
    if isinstance(texts, str) or isinstance(references, str) or not len(references):
        raise ValueError("stylometry takes a list of texts and a list of at least one reference")
    z, r = contrast().z(texts), contrast().z(references)
    targets = means_without_each(r) if equal else [r.mean(axis=0)]
    return np.mean([cosine(z, target) for target in targets], axis=0)


def content(texts: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """Mean cosine of sentence embeddings with the references, shape (N,), -1..1.

    A mean over references is the same as over every n-1 of them, so it needs no equal form. Of very many, `some_of` them stand in
    for all.
    """
    return (embedded(texts) @ embedded(some_of(references)).T).mean(axis=1)


def some_of(references: Sequence[str]) -> Sequence[str]:
    """``references``, or `EMBEDDED_AT_MOST` of them: the same ones whichever else are there."""
    if len(references) <= EMBEDDED_AT_MOST:
        return references
    return sorted(references, key=lambda text: sha256(text.encode()).digest())[:EMBEDDED_AT_MOST]


def manner(texts: Sequence[str], references: Sequence[str], *, equal: bool = True) -> dict[str, np.ndarray]:
    """The metrics that say how near ``texts`` are to ``references``, (N,) each; keys as in `score`."""
    votes = style_votes(texts, references, equal=equal)
    burrows, cosine_delta = deltas(texts, references, equal=equal)
    return {
        "style": votes.pop("style"),
        "stylometry": stylometric(texts, references, equal=equal),
        "similarity": content(texts, references),
        **{f"style_{family}": values for family, values in votes.items()},
        "burrows_delta": burrows,
        "cosine_delta": cosine_delta,
    }


def measure(
    texts: Sequence[str], references: Sequence[str], copies: CopyIndex | None = None, *, equal: bool = True
) -> list[dict[str, Any]]:
    """The metrics of every text but those of a language model; keys and units as in `score`.

    With ``equal``, of new texts against every n-1 of the references; without it, of an original against the n-1 others.
    """
    copies = copies or CopyIndex(references)
    near = manner(texts, references, equal=equal)
    rows = []
    for i, text in enumerate(texts):
        longest = copies.longest(text)
        rows.append(
            {
                **{key: float(values[i]) for key, values in near.items()},
                "longest_copied_span": longest.words if longest else 0,
                "copied_8": copies.copied_share(text),
                "near_copied": near_copied(text, references),
                "novelty_4gram": copies.ngram_novelty(text),
                "novelty_4gram_equal": copies.ngram_novelty(text, equal=equal),
                "novelty_5gram": copies.ngram_novelty(text, 5),
                "novelty_8gram": copies.ngram_novelty(text, 8),
                "nearest": copies.nearest(text),
                "repetition": repetition(text),
                **structure(text),
            }
        )
    return rows


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean of at least one value."""
    return float(sum(values) / len(values))
