"""Novelty: what a text copies from the originals: longest copied span in words, share of new 4-grams (0..1).

Words folded by case and punctuation; a text under four words has no 4-gram novelty (None): see `inference.novelty`."""

from typing import Any

from inference.metrics import face
from inference.novelty import CopyIndex

_CITATION = "McCoy et al. 2023, How much do language models copy from their training data? (RAVEN)."
_INPUTS = """predictions: list of str. originals: list of str.

Returns longest_copied_span (the most), novelty_4gram (mean), and both as lists: longest_copied_spans, novelties_4gram."""


class Novelty(face.Face):
    def _compute(self, predictions: list[str], originals: list[str], **kwargs: Any) -> dict[str, Any]:
        index = CopyIndex(originals)
        longest = [span.words if (span := index.longest(text)) else 0 for text in predictions]
        novelties = [index.ngram_novelty(text) for text in predictions]
        known = [value for value in novelties if value == value]
        return {
            "longest_copied_span": max(longest),
            "novelty_4gram": sum(known) / len(known) if known else None,
            "longest_copied_spans": longest,
            "novelties_4gram": [value if value == value else None for value in novelties],
        }
