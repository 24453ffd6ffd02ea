"""What a sample says of itself: how long, how repetitive, what of its brief it keeps to and what of the originals it copies.

And the originals' own range of the same figures. Draws nothing; what stands against a scale is `inference.scoring`'s.
"""

import math
from collections.abc import Collection
from dataclasses import replace
from functools import lru_cache
from typing import Any

from inference.adherence import adherence
from inference.band import banded
from inference.bank import bank_span
from inference.leaks import leaked_names
from inference.novelty import CopyIndex, copy_limit, repetition
from inference.sample import Sample


def measured(sample: Sample, copies: CopyIndex | None, names: Collection[str] = (), own: str = "") -> Sample:
    """The sample with its ``scores`` and ``copied_spans`` filled in; ``own`` are words of the user's, whose names are no leak."""
    scores: dict[str, Any] = {
        "words": len(sample.text.split()),
        "repetition": repetition(sample.text),
        "obeyed": adherence(sample.text, sample.brief),
        **sample.scores,
    }
    if sample.plan != "none":
        scores["bank_span"] = bank_span(sample.text)
    if copies is None:
        return replace(sample, scores=scores)
    longest, novelty = copies.longest(sample.text), copies.ngram_novelty(sample.text)
    scores["longest_copied_span"] = longest.words if longest else 0
    scores["novelty_4gram"] = None if math.isnan(novelty) else novelty
    scores["nearest"] = copies.nearest(sample.text)
    scores["leaked_names"] = leaked_names(sample.text, names, sample.brief, own)
    return replace(sample, scores=scores, copied_spans=tuple(copies.spans(sample.text)))


@lru_cache(maxsize=4)
def bands(originals: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """The least and the most of what `measured` measures, of the originals themselves, each against the others."""
    if not originals:
        return {}
    some = banded(len(originals))
    values: dict[str, list[float]] = {
        "words": [float(len(originals[i].split())) for i in some],
        "repetition": [repetition(originals[i]) for i in some],
    }
    if len(originals) > 1:
        index = CopyIndex(originals)
        new = [index.own_novelty(i) for i in some]
        values["novelty_4gram"] = [share for share in new if not math.isnan(share)] or [1.0]
    found = {key: (min(row), max(row)) for key, row in values.items()}
    return {**found, "longest_copied_span": (0.0, float(copy_limit(originals)))}
