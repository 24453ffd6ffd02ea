"""Similarity: mean cosine of sentence embeddings (MiniLM, windows of 150 words) with the originals (-1..1).

Measures what a text is about and hardly its manner: see `inference.similarity`."""

from typing import Any

from inference.metrics import face
from inference.scale import content

_CITATION = "Reimers and Gurevych 2019, Sentence-BERT: sentence embeddings using Siamese BERT-networks."
_INPUTS = """predictions: list of str. originals: list of str.

Returns similarity (mean) and similarities (one a text)."""


class Similarity(face.Face):
    def _compute(self, predictions: list[str], originals: list[str], **kwargs: Any) -> dict[str, Any]:
        similarities = content(predictions, originals).tolist()
        return {"similarity": sum(similarities) / len(similarities), "similarities": similarities}
