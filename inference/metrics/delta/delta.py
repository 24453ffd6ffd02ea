"""Burrows's Delta (0 and up, lower is nearer) and cosine delta (-1..1) with the mean of the originals: yardsticks.

mean |z(text) - z(originals)| and the cosine of the two, over the 150 most frequent words: see `inference.delta`."""

from typing import Any

from inference.delta import deltas
from inference.metrics import face

_CITATION = "Burrows 2002, Delta: a measure of stylistic difference and a guide to likely authorship."
_INPUTS = """predictions: list of str. originals: list of str.

Returns burrows_delta and cosine_delta (means), burrows_deltas and cosine_deltas (one a text)."""


class Delta(face.Face):
    def _compute(self, predictions: list[str], originals: list[str], **kwargs: Any) -> dict[str, Any]:
        burrows, cosine = (values.tolist() for values in deltas(predictions, originals))
        return {
            "burrows_delta": sum(burrows) / len(burrows),
            "cosine_delta": sum(cosine) / len(cosine),
            "burrows_deltas": burrows,
            "cosine_deltas": cosine,
        }
