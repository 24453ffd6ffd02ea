"""The face that our metrics show to the `evaluate` library: what every module would say of itself alike."""

import inspect
from typing import Any

import datasets
import evaluate


class Face(evaluate.Metric):
    """A metric of texts, described by its module's docstring, ``_CITATION`` and ``_INPUTS``.

    Subclasses only compute. They ignore keyword arguments meant for others, so that metrics combine.
    """

    def _info(self) -> evaluate.MetricInfo:
        module: Any = inspect.getmodule(type(self))
        return evaluate.MetricInfo(
            description=module.__doc__ or "",
            citation=module._CITATION,
            inputs_description=module._INPUTS,
            features=datasets.Features({"predictions": datasets.Value("string")}),
        )
