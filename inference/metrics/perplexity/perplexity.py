"""Perplexity and bits per byte of texts under a causal language model.

perplexity = exp(nats / tokens) over the corpus; bits per byte = -log2 p(text) / UTF-8 bytes. First token conditioned on
BOS (else the end-of-text token), overlapping windows, each token scored once, the end token apart: see
`inference.likelihood`."""

from typing import Any

from inference.likelihood import perplexity
from inference.metrics import face

_CITATION = "Jelinek et al. 1977, Perplexity: a measure of the difficulty of speech recognition tasks."
_INPUTS = """predictions: list of str. model: run directory, model folder, "stories" or hub id. batch_size: rows at once.

Returns perplexity, bits_per_byte, nll, nll_per_word, tokens, bytes, end_nll of the corpus, and the same under "texts" as lists."""


class Perplexity(face.Face):
    def _compute(
        self, predictions: list[str], model: Any = "stories", batch_size: int = 8, **kwargs: Any
    ) -> dict[str, Any]:
        return perplexity(predictions, model, batch_size=batch_size)
