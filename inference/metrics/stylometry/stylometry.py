"""Stylometry: cosine (-1..1) of topic-free stylometric features with the originals', z-scored on contrast texts.

cos(z(text), mean of z(originals)), against every n-1 of the originals and averaged: see `inference.stylometry`."""

from typing import Any

from inference.metrics import face
from inference.scale import stylometric

_CITATION = "Evert et al. 2017, Understanding and explaining Delta measures for authorship attribution."
_INPUTS = """predictions: list of str. originals: list of str.

Returns stylometry (mean) and stylometries (one a text)."""


class Stylometry(face.Face):
    def _compute(self, predictions: list[str], originals: list[str], **kwargs: Any) -> dict[str, Any]:
        cosines = stylometric(predictions, originals, equal=True).tolist()
        return {"stylometry": sum(cosines) / len(cosines), "stylometries": cosines}
