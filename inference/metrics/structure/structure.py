"""Structure: words, paragraphs, share of speech, a protagonist throughout, an end; means over texts.

Rules of thumb for English prose: see `inference.structure`."""

from typing import Any

import datasets
import evaluate

from inference.structure import structure

_CITATION = "Rules of this project."
_INPUTS = """predictions: list of str.

Returns words, paragraphs, dialogue, constant and closed (means) and texts (a dictionary for each text)."""


class Structure(evaluate.Metric):
    """The `evaluate` face of the metric; keyword arguments meant for others are ignored, so that it combines."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": datasets.Value("string")}),
        )

    def _compute(self, predictions: list[str], **kwargs: Any) -> dict[str, Any]:
        rows = [structure(text) for text in predictions]
        keys = ("words", "paragraphs", "dialogue", "constant", "closed")
        return {**{key: sum(row[key] for row in rows) / len(rows) for key in keys}, "texts": rows}
