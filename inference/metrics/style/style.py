"""Style: cosine of topic-free stylometric features with the originals', z-scored on contrast texts (-1..1).

Scored against every n-1 of the originals and averaged, as the originals are themselves: see `inference.stylometry`."""

from typing import Any

import datasets
import evaluate

from inference.scale import style

_CITATION = "Burrows 2002, Delta: a measure of stylistic difference and a guide to likely authorship."
_INPUTS = """predictions: list of str. originals: list of str.

Returns style (mean) and styles (one a text)."""


class Style(evaluate.Metric):
    """The `evaluate` face of the metric; keyword arguments meant for others are ignored, so that it combines."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": datasets.Value("string")}),
        )

    def _compute(self, predictions: list[str], originals: list[str], **kwargs: Any) -> dict[str, Any]:
        styles = style(predictions, originals, equal=True).tolist()
        return {"style": sum(styles) / len(styles), "styles": styles}
