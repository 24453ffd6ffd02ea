"""Diversity: effective number of different texts (Vendi score), distinct names, openings, endings; originals beside.

exp(entropy of the eigenvalues of the similarities / n), at as many texts as there are of both: see `inference.diversity`."""

from typing import Any

from data.detect import detect_brief
from inference.diversity import diversity
from inference.metrics import face
from inference.scale import embedded

_CITATION = "Friedman and Dieng 2023, The Vendi score: a diversity evaluation metric for machine learning."
_INPUTS = """predictions: list of str. originals: list of str.

Returns n, texts and originals (vendi 1..n; names, openings, endings: shares 0..1 of distinct ones)."""


class Diversity(face.Face):
    def _compute(self, predictions: list[str], originals: list[str], **kwargs: Any) -> dict[str, Any]:
        n = min(len(predictions), len(originals))
        found: dict[str, Any] = {"n": n}
        for label, of in (("texts", predictions), ("originals", originals)):
            names = [detect_brief(text).name or "" for text in of]
            found[label] = diversity(embedded(of), of, names, n)
        return found
