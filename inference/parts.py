"""The parts of a verdict, 0..1 each, from the metrics of a text and the scale that the originals make.

Style, content, structure and diversity say how near a text is; novelty and fluency are gates, since every nearness rewards
copying and none of them notices broken text. Computes no metric; `inference.scale` and `inference.diversity` do.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from inference.diversity import expected_nearest
from inference.scale import ZERO_EVERY, Scale, embedded, mean
from inference.stylometry import contrast_texts

LOOPING = 0.05
"""Share of repeated 4-grams above the originals' own most at which fluency begins to fall; it is 0 at five times that."""

BROKEN = 1.25
"""Bits per byte under the base, as a multiple of the originals' most, at which fluency begins to fall. Shuffled words of the
default originals cost over twice the originals."""

SPREAD = 0.05
"""Least distance between the originals and the contrast texts at which a part can be told from chance."""

NEAR = 0.5
"""Share of words in near copies, above the originals' own most, at which nothing of novelty is left."""

OWN_NEAR, OWN_NEW = 0.1, 0.9
"""Near copies above this, and new 4-grams below that, are versions of one text and no habit of the originals."""

GATES = ("novelty", "fluency")
PARTS = ("style", "content", "structure", "diversity", *GATES)


def parts_of(
    metrics: Mapping[str, Any], scale: Scale, band: Mapping[str, list[float]], distinct: float | None
) -> dict[str, float]:
    """The parts by name; diversity only where ``distinct`` (of `distinctness`) is known."""
    values = {
        "style": clip(style(scale, metrics)),
        "content": clip(content(scale, metrics, ends(scale, "content")[1])),
        "structure": _structure(metrics, band),
        "diversity": distinct,
        "novelty": _novelty(metrics, scale, band),
        "fluency": fluency(metrics, band),
    }
    return {part: value for part, value in values.items() if value is not None}


def verdict_of(parts: Mapping[str, float]) -> float:
    """Geometric mean of the parts that are there, times the gates; 0..1."""
    manner = [parts[part] for part in parts if part not in GATES]
    return float(math.prod(manner) ** (1 / len(manner)) * math.prod(parts[gate] for gate in GATES))


def ends(scale: Scale, part: str) -> tuple[float, float]:
    """Where a part is 0 and where it is 1: contrast and originals."""
    if part == "style":
        return scale.contrast["style"], scale.ceiling("style")
    return scale.contrast["similarity"], min(scale.band.get("similarity", [1.0]))


def style(scale: Scale, metrics: Mapping[str, Any]) -> float:
    low, high = ends(scale, "style")
    return float((metrics["style"] - low) / (high - low)) if high - low > SPREAD else 1.0


def content(scale: Scale, metrics: Mapping[str, Any], high: float) -> float:
    """Content between the contrast's, 0, and ``high``, 1."""
    low = scale.contrast["similarity"]
    return float((metrics["similarity"] - low) / (high - low)) if high - low > SPREAD else 1.0


def distinctness(
    bodies: Sequence[str], metrics: Sequence[Mapping[str, Any]], scale: Scale
) -> Sequence[float | None]:
    """How unlike the others each text is, where the originals are 1: nearest other in content, name of the protagonist.

    Never under 1 / N for N texts: so much of the variety a text is whose every other is the same. One original alone says
    nothing of variety; the contrast texts stand in for it. None where a text is alone.
    """
    if len(bodies) < 2:
        return [None] * len(bodies)
    alone = len(scale.originals) < 2
    others = contrast_texts()[::ZERO_EVERY] if alone else scale.some
    n = min(len(others), len(bodies)) - 1
    near = _nearest(embedded(bodies), n)
    own = mean(_nearest(embedded(others), n))
    reused = _reuse([str(row["protagonist"]) for row in metrics])
    own_reused = 0.0 if alone else mean(_reuse(scale.protagonists))
    found = [
        clip((1 - a) / max(1 - own, 1e-9)) * clip((1 - b) / (1 - own_reused) if own_reused < 1 else 1.0)
        for a, b in zip(near, reused, strict=True)
    ]
    return [max(value, 1 / len(bodies)) for value in found]


def _nearest(vectors: np.ndarray, n: int) -> list[float]:
    cosines = vectors @ vectors.T
    return [expected_nearest(np.delete(cosines[i], i), n) for i in range(len(vectors))]


def _reuse(names: Sequence[str]) -> list[float]:
    """For each, the share of the others that have the same first name."""
    first = [name.split()[0] if name else "" for name in names]
    return [(first.count(name) - 1) / (len(first) - 1) if name else 0.0 for name in first]


def _structure(metrics: Mapping[str, Any], band: Mapping[str, list[float]]) -> float:
    """Length, 1 within the originals' range and else the ratio to its nearer end, times the geometric mean of four:
    paragraphs, the same way; share of speech, 1 within the range and 0 at half a text from it; a protagonist throughout and
    an end, each 1 or, if the text lacks what the originals have, less by half of their share that has it."""
    length, paragraphs = (
        clip(min(metrics[key] / max(min(band[key]), 1e-9), max(band[key]) / max(metrics[key], 1e-9)))
        for key in ("words", "paragraphs")
    )
    speech = band["dialogue"]
    spoken = clip(1 - 2 * max(min(speech) - metrics["dialogue"], metrics["dialogue"] - max(speech)))
    kept = [1 - mean(band[key]) * (1 - metrics[key]) / 2 for key in ("constant", "closed")]
    return length * float(math.prod([paragraphs, spoken, *kept]) ** (1 / 4))


def _novelty(metrics: Mapping[str, Any], scale: Scale, band: Mapping[str, list[float]]) -> float:
    """From the originals' own longest shared span, falling to nothing at three times that; times what is left by near
    copies; times the share of new 4-grams against the originals' own, squared, for remixes of short pieces."""
    limit = scale.copy_limit
    span = clip(1 - (metrics["longest_copied_span"] - limit) / (2 * limit))
    span *= clip(1 - (metrics["near_copied"] - min(OWN_NEAR, max(band.get("near_copied", [0.0])))) / NEAR)
    if math.isnan(metrics["novelty_4gram_equal"]):
        return span
    own = max(OWN_NEW, min(band.get("novelty_4gram_equal", [1.0])))
    return float(span * clip(metrics["novelty_4gram_equal"] / own) ** 2)


def fluency(metrics: Mapping[str, Any], band: Mapping[str, list[float]]) -> float:
    """Falls with loops; and, where the base was asked, with bits per byte from `BROKEN` times the originals' most on,
    to nothing at twice that."""
    excess = (metrics["repetition"] - max(band["repetition"])) / LOOPING
    fluency = clip(1 - (excess - 1) / 4)
    if "bits_per_byte_base" in metrics:
        ratio = metrics["bits_per_byte_base"] / max(band["bits_per_byte_base"])
        fluency *= clip(2 - ratio / BROKEN)
    return fluency


def clip(value: float) -> float:
    return min(1.0, max(0.0, float(value)))
